//! Counters are exact: what several generators sent at once, through either hook, is the sum of all verdicts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_user::dataplane::{Dataplane, Info, Ingress, Options, clock};
use firewall_user::policy::compiled::{Clock, Numbers};
use firewall_user::policy::{HostContext, compile};
use ringwall_tests::case::packet::{
    HOST_MAC, PEER_MAC, Packet, ack, ethernet, flag, icmp, ping, raw, syn, syn_ack, tcp, udp,
};
use ringwall_tests::case::{Family, families};
use ringwall_tests::cases::WEB;
use ringwall_tests::need_root;
use ringwall_tests::net::offloads::{Offload, switch};
use ringwall_tests::net::packet::{Tap, Wire};
use ringwall_tests::net::receiver::lost;
use ringwall_tests::net::xdp::PassAll;
use ringwall_tests::net::{RunDir, wait_until};
use ringwall_tests::run::wire::World;

/// Generators at a time for each direction, and how many frames each sends.
const THREADS: usize = 2;
const EACH: usize = 8_000;
/// Places in the session tables: soon full.
const VERIFIED: u32 = 16;
const HALF_OPEN: u32 = 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// A guarded host and its peer; both stacks are mute.
struct Guarded {
    plane: Dataplane,
    world: World,
    _far: Option<PassAll>,
    _dir: RunDir,
}

impl Guarded {
    fn new(ingress: Ingress) -> Self {
        let world = World::new().unwrap();
        let far = (ingress == Ingress::Xdp).then(|| PassAll::attach(&world.far).unwrap());
        let dir = RunDir::new("exact").unwrap();
        let options = Options {
            bpf_dir: dir.bpf(),
            sessions_max: VERIFIED,
            half_open_max: HALF_OPEN,
            ..Options::default()
        };
        let plane = world.host().run(|| {
            let mut plane = Dataplane::open(&options).unwrap();
            plane
                .set_locals(&ringwall_tests::run::kernel::locals())
                .unwrap();
            plane.attach_at("eth0", ingress).unwrap();
            plane
        });
        let mut guarded = Self {
            plane,
            world,
            _far: far,
            _dir: dir,
        };
        guarded.apply(WEB);
        guarded
    }

    fn apply(&mut self, text: &str) {
        let host = HostContext::default();
        let checked =
            firewall_user::policy::read_bytes("case", text.as_bytes().to_vec(), &host).unwrap();
        let clock = Clock {
            boot: clock::boot_now(),
            wall: jiff::Timestamp::now(),
        };
        let compiled = compile::compile(&checked.policy, &mut Numbers::default(), &clock).unwrap();
        let info = Info {
            name: "case".into(),
            revision: 1,
            digest: [0; 32],
            applied: 0,
        };
        let near = &self.world.near;
        let interfaces = [(near.interface.clone(), near.ifindex)];
        self.plane.apply(&compiled, &info, &interfaces).unwrap();
    }

    /// Packets at a hook by reason.
    fn counted(&self, hook: Hook) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        let all = self.plane.packet_counts().unwrap();
        for found in all.iter().filter(|found| found.hook == hook) {
            *sums.entry(found.reason.word()).or_default() += found.count.packets;
        }
        sums
    }
}

/// One of each kind that may arrive, the `n`th of its kind.
fn arriving(f: &Family, n: u16) -> Vec<Vec<u8>> {
    let from = (f.stranger, 10_000 + n);
    let own = (f.host, 443);
    let segment = |flags| tcp(from, own, flags, 1, 1);
    let later = |offset, id: u16| {
        raw(f.stranger, f.host, 17, vec![0; 32]).fragment(offset, false, id.into())
    };
    let mut all: Vec<Packet> = vec![
        syn(from, own),
        syn(from, (f.host, 23)),
        syn(from, (f.host, 22)),
        segment(flag::ACK),
        segment(flag::SYN | flag::FIN),
        syn(from, own).version(5),
        syn(from, own).claims_length(900),
        later(64, n),
        raw(f.stranger, f.host, 6, vec![0; 32]).fragment(8, false, 9),
        syn((f.host, from.1), own),
        udp((f.group, 9), own, b"x"),
        ping(f.stranger, f.host, n),
        udp((f.stranger, 53), (f.host, 20_000 + n), b"answer"),
        udp((f.stranger, from.1), (f.host, 113), b"refused"),
        // Of the session that is there.
        tcp(client(f), own, flag::ACK, 1001, 5001),
        tcp(client(f), own, flag::ACK, 0x4000_0000, 5001),
    ];
    if f.v6 {
        all.push(syn(from, own).extension(43, &[0, 0]));
        all.push(icmp(f.stranger, f.host, 135, 0, 0, &[0; 16]).ttl(9));
    } else {
        all.push(syn(from, own).options(&[131, 7, 4, 10, 0, 0, 1]));
    }
    let mut frames: Vec<_> = all.iter().map(Packet::frame).collect();
    frames.push(ethernet(HOST_MAC, PEER_MAC, 0x8137, &[0; 50]));
    frames
}

fn client(f: &Family) -> (std::net::IpAddr, u16) {
    (f.stranger, 40_000)
}

/// One of each kind that may leave.
fn leaving(f: &Family, n: u16) -> Vec<Vec<u8>> {
    let question = udp((f.host, 20_000 + n), (f.stranger, 53), b"question");
    let stray = ack((f.host, 10_000 + n), (f.stranger, 443));
    let answer = tcp((f.host, 443), client(f), flag::ACK, 5001, 1001);
    [question, stray, answer, ping(f.host, f.stranger, n)]
        .iter()
        .map(Packet::sent)
        .chain([ethernet(PEER_MAC, HOST_MAC, 0x8137, &[0; 50])])
        .collect()
}

