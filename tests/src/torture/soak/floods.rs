//! Bursts of openings from sources that never were, at open ports and at closed ones.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use crate::net::{Lab, wait_until};
use crate::scenario::flood::{Flood, From};
use crate::scenario::{Worker, at_wan};

/// Between the beginnings of two bursts.
const EVERY: Duration = Duration::from_secs(10);
/// Openings of a burst, sent within a second.
const BURST: u64 = 3000;
/// Port, and whether it is TCP: allowed, allowed with answers, denied.
const AT: [(u16, bool); 3] = [(443, true), (9053, false), (22, true)];

/// One burst after another, of both families in turn; how many packets were sent.
pub(super) fn start(lab: &Lab) -> Worker<Result<u64>> {
    let (near, far) = (lab.stranger.clone(), lab.wan.clone());
    Worker::start(move |stop| {
        let mut sent = 0;
        for (number, (port, tcp)) in AT.into_iter().cycle().enumerate() {
            let flood = Flood {
                from: From::Anybody,
                to: at_wan(number % 2 == 1, port),
                tcp,
                rate: Some(BURST),
                most: BURST,
            };
            let flood = flood.start(&near, &far)?;
            wait_until(EVERY, || stop.load(Ordering::Relaxed).then_some(()));
            sent += flood.finish();
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(sent)
    })
}
