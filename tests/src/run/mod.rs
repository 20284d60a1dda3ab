//! Three ways to run a case, one way to hold it against what it says.
//!
//! Each step is checked as a ledger: the counters that the case names move by one packet, all others
//! stand still.

pub mod answer;
pub mod host;
pub mod kernel;
pub mod wire;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use firewall_common::flow::Hook;
use firewall_common::source::Tag;
use firewall_common::verdict::Verdict;
use firewall_common::way_back::Ways;
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};
use firewall_user::policy::{HostContext, compile};
use ipnet::IpNet;

use crate::case::{Case, Expect, Family, Step};

/// Packets by verdict, hook, zone and reason, in words.
pub type Packets = BTreeMap<(&'static str, &'static str, String, &'static str), u64>;

/// Packets by rule: decided, and would have decided.
pub type Rules = BTreeMap<String, (u64, u64)>;

/// What a way saw of one packet.
#[derive(Debug, Default)]
pub struct Seen {
    /// It went on.
    pub passed: bool,
    /// The answer to it, as a frame.
    pub answer: Option<Vec<u8>>,
}

/// A way to run packets through the firewall.
pub trait Bench {
    /// Puts a policy in force.
    fn apply(&mut self, compiled: &Compiled) -> Result<()>;
    /// Tells whether the next packet is to come through or be answered: who sends real ones waits for that.
    fn awaits(&mut self, _something: bool) {}
    /// Sends one packet.
    fn send(&mut self, hook: Hook, frame: &[u8], tag: Option<Tag>) -> Result<Seen>;
    /// Lets time pass.
    fn wait(&mut self, seconds: u64) -> Result<()>;
    /// The packet counters, zero ones left out.
    fn packets(&mut self, zones: &Zones) -> Result<Packets>;
    /// The rule counters, zero ones left out.
    fn rules(&mut self, numbers: &Numbers) -> Result<Rules>;
    /// The two clocks that policies are compiled by.
    fn clock(&self) -> Clock;
}

/// The VLAN devices that the host of every case has on `eth0`: ethertype and VID of the tag.
#[must_use]
pub fn vlans() -> [(u16, u16); 3] {
    [(0x8100, 100), (0x88a8, 200), (0x8100, 300)]
}

/// The ways back to sources on the host of every case: prefixes, and whether they lead by `eth0`, by `eth1`. Several
/// interfaces are guarded.
#[must_use]
pub fn ways_back() -> [(IpNet, bool, bool); 7] {
    let net = |text: &str| text.parse().expect("a prefix");
    [
        (net("0.0.0.0/0"), true, false),
        (net("10.78.0.0/24"), false, true),
        // By both, as two next hops have it.
        (net("10.78.0.248/29"), true, true),
        (net("192.0.2.0/24"), false, false),
        (net("::/0"), true, false),
        (net("fd78::/64"), false, true),
        (net("2001:db8:bad::/48"), false, false),
    ]
}

/// A way back by two interfaces or fewer.
#[must_use]
pub fn ways(eth0: Option<u32>, eth1: Option<u32>) -> Ways {
    let mut ways = Ways::default();
    let places = ways.interfaces.iter_mut().zip(eth0.into_iter().chain(eth1));
    places.for_each(|(place, index)| *place = index);
    ways
}

/// Zone names by number.
pub type Zones = BTreeMap<u8, String>;

/// Runs a case in one family.
pub fn run(bench: &mut dyn Bench, case: &Case, family: &Family) -> Result<()> {
    let mut ledger = Ledger {
        bench,
        numbers: Numbers::default(),
        zones: Zones::new(),
    };
    ledger.apply(case.policy)?;
    for (index, step) in (case.steps)(family).iter().enumerate() {
        ledger
            .step(step)
            .with_context(|| format!("step {}", index + 1))?;
    }
    Ok(())
}

struct Ledger<'a> {
    bench: &'a mut dyn Bench,
    numbers: Numbers,
    zones: Zones,
}