/// All kinds, many of each.
fn many(of: fn(&Family, u16) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let each = |n| families().map(|family| of(&family, n)).concat();
    (0..200).flat_map(each).collect()
}

fn send(wire: &Wire, frames: &[Vec<u8>], from: usize) {
    let frames = frames.iter().cycle().skip(from * 17).take(EACH);
    frames.for_each(|frame| wire.send(frame).unwrap());
}

/// What must have been there, or the generator is not what it should be.
const REASONS: [Reason; 18] = [
    Reason::RuleDeny,
    Reason::NoPolicy,
    Reason::NoSession,
    Reason::BadTcpFlags,
    Reason::OutOfWindow,
    Reason::Malformed,
    Reason::Truncated,
    Reason::FragmentWithoutFirst,
    Reason::FragmentOverlap,
    Reason::IpOptions,
    Reason::Ipv6RoutingHeader,
    Reason::UnsupportedEthertype,
    Reason::SpoofedSource,
    Reason::Martian,
    Reason::SessionTableFull,
    Reason::RuleReject,
    Reason::NdInvalid,
    Reason::Session,
];

fn sums_are_exact(ingress: Ingress) {
    let guarded = Guarded::new(ingress);
    let (near, far) = (&guarded.world.near, &guarded.world.far);
    let (inward, outward) = (
        Wire::open(far, Tap::Passed(0x88b5)).unwrap(),
        Wire::open(near, Tap::Passed(0x88b5)).unwrap(),
    );
    let mut sent = [0, 0];
    for f in families() {
        let (client, server) = (client(&f), (f.host, 443));
        inward.send(&syn(client, server).frame()).unwrap();
        outward.send(&syn_ack(server, client).sent()).unwrap();
        inward.send(&ack(client, server).frame()).unwrap();
        sent = [sent[0] + 2, sent[1] + 1];
    }
    let arriving = many(arriving);
    let leaving = many(leaving);
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (arriving, leaving) = (&arriving, &leaving);
            let (inward, outward) = (&inward, &outward);
            scope.spawn(move || send(inward, arriving, number));
            scope.spawn(move || send(outward, leaving, number));
        }
    });
    sent = sent.map(|before| before + (THREADS * EACH) as u64);
    let expected = [sent[0] - lost(far).unwrap(), sent[1]];
    let sums =
        || [Hook::Ingress, Hook::Egress].map(|hook| guarded.counted(hook).values().sum::<u64>());
    let exact = wait_until(PATIENCE, || (sums() == expected).then_some(()));
    assert!(
        exact.is_some(),
        "sent {sent:?}, expected {expected:?}, counted {:?}",
        sums()
    );
    let by_reason = guarded.counted(Hook::Ingress);
    println!("arrived: {by_reason:?}");
    for reason in REASONS {
        assert!(
            by_reason.contains_key(reason.word()),
            "no {} in {by_reason:?}",
            reason.word()
        );
    }
    let plane = guarded.plane;
    let host = guarded.world.host().clone();
    host.run(|| plane.detach_all()).unwrap();
}

#[test]
fn the_sum_of_the_verdicts_is_what_was_sent_through_tc() {
    need_root!();
    sums_are_exact(Ingress::Tc);
}

#[test]
fn the_sum_of_the_verdicts_is_what_was_sent_through_xdp() {
    need_root!();
    sums_are_exact(Ingress::Xdp);
}

/// There and back, under way all the time. The wire's end has a receiver of its own throughout, so that it frees none of
/// what waits in its ring when XDP goes: that would be the device's loss and no verdict.
#[test]
fn the_sum_of_the_verdicts_is_what_was_sent_while_the_hook_changes() {
    need_root!();
    let mut guarded = Guarded::new(Ingress::Tc);
    let Guarded { plane, world, .. } = &mut guarded;
    switch(&world.near, Offload::Merge, true).unwrap();
    let host = world.host().clone();
    host.run(|| plane.ready_early()).unwrap();
    let wire = Wire::open(&world.far, Tap::Passed(0x88b5)).unwrap();
    let frames = many(arriving);
    let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let mut frames = frames.iter().cycle().skip(number * 17);
            let (wire, sent, stop) = (&wire, &sent, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    wire.send(frames.next().unwrap()).unwrap();
                    let before = sent.fetch_add(1, Ordering::Relaxed);
                    // As many as a busy machine takes out of the ring.
                    if before.is_multiple_of(8) {
                        std::thread::sleep(Duration::from_micros(500));
                    }
                }
            });
        }
        for _ in 0..5 {
            for (to, hook) in [(Ingress::Xdp, "xdp"), (Ingress::Tc, "tcx")] {
                let attached = host.run(|| plane.attach_at("eth0", to)).unwrap();
                assert_eq!(attached.hook.word(), hook, "{:?}", attached.instead);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let sent = sent.load(Ordering::Relaxed);
    let expected = sent - lost(&guarded.world.far).unwrap();
    let sum = || guarded.counted(Hook::Ingress).values().sum::<u64>();
    let exact = wait_until(PATIENCE, || (sum() == expected).then_some(()));
    assert!(
        exact.is_some(),
        "sent {sent}, {expected} came, {} were counted",
        sum()
    );
    assert!(sent > 2000, "it hardly sent");
    let by_reason = guarded.counted(Hook::Ingress);
    for reason in [Reason::RuleAllow, Reason::Session, Reason::RuleDeny] {
        assert!(by_reason.contains_key(reason.word()), "{by_reason:?}");
    }
    let plane = guarded.plane;
    host.run(|| plane.detach_all()).unwrap();
}
