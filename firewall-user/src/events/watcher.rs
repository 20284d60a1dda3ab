//! The thread that listens to what the kernel says of handshakes that it drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::hub::Hub;
use crate::dataplane::WatchPlan;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How often the kernel is asked, and how long the thread may take to notice that it is to end.
const GLANCE: Duration = Duration::from_millis(100);

impl Watcher {
    /// Begins; whether it can is told to the hub, since to find out takes a moment.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(plan: WatchPlan, hub: Arc<Hub>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("kernel-drops".to_owned())
            .spawn(move || listen(&plan, &hub, &seen))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn listen(plan: &WatchPlan, hub: &Hub, stop: &AtomicBool) {
    let watch = match plan.start() {
        Ok(watch) => watch,
        Err(error) => {
            tracing::info!(
                "the kernel does not tell what it drops and who calls, so causes of one-sided handshakes are named by \
                 less, and owners are not known: {error}"
            );
            hub.set_blind(Some(error.to_string()));
            return;
        }
    };
    hub.set_watch(Some(watch));
    hub.set_blind(None);
    tracing::info!("the kernel tells what it drops of handshakes");
    while !stop.load(Ordering::Relaxed) {
        hub.hear();
        std::thread::sleep(GLANCE);
    }
    hub.set_watch(None);
}
