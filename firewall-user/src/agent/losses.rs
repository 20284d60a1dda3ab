//! How many records of events were lost, and where.

use super::state::Agent;
use crate::api::types::LossLine;
use crate::events::Loss;

impl Agent {
    /// Since the programs were loaded in the kernel, and since the agent started in it.
    pub(super) fn losses(&self) -> LossLine {
        let plane = self.plane.as_ref();
        let counts = plane.and_then(|plane| plane.event_counts().ok());
        let counts = counts.unwrap_or_default();
        let hub = |at| self.eyes.hub.lost(at);
        LossLine {
            limit: counts.values().map(|count| count.limited).sum(),
            ring: counts.values().map(|count| count.full).sum(),
            decode: hub(Loss::Decode),
            follower: hub(Loss::Follower),
            file: hub(Loss::File),
        }
    }
}
