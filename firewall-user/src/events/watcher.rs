//! The thread that listens to what the kernel says of handshakes that it drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::hub::Hub;
use crate::dataplane::WatchPlan;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long the thread may take to notice that it is to end.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

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
    let mut watch = match plan.start() {
        Ok(watch) => watch,
        Err(error) => {
            tracing::info!(
                "the kernel does not tell what it drops, so causes of one-sided handshakes are named by less: {error}"
            );
            hub.set_blind(Some(error.to_string()));
            return;
        }
    };
    tracing::info!("the kernel tells what it drops of handshakes");
    hub.set_blind(None);
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(&watch, PollFlags::IN)];
        // Interrupted or not: there is something to read, or there is not.
        let _ = poll(&mut ready, Some(&GLANCE));
        hub.kernel_dropped(&watch.drain());
    }
}
