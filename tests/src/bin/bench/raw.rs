//! The emptiest programs there are, as the floor that every measurement stands on, and the sender of floods: a few
//! instructions each, loaded by hand so that nothing of ours is in them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub(crate) use ringwall_tests::net::program::Place;
use ringwall_tests::net::program::{LIVE, Program};

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

/// A sender of frames, each from a source of its own.
pub(crate) struct Sender(Program);

/// One instruction (RFC 9669, section 3): opcode, registers, offset, immediate.
const fn op(code: u64, to: u64, from: u64, offset: i16, value: u32) -> u64 {
    code | to << 8 | from << 12 | (offset as u16 as u64) << 16 | (value as u64) << 32
}

impl Sender {
    /// Sends out of an interface of the caller's namespace. The low half of the IPv4 source and the source port are
    /// drawn; what is drawn is taken out again of the IP id and of the four bytes at 38, so that checksums stay right.
    pub(crate) fn load(interface: u32, tcp: bool) -> io::Result<Self> {
        let mut code = vec![
            op(0x61, 7, 1, 0, 0),        // r7 = data
            op(0x61, 3, 1, 4, 0),        // r3 = data_end
            op(0xbf, 2, 7, 0, 0),        // r2 = r7
            op(0x07, 2, 0, 0, 54),       // r2 += 54
            op(0xb7, 0, 0, 0, 1),        // r0 = XDP_DROP
            op(0x2d, 2, 3, 0, 0),        // if r2 > r3 goto exit (offset set below)
            op(0x85, 0, 0, 0, 7),        // call bpf_get_prandom_u32
            op(0xbf, 8, 0, 0, 0),        // r8 = r0
            op(0x6b, 7, 8, 28, 0),       // source, low half
            op(0xbf, 9, 8, 0, 0),        // r9 = r8
            op(0xa7, 9, 0, 0, u32::MAX), // r9 ^= -1
            op(0x6b, 7, 9, 18, 0),       // IP id
        ];
        if tcp {
            code.push(op(0x6b, 7, 9, 38, 0)); // sequence, high half
        }
        code.extend([
            op(0x77, 8, 0, 0, 16), // r8 >>= 16
            op(0x6b, 7, 8, 34, 0), // source port
        ]);
        if tcp {
            code.extend([
                op(0xbf, 9, 8, 0, 0),
                op(0xa7, 9, 0, 0, u32::MAX),
                op(0x6b, 7, 9, 40, 0), // sequence, low half
            ]);
        }
        code.extend([
            op(0xb7, 1, 0, 0, interface), // r1 = interface
            op(0xb7, 2, 0, 0, 0),
            op(0x85, 0, 0, 0, 23), // call bpf_redirect
            op(0x95, 0, 0, 0, 0),
        ]);
        let exit = code.len() as i16 - 1;
        code[5] = op(0x2d, 2, 3, exit - 6, 0);
        Ok(Self(Program::load(Place::Xdp, c"flood", &code)?))
    }

    /// Sends a frame so many times, from the calling thread's namespace.
    pub(crate) fn send(&self, frame: &[u8], times: u32) -> io::Result<()> {
        self.0.run(frame, times, LIVE).map(|_| ())
    }
}
