//! One thread owns the agent's state and the tables; everybody else sends it work.
//!
//! A thread and not a lock: writing maps blocks, so it must not happen on the event loop; and jobs done one
//! after another mean that no sweep, no reload and no second apply ever runs in the middle of an apply.

use std::sync::mpsc;

use tokio::sync::oneshot;

use super::state::Agent;

type Job = Box<dyn FnOnce(&mut Agent) + Send>;

/// Sends work to the thread that owns the agent's state.
#[derive(Clone)]
pub struct Owner {
    jobs: mpsc::Sender<Job>,
}

/// The owner's thread has ended: the agent is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the agent is going down")
    }
}

impl std::error::Error for Gone {}

impl Owner {
    /// Starts the thread. The receiver fires when it has ended, which it does only by a panic or when
    /// nobody can send work any more.
    pub fn start(mut agent: Agent) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (alive, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("owner".to_owned())
            .spawn(move || {
                // Dropped however the thread ends.
                let _alive: oneshot::Sender<()> = alive;
                while let Ok(job) = work.recv() {
                    job(&mut agent);
                }
            })?;
        Ok((Self { jobs }, ended))
    }

    /// Has something done, after all that was sent before.
    pub async fn with<R, F>(&self, work: F) -> Result<R, Gone>
    where
        R: Send + 'static,
        F: FnOnce(&mut Agent) -> R + Send + 'static,
    {
        let (answer, receive) = oneshot::channel();
        let job: Job = Box::new(move |agent| {
            // Whoever asked may have gone away.
            let _ = answer.send(work(agent));
        });
        self.jobs.send(job).map_err(|_| Gone)?;
        receive.await.map_err(|_| Gone)
    }
}
