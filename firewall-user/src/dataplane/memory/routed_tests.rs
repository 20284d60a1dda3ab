//! What no frame at one interface of a host can show: traffic that comes by another device.

use etherparse::PacketBuilder;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;

use super::MemoryTables;
use crate::policy::compile::compile;
use crate::policy::compiled::Numbers;
use crate::policy::testing::{HEAD, clock, policy};

const GUARDED: u32 = 2;
const BRIDGE: u32 = 3;
const NOW: u64 = 1_000_000_000_000;

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, b"x")
        .unwrap();
    frame
}

#[test]
fn a_masqueraded_session_is_no_way_in_for_our_own_address() {
    let policy = policy(&format!("{HEAD}policies: []\n"));
    let compiled = compile(&policy, &mut Numbers::default(), &clock()).unwrap();
    let mut tables = MemoryTables::with(&compiled);
    let (own, peer) = ([192, 0, 2, 1], [203, 0, 113, 9]);
    tables.add_local(own.into());
    tables.guard(GUARDED);
    let out = udp(own, peer, (40_000, 53));
    let leaves = tables.decide(&out, Hook::Egress, GUARDED, BRIDGE, NOW);
    assert_eq!(leaves.reason, Reason::Routed);
    // The same packet from outside, in our name.
    let forged = tables.decide(&out, Hook::Ingress, GUARDED, 0, NOW);
    assert_eq!(forged.reason, Reason::SpoofedSource);
    let answer = udp(peer, own, (53, 40_000));
    let arrives = tables.decide(&answer, Hook::Ingress, GUARDED, 0, NOW);
    assert_eq!(arrives.reason, Reason::Session);
}
