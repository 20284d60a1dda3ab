//! The loaded programs in a namespace, as a judge that is compared with the naive interpreter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use firewall_common::config::{LOCAL_BROADCAST, LOCAL_UNICAST};
use firewall_common::flow::{FlowKey, Hook, Tuple};
use firewall_common::packet::Packet;
use firewall_common::parse;
use firewall_common::reason::Reason;
use firewall_common::source::Slice;
use firewall_common::verdict::{Decision, Verdict};
use firewall_common::zone::ZoneId;
use firewall_user::dataplane::memory::mapped;
use firewall_user::dataplane::{Dataplane, Error, Fate, Info, Options, PacketCount, Trial, clock};
use firewall_user::policy::compiled::{Clock, Compiled, InterfacePlan};
use firewall_user::policy::oracle::against::{
    self, BROADCAST, INTERFACES, Judge, Mutation, OWN, Plan, ROUTES, Tuning, crossing, run, tuned,
    with_mutation,
};
use firewall_user::policy::oracle::{Way, World};
use firewall_user::sets::members::of_key;
use firewall_user::sets::{Change, Members};

use crate::net::{Netns, RunDir, Veth};

/// The gateway's interfaces: what comes in by the first leaves by the second.
const GATEWAY: [&str; 2] = ["in0", "out0"];
/// Openings for each policy; with what follows them and the pieces, about twice as many packets.
const SCENES: usize = 370;
/// Packets that a policy is good for, at least.
const EACH: usize = 650;

/// Policies and scenes for at least so many packets.
#[must_use]
pub fn plan(seed: u64, packets: usize) -> Plan {
    Plan {
        seed,
        policies: packets.div_ceil(EACH),
        scenes: SCENES,
        pieces: true,
    }
}

/// The packet counters, by verdict, leaving or not, peer zone and reason.
type Counts = BTreeMap<(Verdict, bool, ZoneId, Reason), u64>;

/// The loaded programs in a namespace.
pub struct Loaded {
    // Dropped in this order: the pins go before their directory.
    plane: Option<Dataplane>,
    host: Netns,
    _peer: Netns,
    _dir: RunDir,
    indexes: BTreeMap<&'static str, u32>,
    plan: InterfacePlan,
    /// What arrives is judged at XDP.
    xdp: bool,
    revision: u64,
    /// Sessions that there may be.
    opened: BTreeSet<FlowKey>,
    /// What should have been counted.
    counts: Counts,
    rules: BTreeMap<u32, u64>,
}

/// The world's addresses and routes.
fn addressing() -> String {
    let mut lines = String::new();
    for own in OWN {
        let (length, more) = match own.contains(':') {
            true => (128, "nodad".to_owned()),
            false if own == OWN[0] => (32, format!("broadcast {BROADCAST}")),
            false => (32, String::new()),
        };
        writeln!(
            lines,
            "addr add {own}/{length} dev {} {more}",
            INTERFACES[1]
        )
        .unwrap();
    }
    for (net, place) in ROUTES {
        writeln!(lines, "route add {net} dev {}", INTERFACES[place]).unwrap();
    }
    for net in ["0.0.0.0/0", "::/0"] {
        writeln!(lines, "route add {net} dev {} table 77", GATEWAY[1]).unwrap();
    }
    lines
}

/// What comes in by the gateway is routed by its own table, before local addresses are looked at.
fn gateway(host: &Netns) {
    let own = format!("rule add pref 5 iif {} lookup 77", GATEWAY[0]);
    for line in ["rule add pref 10 lookup local", "rule del pref 0", &own] {
        for family in ["-4", "-6"] {
            let words: Vec<&str> = [family].into_iter().chain(line.split(' ')).collect();
            let ran = host.exec("ip", &words).unwrap();
            assert!(ran.ok(), "ip {words:?}: {}", ran.err);
        }
    }
}

