//! A session whose local socket lives is not expired. The packet path compares times and knows no sockets, so the
//! agent looks for them before the time is over.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use firewall_common::flow::{FlowKey, Tuple};

use super::net::{Socket, Standing};
use super::state::Agent;
use crate::dataplane::memory::mapped;

/// A look at all sockets takes at most this part of the time, one in so many, unless it is long since the last.
const PART: u32 = 20;
const AT_LEAST: Duration = Duration::from_secs(5);

/// What the last look at the sockets said.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// When to look again at the earliest.
    next: Option<Instant>,
    /// Idle sessions that have no socket: it needs a packet for one to have one again.
    orphans: HashSet<FlowKey>,
}

impl Looked {
    fn is_due(&self, waning: &[FlowKey]) -> bool {
        let known = waning.iter().all(|key| self.orphans.contains(key));
        !known && self.next.is_none_or(|next| Instant::now() >= next)
    }
}

impl Agent {
    /// Of sessions that will soon have been silent for too long, those whose sockets live begin to wait anew.
    pub(super) fn keep_alive(&mut self, waning: &[FlowKey]) {
        if !self.looked.is_due(waning) {
            return;
        }
        let kept = self.with_sockets(waning);
        let kept = kept.and_then(|kept| self.plane()?.refresh(&kept));
        let failed = |e| format!("idle sessions may expire although their sockets live: {e:#}");
        self.note("alive", kept.err().map(failed));
    }

    fn with_sockets(&mut self, waning: &[FlowKey]) -> anyhow::Result<Vec<FlowKey>> {
        let begun = Instant::now();
        let sockets = (self.sockets)()?;
        let pause = (begun.elapsed() * PART).min(AT_LEAST);
        let living: HashSet<FlowKey> = sockets
            .iter()
            .filter_map(|(socket, _)| session_of(socket))
            .collect();
        let (kept, orphans): (Vec<_>, Vec<_>) =
            waning.iter().copied().partition(|key| living.contains(key));
        self.looked = Looked {
            next: Some(Instant::now() + pause),
            orphans: orphans.into_iter().collect(),
        };
        Ok(kept)
    }
}

/// The session of a connected socket.
fn session_of(socket: &Socket) -> Option<FlowKey> {
    use Standing::{Established, FarFinished, Finished};
    if !matches!(socket.standing, Established | FarFinished | Finished) {
        return None;
    }
    let tuple = Tuple {
        source: mapped(socket.local.ip()),
        destination: mapped(socket.far.ip()),
        source_port: socket.local.port(),
        destination_port: socket.far.port(),
        protocol: socket.protocol,
        pad: [0; 3],
    };
    let mut key = FlowKey::default();
    tuple.key(&mut key);
    Some(key)
}
