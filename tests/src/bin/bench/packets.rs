//! Row 1: what a packet costs in the loaded program, by `BPF_PROG_TEST_RUN`, net of the empty program in the same run.

use anyhow::Result;
use etherparse::PacketBuilder;
use firewall_common::flow::Hook;

use super::Plan;
use super::host::{HERE, Host, PEER, compiled, numbers, octets, parsed, policy};
use super::numbers::{Line, Samples};
use super::raw::Empty;

/// Rules ahead of the match.
const SIZES: [usize; 4] = [0, 1_000, 10_000, 100_000];
/// Runs of one sample.
const REPEAT: u32 = 20_000;

#[derive(Clone, Copy)]
enum Kind {
    Syn,
    SynAck,
    Ack,
}

/// A segment between a port of the peer's and one here.
fn tcp(far: u16, port: u16, kind: Kind) -> Vec<u8> {
    let out = matches!(kind, Kind::SynAck);
    let (from, to) = if out { (HERE, PEER) } else { (PEER, HERE) };
    let (source, destination) = if out { (port, far) } else { (far, port) };
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(octets(from), octets(to), 64);
    let builder = match kind {
        Kind::Syn => builder.tcp(source, destination, 1000, 64_240).syn(),
        Kind::SynAck => builder
            .tcp(source, destination, 5000, 64_240)
            .syn()
            .ack(1001),
        Kind::Ack => builder.tcp(source, destination, 1001, 64_240).ack(5001),
    };
    let mut frame = Vec::new();
    builder.write(&mut frame, b"").unwrap_or_default();
    frame
}

/// The row.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let empty = Empty::load()?;
    let mut host = Host::new(1 << 16)?;
    let mut lines = Vec::new();
    for size in SIZES {
        let policy = parsed(&policy(size, None))?;
        host.apply(&compiled(&policy, &mut numbers())?)?;
        for (segment, hook) in [
            (tcp(40_000, 443, Kind::Syn), Hook::Ingress),
            (tcp(40_000, 443, Kind::SynAck), Hook::Egress),
            (tcp(40_000, 443, Kind::Ack), Hook::Ingress),
        ] {
            host.time(&segment, hook, 1)?;
        }
        let established = tcp(40_000, 443, Kind::Ack);
        let denied = tcp(40_001, 9, Kind::Syn);
        let (mut hot, mut refused, mut opened) =
            (Samples::default(), Samples::default(), Samples::default());
        for round in plan.rounds(SIZES.len() as u32 + 1) {
            let floor = empty.run(&established, REPEAT)?.as_nanos() as f64;
            hot.push(host.time(&established, Hook::Ingress, REPEAT)? - floor);
            let floor = empty.run(&denied, REPEAT)?.as_nanos() as f64;
            refused.push(host.time(&denied, Hook::Ingress, REPEAT)? - floor);
            opened.push(openings(&mut host, &empty, round)?);
        }
        lines.push(Line::new(format!("established, hot, {size} rules"), "ns", hot).goal(150.0));
        lines.push(Line::new(
            format!("denied, hot, {size} rules"),
            "ns",
            refused,
        ));
        lines.push(Line::new(
            format!("new session, {size} rules"),
            "ns",
            opened,
        ));
    }
    // Its tables are none of the million's.
    drop(host);
    lines.extend(super::million::lines(plan)?);
    Ok(lines)
}

/// The mean of some openings, each a session of its own.
fn openings(host: &mut Host, empty: &Empty, round: usize) -> Result<f64> {
    const EACH: u16 = 64;
    let far = |n: u16| 1024 + (round as u16 % 500) * EACH + n;
    let frames: Vec<_> = (0..EACH).map(|n| tcp(far(n), 443, Kind::Syn)).collect();
    let mut floor = 0.0;
    for frame in &frames {
        floor += empty.run(frame, 1)?.as_nanos() as f64;
    }
    let opened = host.times(&frames, Hook::Ingress, 1)?;
    Ok(opened - floor / f64::from(EACH))
}