impl Ledger<'_> {
    fn apply(&mut self, text: &str) -> Result<()> {
        let host = HostContext::default();
        let checked = firewall_user::policy::read_bytes("case", text.as_bytes().to_vec(), &host)
            .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        let clock = self.bench.clock();
        let compiled = compile::compile(&checked.policy, &mut self.numbers, &clock)
            .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        self.zones = compiled
            .zones
            .iter()
            .map(|(id, name)| (id.0, name.clone()))
            .collect();
        self.bench.apply(&compiled)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Apply(text) => self.apply(text),
            Step::Wait(seconds) => self.bench.wait(*seconds),
            Step::Packet {
                hook,
                frame,
                tag,
                expect,
            } => {
                let packets = self.bench.packets(&self.zones)?;
                let rules = self.bench.rules(&self.numbers)?;
                let passes = matches!(expect.verdict, Verdict::Forwarded | Verdict::Audit);
                self.bench.awaits(passes || expect.answered);
                let seen = self.bench.send(*hook, frame, *tag)?;
                self.packets_moved(&packets, *hook, expect)?;
                self.rules_moved(rules, expect)?;
                judge(&seen, frame, expect)
            }
        }
    }

    fn packets_moved(&mut self, before: &Packets, hook: Hook, expect: &Expect) -> Result<()> {
        let after = self.bench.packets(&self.zones)?;
        let moved: Vec<_> = after
            .iter()
            .map(|(key, count)| (key, count - before.get(key).unwrap_or(&0)))
            .filter(|(_, by)| *by > 0)
            .collect();
        let hook = match hook {
            Hook::Ingress => "ingress",
            Hook::Egress => "egress",
        };
        let wanted = (expect.verdict.word(), hook, expect.reason.word());
        let [((verdict, at, zone, reason), 1)] = moved.as_slice() else {
            bail!("one packet counter should move by one ({wanted:?}), and these did: {moved:?}");
        };
        ensure!(
            (*verdict, *at, *reason) == wanted,
            "expected {wanted:?}, got {verdict} {at} {reason} (zone {zone})"
        );
        if let Some(wanted) = expect.zone {
            ensure!(zone == wanted, "expected zone {wanted}, got {zone}");
        }
        Ok(())
    }

    fn rules_moved(&mut self, before: Rules, expect: &Expect) -> Result<()> {
        let mut wanted = before;
        if let Some(rule) = expect.rule {
            wanted.entry(rule.to_owned()).or_default().0 += 1;
        }
        for rule in &expect.would {
            wanted.entry((*rule).to_owned()).or_default().1 += 1;
        }
        let after = self.bench.rules(&self.numbers)?;
        ensure!(
            after == wanted,
            "rule counters: expected {wanted:?}, got {after:?}"
        );
        Ok(())
    }
}

fn judge(seen: &Seen, frame: &[u8], expect: &Expect) -> Result<()> {
    let passes = matches!(expect.verdict, Verdict::Forwarded | Verdict::Audit);
    ensure!(
        seen.passed == passes,
        "expected to pass: {passes}; passed: {}",
        seen.passed
    );
    match &seen.answer {
        Some(reply) if expect.answered => answer::check(frame, reply),
        None if expect.answered => bail!("it was not answered"),
        Some(_) => bail!("it was answered"),
        None => Ok(()),
    }
}

/// The rule ids by counter number, with the fixed ones of the essentials.
#[must_use]
pub fn rule_names(numbers: &Numbers) -> BTreeMap<u32, String> {
    let essentials = firewall_common::essential::Essential::ALL
        .iter()
        .map(|e| (e.counter(), format!("essentials/{}", e.word())));
    numbers
        .rules
        .iter()
        .map(|(id, n)| (*n, id.clone()))
        .chain(essentials)
        .collect()
}
