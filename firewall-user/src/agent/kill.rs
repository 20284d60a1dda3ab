//! Sessions ended by hand.

use std::collections::BTreeSet;

use firewall_common::flow::FlowKey;
use firewall_common::session::end::Cause;

use super::clock;
use super::state::Agent;
use crate::api::types::{KillRequest, Killed, Problem, exit};
use crate::sessions::filter::Filter;
use crate::sessions::row;

impl KillRequest {
    /// The filter, where it picks on purpose: nothing at all would mean everything.
    ///
    /// # Errors
    /// It is no filter, or it is empty without `all`.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let filter: Filter = self
            .filter
            .parse()
            .map_err(|error| Problem::new(exit::INPUT, format!("{error}; nothing was ended")))?;
        match (filter == Filter::All, self.all) {
            (true, false) => Err(Problem::new(
                exit::INPUT,
                "no filter would mean every session, and nothing was ended: name some, as in `ringwall sessions kill peer 203.0.113.9`, or say `--all`",
            )),
            (false, true) => Err(Problem::new(
                exit::INPUT,
                "`--all` and a filter say two different things; nothing was ended",
            )),
            _ => Ok(filter),
        }
    }
}

impl Agent {
    /// Ends the live sessions that a filter picks.
    ///
    /// # Errors
    /// The filter is none, or the tables cannot be read or changed.
    pub fn kill(&mut self, request: &KillRequest) -> Result<Killed, Problem> {
        let filter = request.filter()?;
        let ended = self.end(&filter);
        let killed = ended.map_err(|error| Problem::new(exit::NO, format!("{error:#}")))?;
        Ok(Killed { killed })
    }

    fn end(&mut self, filter: &Filter) -> anyhow::Result<u64> {
        let (names, now) = (self.names(), clock::boot_now());
        let Some(plane) = self.plane.as_mut() else {
            return Ok(0);
        };
        let live = plane.sessions()?.into_iter();
        let picked = live.filter(|live| filter.picks(&row(live, &names, now)));
        let keys: Vec<FlowKey> = picked.map(|live| live.key).collect();
        let ended = plane.end(&keys, Cause::Killed)?;
        let count = ended
            .iter()
            .map(|session| session.key)
            .collect::<BTreeSet<_>>();
        // Not all of them have a record.
        self.eyes.hub.cut(&count);
        self.tell_ended(&ended, |_| Cause::Killed);
        Ok(count.len() as u64)
    }
}
