//! The second and the third way: the loaded programs, by `BPF_PROG_TEST_RUN` or under real frames.
//!
//! Making a world takes longer than most cases, so each test thread keeps one and empties it between
//! cases. Cases that are answered get a fresh one: answers are limited for each source.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use firewall_common::addr::Addr;
use firewall_common::config::{LOCAL_BROADCAST, LOCAL_UNICAST, VlanKey};
use firewall_common::flow::Hook;
use firewall_common::source::Tag;
use firewall_common::way_back::Ways;
use firewall_user::dataplane::memory::mapped;
use firewall_user::dataplane::{
    Dataplane, Fate, Info, Ingress, Options, PacketCount, Place, Trial, clock,
};
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};

use super::wire::{Taps, World, network_part};
use super::{Bench, Packets, Rules, Seen, Zones, rule_names, vlans, ways, ways_back};
use crate::case::{Case, Family, Step, Way};
use crate::net::xdp::PassAll;
use crate::net::{Foreign, RunDir, Seat, wait_until};

/// How long a frame may take to where it goes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for what should not come.
const SHORT: Duration = Duration::from_millis(20);

thread_local! {
    static KEPT: RefCell<BTreeMap<Way, KernelBench>> = RefCell::default();
}

/// Runs a case on the loaded programs.
pub fn run(way: Way, case: &Case, family: &Family) -> Result<()> {
    let answered = (case.steps)(family)
        .iter()
        .any(|step| matches!(step, Step::Packet { expect, .. } if expect.answered));
    if answered {
        return super::run(&mut KernelBench::new(way)?, case, family);
    }
    let kept = KEPT.with_borrow_mut(|kept| kept.remove(&way));
    let mut bench = kept.map_or_else(|| KernelBench::new(way), Ok)?;
    bench.empty()?;
    super::run(&mut bench, case, family)?;
    KEPT.with_borrow_mut(|kept| kept.insert(way, bench));
    Ok(())
}

/// A world with the programs in it.
pub struct KernelBench {
    // Dropped in this order: the pins go before their directory.
    plane: Option<Dataplane>,
    way: Way,
    taps: Option<Taps>,
    /// The next packet is to come through, or to be answered.
    awaits: bool,
    world: World,
    /// With it the peer gets answers from XDP.
    _far: Option<PassAll>,
    _dir: RunDir,
    revision: u64,
    /// The counters as they were read last, until a packet may have moved them.
    read: Option<Vec<PacketCount>>,
}

impl KernelBench {
    /// Makes a world and loads the programs; on the wire, attaches them.
    pub fn new(way: Way) -> Result<Self> {
        let world = World::new()?;
        let far = if way == Way::XdpWire {
            Some(PassAll::attach(&world.far)?)
        } else {
            None
        };
        let dir = RunDir::new("case")?;
        let options = Options {
            bpf_dir: dir.bpf(),
            sessions_max: 1024,
            half_open_max: 1024,
            ..Options::default()
        };
        let plane = world.host().run(|| -> Result<_> {
            let mut plane = Dataplane::open(&options)?;
            plane.set_locals(&locals())?;
            plane.set_vlans(&on(world.near.ifindex))?;
            plane.set_ways(&back(world.near.ifindex, world.second.ifindex), true)?;
            // As the agent does every second: packets go by marks from then on.
            plane.expire(clock::boot_now())?;
            if way.wire() {
                let (wanted, place) = if way.xdp() {
                    (Ingress::Xdp, Place::Xdp)
                } else {
                    (Ingress::Tc, Place::Tcx)
                };
                let attached = plane.attach_at("eth0", wanted)?;
                ensure!(attached.hook == place, "attached: {attached:?}");
            }
            Ok(plane)
        })?;
        let taps = if way.wire() {
            Some(Taps::open(&world)?)
        } else {
            None
        };
        Ok(Self {
            plane: Some(plane),
            way,
            taps,
            awaits: false,
            world,
            _far: far,
            _dir: dir,
            revision: 0,
            read: None,
        })
    }

    fn plane(&mut self) -> Result<&mut Dataplane> {
        self.plane.as_mut().context("the data plane is gone")
    }

    /// Ends all sessions of the case before.
    fn empty(&mut self) -> Result<()> {
        let plane = self.plane()?;
        for session in plane.sessions()? {
            plane.close_session(&session.key)?;
        }
        Ok(())
    }

    fn try_run(&mut self, hook: Hook, frame: &[u8]) -> Result<Seen> {
        self.read = None;
        let index = self.world.near.ifindex;
        let host = self.world.host().clone();
        let trial = Trial {
            xdp: self.way.xdp(),
            ..Trial::new(frame, hook, index)
        };
        let plane = self.plane()?;
        let outcome = host.run(|| plane.test_run(&trial))?;
        Ok(Seen {
            passed: outcome.fate == Fate::Passed,
            answer: (outcome.fate == Fate::Answered).then_some(outcome.frame),
        })
    }

    /// Reading all counters takes longer than most packets, so it is done once for each.
    fn counts(&mut self) -> Result<Vec<PacketCount>> {
        if self.read.is_none() {
            self.read = Some(self.plane()?.packet_counts()?);
        }
        Ok(self.read.clone().unwrap_or_default())
    }

    fn counted(&mut self) -> Result<u64> {
        Ok(self.counts()?.iter().map(|c| c.count.packets).sum())
    }

