//! The emptiest programs there are, as the floor that every measurement stands on: two instructions each, loaded by hand so
//! that nothing of ours is in them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub(crate) use ringwall_tests::net::program::Place;
use ringwall_tests::net::program::Program;

/// A program that does nothing but answer.
pub(crate) struct Empty(Program);

impl Empty {
    /// Loads one that lets by: at TC, on to the next program.
    pub(crate) fn load() -> io::Result<Self> {
        let place = Place::Tc;
        Ok(Self(Program::answering(place, c"empty", place.pass())?))
    }

    /// The mean time of a run on a frame.
    pub(crate) fn run(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        self.0.run(frame, repeat, 0)
    }
}

/// Attaches a program that only lets by or only drops, in the caller's namespace, for as long as what is returned lives.
pub(crate) fn attach(place: Place, drops: bool, interface: u32) -> io::Result<OwnedFd> {
    let value = if drops { place.shot() } else { place.pass() };
    Program::answering(place, c"empty", value)?.attach(interface, 0)
}
