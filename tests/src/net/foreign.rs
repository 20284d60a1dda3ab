//! A program of somebody else on an interface: it lets everything by.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};

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
}

/// Sits on an interface until it is dropped.
pub struct Foreign {
    _link: OwnedFd,
}

impl Foreign {
    /// Attaches one with this name.
    pub fn attach(ns: &Netns, interface: &str, seat: Seat, name: &CStr) -> Result<Self> {
        let index = ns.ifindex(interface)?;
        let link = ns.run(|| sit(index, seat, name));
        let _link = link.with_context(|| format!("a foreign program on {interface}"))?;
        Ok(Self { _link })
    }
}

fn sit(index: u32, seat: Seat, name: &CStr) -> io::Result<OwnedFd> {
    let (place, flags) = match seat {
        Seat::Xdp => (Place::Xdp, 0),
        Seat::TcxFirst => (Place::Tc, BEFORE),
        Seat::TcxLast => (Place::Tc, AFTER),
    };
    Program::answering(place, name, place.pass())?.attach(index, flags)
}
