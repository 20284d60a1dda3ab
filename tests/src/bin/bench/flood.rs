//! Row 2: a flood at a port that is denied: what each packet costs the side that receives it.
//!
//! One processor sends frames that need no sender's stack; on the other the wire's own kernel thread receives them. The cost
//! is that thread's time on a processor over the packets that it has handled, so what else the machine does is not in it.

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::injector::{Sender, frame, settle};
use ringwall_tests::net::receiver::{bind, kernel_threads, on_processor};

use super::Plan;
use super::host::{HERE, octets};
use super::lab::{Lab, Peer, packets, why};
use super::numbers::{Line, Samples};
use super::raw::Place;

/// Rules ahead, and who is measured with so many.
const CASES: [(usize, &[Peer]); 2] = [
    (
        0,
        &[
            Peer::Nothing,
            Peer::Floor(Place::Xdp, true),
            Peer::Floor(Place::Tc, true),
            Peer::Nft,
            Peer::Iptables,
            Peer::XdpFilter,
            Peer::Ringwall("xdp"),
            Peer::Ringwall("tc"),
        ],
    ),
    (
        10_000,
        &[
            Peer::Nft,
            Peer::NftMap,
            Peer::Iptables,
            Peer::Ringwall("xdp"),
            Peer::Ringwall("tc"),
        ],
    ),
];

/// Who receives.
struct Target {
    peer: Peer,
    rules: usize,
    lab: Lab,
    thread: u32,
    senders: [(Sender, Vec<u8>); 2],
    costs: [Samples; 2],
}

/// The row.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut targets = Vec::new();
    for (rules, peers) in CASES {
        for peer in peers {
            match target(*peer, rules) {
                Ok(target) => targets.push(target),
                Err(error) => lines.push(Line::missing(label(*peer, rules, "UDP"), why(&error))),
            }
        }
    }
    for _ in plan.rounds(1) {
        for target in &mut targets {
            for kind in 0..2 {
                match measure(plan, target, kind) {
                    Ok(cost) => target.costs[kind].push(cost),
                    // A sample that could not be taken keeps the others.
                    Err(error) => eprintln!("  {error:#}"),
                }
            }
        }
    }
    for target in &targets {
        for (kind, word) in ["UDP", "SYN"].into_iter().enumerate() {
            let what = label(target.peer, target.rules, word);
            lines.push(Line::new(what, "ns", target.costs[kind].clone()));
        }
    }
    for (kind, word) in ["UDP", "SYN"].into_iter().enumerate() {
        lines.extend(goals(&targets, kind, word));
    }
    Ok(lines)
}

fn label(peer: Peer, rules: usize, word: &str) -> String {
    format!("{word}, {}, {rules} rules", peer.name())
}

/// Ratios of pairs of one round.
fn goals(targets: &[Target], kind: usize, word: &str) -> Vec<Line> {
    let of = |peer: Peer, rules: usize| {
        let mut all = targets.iter();
        let found = all.find(|target| target.peer == peer && target.rules == rules);
        found.map(|target| &target.costs[kind])
    };
    let ours = Peer::Ringwall("xdp");
    let wanted = [
        (
            "times cheaper than nftables with conntrack, 0 rules",
            (Peer::Nft, 0),
            (ours, 0),
            6.0,
            true,
        ),
        (
            "times cheaper than nftables with a map, 10000 rules",
            (Peer::NftMap, 10_000),
            (ours, 10_000),
            8.0,
            true,
        ),
        (
            "times cheaper than nftables, linear, 10000 rules",
            (Peer::Nft, 10_000),
            (ours, 10_000),
            300.0,
            true,
        ),
        (
            "of its own cost at 0 rules, with 10000",
            (ours, 10_000),
            (ours, 0),
            1.5,
            false,
        ),
    ];
    let line =
        |(what, over, under, goal, least): (&str, (Peer, usize), (Peer, usize), f64, bool)| {
            let what = format!("{word} flood, XDP: {what}");
            let ratio = Some((of(over.0, over.1)?, of(under.0, under.1)?));
            let (over, under) = ratio?;
            let line = Line::new(what, "x", over.over(under));
            Some(if least {
                line.least(goal)
            } else {
                line.goal(goal)
            })
        };
    wanted
        .into_iter()
        .map(|one| {
            line(one).unwrap_or_else(|| {
                Line::missing(
                    format!("{word} flood, XDP: {}", one.0),
                    "a peer of it is missing".to_owned(),
                )
            })
        })
        .collect()
}

