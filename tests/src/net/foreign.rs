//! A program of somebody else on an interface: it lets everything by, some with a tag.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use firewall_common::source::Tag;

use super::Netns;
use super::program::{AFTER, BEFORE, Place, Program};

/// Where it sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// At XDP.
    Xdp,
    /// At TCX ingress, before all others.
    TcxFirst,
    /// At TCX ingress, after all others.
    TcxLast,
    /// At TCX egress, before all others.
    EgressFirst,
}

/// Sits on an interface until it is dropped.
pub struct Foreign {
    _link: OwnedFd,
}

impl Foreign {
    /// Attaches one with this name.
    pub fn attach(ns: &Netns, interface: &str, seat: Seat, name: &CStr) -> Result<Self> {
        let (place, flags) = seat.place();
        let program = || Program::answering(place, name, place.pass());
        Self::sit(ns, interface, program, flags)
    }

    /// One that puts a VLAN tag beside each frame, as a driver does that takes tags out.
    pub fn tagging(ns: &Netns, interface: &str, seat: Seat, tag: Tag) -> Result<Self> {
        let (place, flags) = seat.place();
        // bpf_skb_vlan_push(skb, protocol, control): helper 18.
        let protocol = set(2, tag.protocol.to_be().into());
        let control = set(3, tag.control.into());
        let code = [
            protocol,
            control,
            CALL | 18 << 32,
            set(0, place.pass()),
            EXIT,
        ];
        let program = || Program::load(place, c"tagging", &code);
        Self::sit(ns, interface, program, flags)
    }

    fn sit(
        ns: &Netns,
        interface: &str,
        program: impl FnOnce() -> io::Result<Program> + Send,
        flags: u32,
    ) -> Result<Self> {
        let index = ns.ifindex(interface)?;
        let link = ns.run(|| program()?.attach(index, flags));
        let _link = link.with_context(|| format!("a foreign program on {interface}"))?;
        Ok(Self { _link })
    }
}

impl Seat {
    const fn place(self) -> (Place, u32) {
        match self {
            Self::Xdp => (Place::Xdp, 0),
            Self::TcxFirst => (Place::Tc, BEFORE),
            Self::TcxLast => (Place::Tc, AFTER),
            Self::EgressFirst => (Place::TcEgress, BEFORE),
        }
    }
}

const CALL: u64 = 0x85;
const EXIT: u64 = 0x95;

/// Sets a register to a number.
fn set(register: u64, value: i32) -> u64 {
    0xb7 | register << 8 | u64::from(value.cast_unsigned()) << 32
}