fn net() -> (Netns, Netns, BTreeMap<&'static str, u32>) {
    let (host, peer) = (Netns::new("loaded").unwrap(), Netns::new("peer").unwrap());
    for ns in [&host, &peer] {
        // No link-local addresses and routes but the world's own.
        ns.sysctl("ipv6/conf/default/addr_gen_mode", "1").unwrap();
    }
    let mut indexes = BTreeMap::new();
    for name in INTERFACES.into_iter().chain(GATEWAY) {
        let wire = Veth::between((&host, name, &[]), (&peer, name, &[]));
        let (near, _) = wire.create().unwrap();
        indexes.insert(name, near.ifindex);
    }
    host.sysctl("ipv4/ip_forward", "1").unwrap();
    host.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
    host.ip(&addressing()).unwrap();
    gateway(&host);
    (host, peer, indexes)
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The key of the session that a packet belongs to.
fn session_key(frame: &[u8]) -> Option<FlowKey> {
    let (mut packet, mut tuple, mut key) = Default::default();
    let source = Slice {
        bytes: frame,
        tag: None,
    };
    parse::parse(&source, &mut packet).ok()?;
    Packet::session_tuple(&packet, &mut tuple);
    Tuple::key(&tuple, &mut key);
    Some(key)
}

impl Loaded {
    /// What arrives is judged at TC, or at XDP.
    #[must_use]
    pub fn new(xdp: bool) -> Self {
        let (host, peer, indexes) = net();
        let dir = RunDir::new("loaded").unwrap();
        let options = Options {
            bpf_dir: dir.bpf(),
            sessions_max: 1024,
            half_open_max: 1024,
            ..Options::default()
        };
        let plane = host.run(|| {
            let mut plane = Dataplane::open(&options)?;
            // As the agent does every second: packets go by marks from then on.
            plane.expire(clock::boot_now())?;
            Ok::<_, Error>(plane)
        });
        let plane = plane.unwrap();
        Self {
            plane: Some(plane),
            host,
            _peer: peer,
            _dir: dir,
            indexes,
            plan: InterfacePlan::default(),
            xdp,
            revision: 0,
            opened: BTreeSet::new(),
            counts: Counts::new(),
            rules: BTreeMap::new(),
        }
    }

    /// Compares so much, from inside the namespace: the kernel knows interfaces by the caller's.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn run(
        &mut self,
        plan: &Plan,
        tuning: Tuning,
        mutation: Option<Mutation>,
    ) -> Result<against::Seen, String> {
        let host = self.host.clone();
        let compare = || tuned(tuning, || run(self, plan));
        host.run(|| with_mutation(mutation, compare))
    }

    fn plane(&mut self) -> &mut Dataplane {
        self.plane.as_mut().expect("open until dropped")
    }

    /// Really runs a packet for which a decision was told, and notes what should be counted.
    fn really(&mut self, trial: &Trial<'_>, decision: &Decision) -> Result<(), String> {
        let fate = self.plane().test_run(trial).map_err(failed)?.fate;
        let passed = fate == Fate::Passed;
        if passed != decision.passes() || (fate == Fate::Answered && !decision.answer) {
            return Err(format!("explained {decision:?}, became {fate:?}"));
        }
        let (verdict, reason) = (decision.verdict, decision.reason);
        let (leaving, peer) = (trial.hook == Hook::Egress, decision.peer(trial.hook));
        let place = (verdict, leaving, peer, reason);
        *self.counts.entry(place).or_default() += 1;
        let in_session = matches!(reason, Reason::Session | Reason::Related);
        if decision.rule != 0 && !in_session {
            *self.rules.entry(decision.rule).or_default() += 1;
        }
        Ok(())
    }

    fn counted(&mut self) -> Result<(Counts, BTreeMap<u32, u64>), String> {
        let counts = self.plane().packet_counts().map_err(failed)?.into_iter();
        let place = |c: &PacketCount| (c.verdict, c.hook == Hook::Egress, c.zone, c.reason);
        let counts = counts.map(|c| (place(&c), c.count.packets));
        let counts = counts.collect();
        let rules = self.plane().rule_counts().map_err(failed)?.into_iter();
        let rules = rules.filter(|(_, c)| c.packets != 0);
        let rules = rules.map(|(number, c)| (number, c.packets)).collect();
        Ok((counts, rules))
    }
}

