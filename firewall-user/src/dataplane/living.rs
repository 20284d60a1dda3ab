//! Sessions that go on although no packet comes: the agent says of which it knows that they live.

use firewall_common::flow::FlowKey;
use firewall_common::session::{Entry, Track, Window};

use super::Dataplane;
use super::error::Result;
use super::load;

impl Dataplane {
    /// Notes at `now` (see [`super::clock::boot_now`]) that sessions live. One that has ended meanwhile stays so.
    ///
    /// By the program that adds to sessions: only that can change an entry which packets change at the same time.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn refresh(&mut self, sessions: &[FlowKey], now: u64) -> Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        let carrier = match self.carrier.take() {
            Some(carrier) => carrier,
            None => load::carrier(&self.options, &self.paths)?,
        };
        let carrier = self.carrier.insert(carrier);
        let alive = Entry {
            last_seen: now,
            track: Track {
                windows: [Window::SILENT; 2],
                ..Track::default()
            },
            ..Entry::default()
        };
        sessions
            .iter()
            .try_for_each(|key| carrier.carry(key, &alive))
    }
}