fn target(peer: Peer, rules: usize) -> Result<Target> {
    let lab = Lab::new(Peer::Nothing, 0)?;
    receiving(&lab)?;
    let threaded = format!("echo 1 > /sys/class/net/{}/threaded", lab.near.interface);
    // `ip netns exec` shows the namespace's own /sys.
    let name = lab.server.name().to_owned();
    let before = kernel_threads("napi/s0-");
    let ran = std::process::Command::new("ip")
        .args(["netns", "exec", &name, "sh", "-c", &threaded])
        .output()?;
    ensure!(
        ran.status.success(),
        "threaded NAPI: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let mut lab = lab.with(peer, rules)?;
    // What is pinned goes on. An agent would only listen to what the kernel drops, which costs every peer.
    if let Some(host) = lab.agent() {
        host.stop()?;
    }
    let after = kernel_threads("napi/s0-");
    let thread = after.into_iter().find(|pid| !before.contains(pid));
    let thread = thread.context("the wire has no receiving thread")?;
    bind(thread, 1);
    let index = lab.far.ifindex;
    let sender = |tcp: bool| -> Result<(Sender, Vec<u8>)> {
        let sender = lab.client.run(|| Sender::load(index, tcp))?;
        Ok((sender, frame(&lab.far, &lab.near, octets(HERE), tcp)?))
    };
    let senders = [sender(false)?, sender(true)?];
    Ok(Target {
        peer,
        rules,
        lab,
        thread,
        senders,
        costs: [Samples::default(), Samples::default()],
    })
}

/// Without GRO a veth has no receiver of its own, and drops what is injected.
pub(crate) fn receiving(lab: &Lab) -> Result<()> {
    let ethtool = lab
        .server
        .exec("ethtool", &["-K", &lab.near.interface, "gro", "on"])?;
    ensure!(ethtool.ok(), "ethtool: {}", ethtool.err.trim());
    Ok(())
}

/// Nanoseconds of the receiving side for a packet.
fn measure(plan: &Plan, target: &Target, kind: usize) -> Result<f64> {
    let slow = target.rules > 0 && matches!(target.peer, Peer::Nft | Peer::Iptables);
    // Who is slow gets no more at a time than the wire holds (256 frames), for else nearly all is lost there.
    let (bursts, times) = match (slow, plan.quick) {
        (true, _) => (8, 200),
        (false, true) => (1, 200_000),
        (false, false) => (1, 600_000),
    };
    let lab = &target.lab;
    let stat = format!("/proc/{}/schedstat", target.thread);
    let now = || -> Result<(u64, u64)> {
        Ok((
            on_processor(stat.as_ref()).as_nanos() as u64,
            packets(&lab.server, &lab.near.interface)?,
        ))
    };
    let (sender, frame) = &target.senders[kind];
    let before = now()?;
    for _ in 0..bursts {
        let begun = now()?.1;
        lab.client.run(|| {
            bind(0, 0);
            sender.send(frame, times)
        })?;
        settle(|| Ok(now()?.1 - begun))?;
    }
    let after = now()?;
    let handled = after.1 - before.1;
    ensure!(
        handled > 200,
        "{}: only {handled} packets of {bursts} times {times} came",
        target.peer.name()
    );
    Ok((after.0 - before.0) as f64 / handled as f64)
}
