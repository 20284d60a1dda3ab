//! Programs of other owners on the hooks of guarded interfaces. They are respected, and shown: one that runs
//! before ours may end the chain, and then ours judges nothing.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use firewall_common::flow::Hook;

use super::{Place, Site};
use crate::dataplane::{netlink, raw};

/// Somebody else's program on an interface that is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface.
    pub interface: u32,
    /// `tcx` or `xdp`.
    pub hook: &'static str,
    /// Which way the packets go that it sees.
    pub direction: Hook,
    /// Its number.
    pub program: u32,
    /// Its name, where the kernel tells.
    pub name: Option<String>,
    /// It runs before ours.
    pub first: bool,
}

impl Site<'_> {
    /// Other owners' programs on an interface, in the order in which packets come to them. An interface that goes
    /// while it is asked about has none.
    pub(in crate::dataplane) fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        let ours = self.links(index).map(|link| raw::program_of(link.as_fd()));
        let ours: BTreeSet<u32> = ours.filter_map(Result::ok).collect();
        let early = matches!(self.place_of(index), Place::Xdp | Place::XdpGeneric);
        let neighbour = |hook, direction, program, first| Neighbour {
            interface: index,
            hook,
            direction,
            program,
            name: raw::program_name(program),
            first,
        };
        let xdp = netlink::xdp_program(index).ok().flatten();
        let xdp = xdp.filter(|program| !ours.contains(program));
        let mut all: Vec<Neighbour> = { xdp.into_iter() }
            .map(|program| neighbour("xdp", Hook::Ingress, program, true))
            .collect();
        for direction in [Hook::Ingress, Hook::Egress] {
            // What is at TC comes after all that is at XDP.
            let mut first = !(early && direction == Hook::Ingress);
            let egress = direction == Hook::Egress;
            for program in raw::programs_at(index, egress).unwrap_or_default() {
                if ours.contains(&program) {
                    first = false;
                } else {
                    all.push(neighbour("tcx", direction, program, first));
                }
            }
        }
        all
    }
}
