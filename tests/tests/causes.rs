//! Faults made on purpose, in random order and at once: what the agent says of each. `cargo xtask faults` does the
//! same many times over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::time::Duration;

use ringwall_tests::faults::{Kind, Loss, World, healthy, inject, watch};
use ringwall_tests::scenario::Random;
use ringwall_tests::{need_program, need_root};

/// On a machine that does other things, too.
const FOUND: Duration = Duration::from_secs(10);

#[test]
fn every_fault_is_named_by_its_evidence_and_none_wrongly() {
    need_root!();
    need_program!("nft");
    let world = World::new().unwrap();
    // Some only, by their names, for who looks into one.
    let only = std::env::var("RINGWALL_FAULTS").unwrap_or_default();
    let picked = |kind: &&Kind| only.is_empty() || only.contains(&format!("{kind:?}"));
    let kinds: Vec<Kind> = Kind::ALL.iter().filter(picked).copied().collect();
    let faults = inject(&world, &kinds, &mut Random::seeded()).unwrap();
    let named = watch(&world, &faults, FOUND).unwrap();
    let mut wrong = Vec::new();
    for (fault, named) in faults.iter().zip(&named) {
        let family = if fault.v6 { "IPv6" } else { "IPv4" };
        println!(
            "{:?} ({family}): {:?} after {:?}",
            fault.kind, named.cause, named.after
        );
        if !named.is_right(fault) {
            let port = format!("port {}", fault.destination.port());
            let flows = world.host.cli(&["flows", &port]).unwrap().out;
            wrong.push(format!("{:?} {family}: {named:#?}\n{flows}", fault.kind));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.join("\n"),
        world.host.log()
    );
}

/// Two uplinks, and answers that take the other one: both are named, with what can be done.
#[test]
fn asymmetric_routing_is_told_with_both_interfaces_and_the_remedies() {
    need_root!();
    need_program!("nft");
    let world = World::new().unwrap();
    let kinds = [
        (Kind::AnswerOtherUplink, "up1"),
        (Kind::OtherWayBack, "up1"),
        (Kind::AnswerUnguarded, "up2"),
        (Kind::AskedUnguarded, "up2"),
        (Kind::UnguardedWayBack, "up2"),
    ];
    let asked: Vec<Kind> = kinds.iter().map(|(kind, _)| *kind).collect();
    let faults = inject(&world, &asked, &mut Random::seeded()).unwrap();
    for (fault, named) in faults.iter().zip(watch(&world, &faults, FOUND).unwrap()) {
        let (_, other) = kinds.iter().find(|(kind, _)| *kind == fault.kind).unwrap();
        let (row, kind) = (named.row, fault.kind);
        let text = row["evidence"].to_string();
        assert!(
            text.contains("up0") && text.contains(other),
            "{kind:?}: {row:#}"
        );
        let advice = row["advice"].as_str().unwrap();
        for remedy in ["symmetric", "route by source address", "stateful: false"] {
            assert!(advice.contains(remedy), "{kind:?}: {row:#}");
        }
    }
}

#[test]
fn what_loses_packets_and_completes_is_never_reported() {
    need_root!();
    need_program!("nft");
    let loss = Loss {
        connections: 400,
        workers: 24,
        percent: 5,
    };
    let (completed, reported) = healthy(&World::new().unwrap(), &loss).unwrap();
    assert_eq!(completed, loss.connections);
    assert!(reported.is_empty(), "{reported:#?}");
}
