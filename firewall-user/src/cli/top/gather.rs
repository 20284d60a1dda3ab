//! What the agent says, asked again and again.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::api::client::Client;
use crate::api::types::{OneSidedRow, Problem, RuleRow, Status};
use crate::sessions::Row;

/// One look at the host.
pub(super) struct Taken {
    /// When.
    pub(super) at: Instant,
    /// Its state.
    pub(super) status: Status,
    /// Its live sessions.
    pub(super) sessions: Vec<Row>,
    /// Its list of rules.
    pub(super) rules: Vec<RuleRow>,
    /// Handshakes that did not complete of late.
    pub(super) one_sided: Vec<OneSidedRow>,
}

/// Asks the agent.
pub(super) struct Gatherer {
    client: Client,
    interval: Duration,
    last: Duration,
}

/// With very many sessions a look takes long; the agent is to have time for other things.
const SHARE: u32 = 4;

impl Gatherer {
    pub(super) fn new(client: Client, interval: Duration) -> Self {
        Self {
            client,
            interval: interval.max(Duration::from_millis(100)),
            last: Duration::ZERO,
        }
    }

    /// One look.
    pub(super) fn take(&mut self) -> Result<Taken, Problem> {
        let at = Instant::now();
        let taken = Taken {
            at,
            status: self.client.get("/v1/status")?,
            sessions: self.client.get("/v1/sessions")?,
            rules: self.client.get("/v1/policy")?,
            one_sided: self.client.get("/v1/one-sided?since=600")?,
        };
        self.last = at.elapsed();
        Ok(taken)
    }

    /// Waits until the next look is due.
    pub(super) fn wait(&self) {
        let rest = self.interval.saturating_sub(self.last);
        std::thread::sleep(rest.max(self.last * SHARE));
    }

    /// Goes on in a thread of its own, which ends when nobody listens any more.
    pub(super) fn begin(mut self) -> Receiver<Result<Taken, Problem>> {
        let (send, receive) = sync_channel(1);
        std::thread::spawn(move || {
            loop {
                self.wait();
                if send.send(self.take()).is_err() {
                    return;
                }
            }
        });
        receive
    }
}