    /// Sends a frame; once it is counted it has passed the hook, and what follows takes microseconds, or as long as
    /// a busy machine takes.
    fn send_really(&mut self, hook: Hook, frame: &[u8]) -> Result<Seen> {
        let before = self.counted()?;
        let taps = self.taps.take().context("no taps")?;
        taps.clear();
        taps.send(hook, frame)?;
        let counted = wait_until(PATIENCE, || {
            self.read = None;
            self.counted().is_ok_and(|now| now > before).then_some(())
        });
        counted.context("the packet was not counted")?;
        let patience = if self.awaits { PATIENCE } else { SHORT };
        let seen = Self::watch(&taps, hook, frame, patience);
        self.taps = Some(taps);
        Ok(seen)
    }

    fn watch(taps: &Taps, hook: Hook, frame: &[u8], patience: Duration) -> Seen {
        let own = network_part(frame);
        let mut seen = Seen::default();
        wait_until(patience, || {
            let (arrived, left) = (taps.arrived(), taps.left());
            let (onward, back) = match hook {
                Hook::Ingress => (arrived, left),
                Hook::Egress => (left, arrived),
            };
            seen.passed |= onward
                .iter()
                .any(|f| network_part(&f.data).starts_with(own));
            seen.answer = seen
                .answer
                .take()
                .or_else(|| back.first().map(|f| f.data.clone()));
            (seen.passed || seen.answer.is_some()).then_some(())
        });
        seen
    }
}

/// The VLAN devices of all cases, on `eth0`. Only the table knows them: the frames go to no device here.
fn on(parent: u32) -> BTreeMap<VlanKey, u32> {
    let key = |(protocol, control)| VlanKey {
        parent,
        tag: Tag { protocol, control }.word(),
    };
    vlans().into_iter().map(|vlan| (key(vlan), 1)).collect()
}

/// The ways back to sources of all cases.
fn back(eth0: u32, eth1: u32) -> BTreeMap<(Addr, u32), Ways> {
    let all = ways_back().into_iter().map(|(net, by_eth0, by_eth1)| {
        let more = if net.addr().is_ipv4() { 96 } else { 0 };
        let key = (mapped(net.network()), u32::from(net.prefix_len()) + more);
        (key, ways(by_eth0.then_some(eth0), by_eth1.then_some(eth1)))
    });
    all.collect()
}

/// The addresses of every host.
#[must_use]
pub fn locals() -> Vec<(Addr, u32)> {
    let of = |text: &str, kind| (mapped(text.parse().expect("an address")), kind);
    let own = ["10.77.0.1", "fd77::1", "10.78.0.1", "fd78::1"];
    let all = own.into_iter().map(|text| of(text, LOCAL_UNICAST));
    all.chain(["10.77.0.255", "10.78.0.255"].map(|text| of(text, LOCAL_BROADCAST)))
        .collect()
}

impl Bench for KernelBench {
    fn apply(&mut self, compiled: &Compiled) -> Result<()> {
        self.revision += 1;
        let info = Info {
            name: "case".into(),
            revision: self.revision,
            digest: [0; 32],
            applied: 0,
        };
        let eth = |end: &crate::net::End| (end.interface.clone(), end.ifindex);
        let interfaces = [eth(&self.world.near), eth(&self.world.second)];
        self.plane()?.apply(compiled, &info, &interfaces)?;
        Ok(())
    }

    fn awaits(&mut self, something: bool) {
        self.awaits = something;
    }

    fn send(&mut self, hook: Hook, frame: &[u8], tag: Option<Tag>) -> Result<Seen> {
        let seat = match hook {
            Hook::Ingress => Seat::TcxFirst,
            Hook::Egress => Seat::EgressFirst,
        };
        let tagging = |tag| Foreign::tagging(self.world.host(), "eth0", seat, tag);
        let _tagging = tag.map(tagging).transpose()?;
        if self.taps.is_some() {
            self.send_really(hook, frame)
        } else {
            self.try_run(hook, frame)
        }
    }

    fn wait(&mut self, _seconds: u64) -> Result<()> {
        bail!("time cannot be made to pass here")
    }

    fn packets(&mut self, zones: &Zones) -> Result<Packets> {
        let word = |hook| match hook {
            Hook::Ingress => "ingress",
            Hook::Egress => "egress",
        };
        let name = |zone: u8| zones.get(&zone).cloned().unwrap_or_default();
        let mut packets = Packets::new();
        for found in self.counts()? {
            let key = (
                found.verdict.word(),
                word(found.hook),
                name(found.zone.0),
                found.reason.word(),
            );
            *packets.entry(key).or_default() += found.count.packets;
        }
        Ok(packets)
    }

    fn rules(&mut self, numbers: &Numbers) -> Result<Rules> {
        let names = rule_names(numbers);
        // What a case before this one left behind under another name must stand still, too.
        let name = |n: u32| {
            names
                .get(&n)
                .cloned()
                .unwrap_or_else(|| format!("counter {n}"))
        };
        let counts = self.plane()?.rule_counts()?.into_iter();
        Ok(counts
            .filter(|(_, c)| c.packets + c.would_packets > 0)
            .map(|(n, c)| (name(n), (c.packets, c.would_packets)))
            .collect())
    }

    fn clock(&self) -> Clock {
        Clock {
            boot: clock::boot_now(),
            wall: jiff::Timestamp::now(),
        }
    }
}

impl Drop for KernelBench {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            let host = self.world.host().clone();
            // The pins go with the directory in any case.
            let _gone = host.run(|| plane.detach_all());
        }
    }
}
