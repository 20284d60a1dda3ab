//! A flood that costs its sender next to nothing: a program of a few instructions, run with live frames, redirects a frame
//! into the wire again and again, each time from a source of its own.

use std::io;
use std::time::Duration;

use anyhow::{Result, ensure};
use etherparse::{IpHeaders, Ipv4Extensions, Ipv4Header, PacketBuilder};

use super::End;
use super::program::{LIVE, Place, Program};

/// A sender of frames, each from a source of its own. The low half of the IPv4 source and the source port are drawn; what is
/// drawn is taken out again of the IP id and, over TCP, of the sequence number, so that checksums stay right.
#[derive(Debug)]
pub struct Sender(Program);

/// One instruction (RFC 9669, section 3): opcode, registers, offset, immediate.
const fn op(code: u64, to: u64, from: u64, offset: i16, value: u32) -> u64 {
    code | to << 8 | from << 12 | (offset as u16 as u64) << 16 | (value as u64) << 32
}

impl Sender {
    /// Sends out of an interface of the caller's namespace.
    ///
    /// # Errors
    /// The kernel refuses the program.
    pub fn load(interface: u32, tcp: bool) -> io::Result<Self> {
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
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn send(&self, frame: &[u8], times: u32) -> io::Result<()> {
        self.0.run(frame, times, LIVE).map(drop)
    }
}

/// A frame from 198.18.0.0/16 to port 9 of an address, whose checksums are right whatever the sender draws.
///
/// # Errors
/// It cannot be built.
pub fn frame(near: &End, far: &End, to: [u8; 4], tcp: bool) -> Result<Vec<u8>> {
    // The low half of the source, the port and what they are taken out of count as one word of ones.
    let header = Ipv4Header {
        identification: 0xffff,
        time_to_live: 64,
        source: [198, 18, 0, 0],
        destination: to,
        ..Ipv4Header::default()
    };
    let ip = IpHeaders::Ipv4(header, Ipv4Extensions::default());
    let builder = PacketBuilder::ethernet2(near.mac, far.mac).ip(ip);
    let mut frame = Vec::new();
    if tcp {
        let builder = builder.tcp(0, 9, u32::MAX, 64_240).syn();
        builder.write(&mut frame, &[0; 6])?;
        return Ok(frame);
    }
    builder.udp(0, 9).write(&mut frame, &[0; 18])?;
    ensure!(frame.len() > 42, "a short frame");
    // None, which IPv4 allows.
    frame[40..42].fill(0);
    Ok(frame)
}

/// Waits until what was sent has been handled: a number that rises meanwhile stays the same.
///
/// # Errors
/// The number cannot be read.
pub fn settle(mut handled: impl FnMut() -> Result<u64>) -> Result<()> {
    let mut last = handled()?;
    // On a busy machine the receiver may wait for a processor, and a slow peer takes 0.5 s for what it gets.
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(150));
        let now = handled()?;
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    Ok(())
}
