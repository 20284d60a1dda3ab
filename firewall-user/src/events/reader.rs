//! The thread that reads the ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::hub::Hub;
use crate::dataplane::Ring;

/// Reads until it is dropped.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long the thread may take to notice that it is to end.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// Records that are taken over at once.
const BATCH: usize = 1024;

impl Reader {
    /// Starts to read.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(ring: Ring, hub: Arc<Hub>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || read(ring, &hub, &seen))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn read(mut ring: Ring, hub: &Hub, stop: &AtomicBool) {
    let mut batch: Vec<Vec<u8>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(&ring, PollFlags::IN)];
        // Interrupted or not: there is something to read, or there is not.
        let _ = poll(&mut ready, Some(&GLANCE));
        loop {
            batch.clear();
            let count = ring.drain(BATCH, |bytes| batch.push(bytes.to_vec()));
            hub.take(batch.iter().map(Vec::as_slice));
            if count < BATCH {
                break;
            }
        }
    }
}
