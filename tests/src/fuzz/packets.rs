//! Every parser of packets, sessions and the look-up, by way of `decide()`: frames one after the other through a host in
//! memory. The first byte of each says how it comes; two more, how long it is.

use std::cell::RefCell;
use std::sync::OnceLock;

use firewall_common::flow::Hook;
use firewall_common::packet::Packet;
use firewall_common::parse;
use firewall_common::source::{Slice, Tag};
use firewall_user::policy::compile::compile;
use firewall_user::policy::compiled::{Compiled, Numbers};
use firewall_user::policy::{HostContext, oracle, read_bytes};

use crate::run::Bench as _;
use crate::run::host::HostBench;

const POLICY: &str = include_str!("../differential/policy.yaml");
/// Frames of one input; more tell nothing new.
const MOST: usize = 24;

thread_local! {
    /// Filling the tables takes a thousand times as long as a packet.
    static BENCH: RefCell<Option<HostBench>> = const { RefCell::new(None) };
}

/// A host under the policy that has seen nothing yet.
fn bench() -> HostBench {
    let kept = BENCH.take();
    let mut bench = kept.unwrap_or_else(|| {
        let mut bench = HostBench::default();
        bench.apply(policy()).expect("tables in memory");
        bench
    });
    bench.forget();
    bench
}

fn policy() -> &'static Compiled {
    static POLICY_ONCE: OnceLock<Compiled> = OnceLock::new();
    POLICY_ONCE.get_or_init(|| {
        let host = HostContext::default();
        let read = read_bytes("fuzz.yaml", POLICY.as_bytes().to_vec(), &host);
        let policy = read.expect("the policy is good").policy;
        let clock = HostBench::default().clock();
        compile(&policy, &mut Numbers::default(), &clock).expect("it compiles")
    })
}

/// A compiled policy as bytes, for the target that reads such.
pub(super) fn compiled() -> Vec<u8> {
    postcard::to_stdvec(&(policy(), Numbers::default())).expect("it can be written")
}

pub(super) fn decide_about(bytes: &[u8]) {
    let mut bench = bench();
    frames(&mut bench, bytes);
    BENCH.set(Some(bench));
}

fn frames(bench: &mut HostBench, mut bytes: &[u8]) {
    for _ in 0..MOST {
        let Some((how, frame, rest)) = next(bytes) else {
            return;
        };
        bytes = rest;
        let tag = (how & 2 != 0).then_some(Tag {
            protocol: 0x8100,
            control: u16::from(how >> 4),
        });
        let hook = if how & 1 == 0 {
            Hook::Ingress
        } else {
            Hook::Egress
        };
        bench.bare = how & 4 != 0 && frame.len() > 14;
        let seen = bench.send(hook, frame, tag).expect("tables in memory");
        let unread = read(frame, tag);
        if !bench.bare {
            assert!(unread || !seen.passed, "what cannot be read passed");
        }
        if how & 8 != 0 {
            bench.wait(u64::from(how)).expect("a clock in memory");
        }
    }
}

/// How it comes, the frame, and what follows.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(3)?;
    let length = usize::from(u16::from_be_bytes([head[1], head[2]])).min(rest.len());
    let (frame, rest) = rest.split_at(length);
    Some((head[0], frame, rest))
}

/// Can it be read? Then all places are inside the frame and in order, and the oracle's own parser reads the same.
fn read(frame: &[u8], tag: Option<Tag>) -> bool {
    let mut packet = Packet::default();
    if parse::parse(&Slice { bytes: frame, tag }, &mut packet).is_err() {
        return false;
    }
    if packet.family == 0 {
        return true;
    }
    let places = [
        14,
        packet.l3,
        packet.l4,
        packet.payload,
        packet.end,
        frame.len() as u32,
    ];
    assert!(places.is_sorted(), "places out of order: {packet:?}");
    // The oracle reads no tags and no extension headers.
    let simple = packet.l3 == 14 && (packet.family == 4 || packet.l4 == 54);
    if let Ok(other) = oracle::parse(frame)
        && simple
    {
        let tuple = &packet.tuple;
        assert_eq!(other.protocol, tuple.protocol, "{packet:?}");
        if let Some(ports) = other
            .ports
            .filter(|_| packet.fragment == firewall_common::packet::WHOLE)
        {
            assert_eq!(
                ports,
                (tuple.source_port, tuple.destination_port),
                "{packet:?}"
            );
        }
    }
    true
}
