//! A million sessions: what they take of memory, and what a packet costs that finds its own among them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use etherparse::PacketBuilder;
use firewall_common::flow::Hook;
use ringwall_tests::scenario::Random;

use super::Plan;
use super::host::{HERE, Host, compiled, numbers, octets, parsed, policy};
use super::numbers::{Line, Samples};
use super::raw::Empty;

const SESSIONS: u32 = 1_000_000;
/// Packets of one sample, each of a session of its own.
const EACH: usize = 4_096;
const MIB: f64 = 1_048_576.0;

/// A datagram of a session, to here or back.
fn datagram(session: u32, back: bool) -> Vec<u8> {
    let [_, a, b, c] = (session / 16).to_be_bytes();
    let far = ([198, 18 + (a & 1), b, c], 20_000 + (session % 16) as u16);
    let near = (octets(HERE), 443);
    let (from, to) = if back { (near, far) } else { (far, near) };
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64);
    let mut frame = Vec::new();
    let written = builder.udp(from.1, to.1).write(&mut frame, &[0; 18]);
    written.unwrap_or_default();
    frame
}

/// Part of the row about packets.
pub(crate) fn lines(plan: &Plan) -> Result<Vec<Line>> {
    let empty = Empty::load()?;
    let mut host = Host::new(1 << 20)?;
    host.apply(&compiled(&parsed(&policy(0, None))?, &mut numbers())?)?;
    let sessions = if plan.quick { SESSIONS / 4 } else { SESSIONS };
    for first in (0..sessions).step_by(8192) {
        let some = first..(first + 8192).min(sessions);
        let there: Vec<_> = some.clone().map(|n| datagram(n, false)).collect();
        let back: Vec<_> = some.map(|n| datagram(n, true)).collect();
        host.times(&there, Hook::Ingress, 1)?;
        host.times(&back, Hook::Egress, 1)?;
    }
    let mut random = Random::from_seed(1);
    let mut cold = Samples::default();
    for _ in plan.rounds(5) {
        let drawn = (0..EACH).map(|_| random.below(sessions.into()) as u32);
        let frames: Vec<_> = drawn.map(|n| datagram(n, false)).collect();
        let mut floor = 0.0;
        for frame in &frames {
            floor += empty.run(frame, 1)?.as_nanos() as f64;
        }
        cold.push(host.times(&frames, Hook::Ingress, 1)? - floor / EACH as f64);
    }
    let memory = memory()? / MIB;
    Ok(vec![
        Line::new(format!("established, cold among {sessions}"), "ns", cold).goal(800.0),
        Line::exact(
            "tables with room for 1048576 sessions, all included",
            "MiB",
            memory,
        )
        .goal(230.0),
    ])
}

/// Memory of every table that this process holds open, by the kernel's own account (`memlock` of fdinfo).
fn memory() -> Result<f64> {
    let mut tables: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            tables.insert(id, bytes);
        }
    }
    let sum = tables.values().sum::<u64>();
    (sum > 0).then_some(sum as f64).context("no table is open")
}