impl Judge for Loaded {
    fn clock(&self) -> Clock {
        Clock {
            boot: clock::boot_now(),
            wall: "2027-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn margin(&self) -> i64 {
        3600
    }

    fn world(&self) -> World {
        against::world(&INTERFACES.map(|name| self.indexes[name]))
    }

    fn gateway(&self) -> (u32, u32) {
        let [by, on] = GATEWAY.map(|name| self.indexes[name]);
        (by, on)
    }

    fn load(&mut self, compiled: &Compiled) -> Result<(), String> {
        self.revision += 1;
        let info = Info {
            name: "random".into(),
            revision: self.revision,
            digest: [0; 32],
            applied: 0,
        };
        self.plan = compiled.interfaces.clone();
        let applied = self.plane().apply(compiled, &info, &[]);
        applied.map_err(failed)?;
        // Numbers are given anew to each policy here, so a rule counter may begin at another's count.
        (self.counts, self.rules) = self.counted()?;
        Ok(())
    }

    fn enter(&mut self, world: &World) -> Result<(), String> {
        let own = world.own.iter().map(|own| (mapped(*own), LOCAL_UNICAST));
        let all = world.broadcasts.iter();
        let all = all.map(|all| (mapped(*all), LOCAL_BROADCAST));
        let locals: Vec<_> = own.chain(all).collect();
        self.plane().set_locals(&locals).map_err(failed)?;
        let plan = self.plan.clone();
        for (index, name) in &world.interfaces {
            let seen = self.plane().interface_seen(&plan, name, *index);
            seen.map_err(failed)?;
        }
        Ok(())
    }

    fn fill(&mut self, members: &Members) -> Result<(), String> {
        for (key, _) in self.plane().members().map_err(failed)?.unwrap_or_default() {
            let (set, prefix) = of_key(&key);
            let gone = Change {
                prefix,
                until: None,
            };
            let changed = self.plane().change_members(set, &[gone]);
            changed.map_err(failed)?;
        }
        for (number, set) in &members.sets {
            let changed = self.plane().change_members(*number, &set.table());
            changed.map_err(failed)?;
        }
        self.plane().members_filled().map_err(failed)
    }

    fn decide(&mut self, frame: &[u8], way: &Way) -> Result<Decision, String> {
        let (hook, interface, came_by) = crossing(way);
        let trial = Trial {
            came_by,
            xdp: self.xdp,
            ..Trial::new(frame, hook, interface)
        };
        let decision = self.plane().explain(&trial).map_err(failed)?;
        self.really(&trial, &decision)?;
        if decision.passes() {
            self.opened.extend(session_key(frame));
        }
        Ok(decision)
    }

    fn forget(&mut self) -> Result<(), String> {
        for key in std::mem::take(&mut self.opened) {
            self.plane().close_session(&key).map_err(failed)?;
        }
        Ok(())
    }

    /// The programs that really ran must have decided as the explaining ones said.
    fn done(&mut self) -> Result<(), String> {
        let left = self.plane().sessions().map_err(failed)?;
        if !left.is_empty() {
            return Err(format!("sessions that nobody opened: {left:?}"));
        }
        let (counts, rules) = self.counted()?;
        if counts != self.counts || rules != self.rules {
            let (wanted, by_rule) = (&self.counts, &self.rules);
            let found = format!("counted {counts:?}, not {wanted:?}");
            return Err(format!("{found}; by rule {rules:?}, not {by_rule:?}"));
        }
        Ok(())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            // The pins go with the directory in any case.
            let _gone = self.host.run(|| plane.detach_all());
        }
    }
}
