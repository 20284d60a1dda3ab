//! Programs of other owners on the hooks of guarded interfaces.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use super::Site;
use crate::dataplane::neighbours::{self, Neighbour};
use crate::dataplane::raw;

impl Site<'_> {
    /// Other owners' programs on an interface, in the order in which packets come to them. An interface that goes
    /// while it is asked about has none.
    pub(in crate::dataplane) fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        let ours = self.links(index).map(|link| raw::program_of(link.as_fd()));
        let ours: BTreeSet<u32> = ours.filter_map(Result::ok).collect();
        let early = neighbours::at_xdp(index).ok().flatten();
        let late = neighbours::at_tcx(index).unwrap_or_default();
        let all = early.into_iter().chain(late).collect();
        neighbours::others(index, all, |program| ours.contains(&program.id))
    }
}
