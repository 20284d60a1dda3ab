//! The data plane in the kernel, as the agent needs it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use firewall_common::config::{
    GENERATION_MONITOR, LOCAL_BROADCAST, LOCAL_SHARED, LOCAL_UNICAST, RuleCount, STRAY_DROP,
    STRAY_PASS, STRAY_RESET, ServiceKey, VlanKey,
};
use firewall_common::flow::FlowKey;
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::session::State;
use firewall_common::session::end::Cause;
use firewall_common::verdict::Decision;
use ipnet::IpNet;

use super::clock::{self, boot_now};
use super::config::{FailsafeRule, SessionConfig, Stray, Timeouts};
use super::net::{Feasible, Link, Local, LocalKind, Vlan};
use super::plane::{Attached, Capacity, InForce, Live, PacketCount, Pending, Plane, Question};
use super::revision::Identity;
use super::state::{Opener, Settings};
use crate::dataplane::memory::mapped;
use crate::dataplane::{
    Dataplane, Error, EventCounts, Failsafe, Info, Ingress, LimitUse, Neighbour, Options, Ring,
    Session, SessionCounts, Swept, Trial, WatchPlan,
};
use crate::policy::compile::service_prefixes;
use crate::policy::compiled::{Compiled, InterfacePlan};
use crate::sets::Change;

/// How long to wait between the first write of an apply and the swap: a test aid, so that a crash can be
/// made to come in between. See docs/test-aids.md.
const PAUSE: &str = "RINGWALL_TEST_APPLY_PAUSE_MS";

/// Uses the clsact qdisc as below Linux 6.6, though the kernel has TCX: a test aid, too.
const CLSACT: &str = "RINGWALL_TEST_CLSACT";

struct Kernel(Dataplane);

/// Opens the data plane, reusing what is pinned.
#[must_use]
pub fn opener() -> Opener {
    Box::new(|settings| {
        let pause = std::env::var(PAUSE).ok().and_then(|ms| ms.parse().ok());
        let options = Options {
            bpf_dir: settings.paths.bpf.clone(),
            sessions_max: settings.config.sessions.max,
            half_open_max: settings.config.sessions.half_open_max,
            half_open_per_source: settings.config.sessions.half_open_per_source,
            reserve: settings.config.sessions.reserve,
            before_flip: pause.map(Duration::from_millis),
            clsact: std::env::var_os(CLSACT).is_some(),
        };
        let mut plane = Dataplane::open(&options)?;
        for note in plane.notes() {
            tracing::warn!("{note}");
        }
        Ok(Box::new(Kernel(plane)))
    })
}

/// The pinned tables, without loading anything; `None` where nothing is pinned.
pub fn from_pins(settings: &Settings) -> anyhow::Result<Option<Box<dyn Plane>>> {
    match Dataplane::from_pins(&settings.paths.bpf) {
        Ok(plane) => Ok(Some(Box::new(Kernel(plane)))),
        Err(Error::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends the enforcement of what agents of other versions left; says whether there was any.
pub fn detach_others(settings: &Settings) -> anyhow::Result<bool> {
    Ok(Dataplane::detach_others(&settings.paths.bpf)?)
}

impl Plane for Kernel {
    fn attach(&mut self, index: u32, name: &str, ingress: Ingress) -> anyhow::Result<Attached> {
        // Opening gave this load's programs to all that was guarded; giving them again would only cost.
        let mut there = self.0.attached()?.into_iter();
        let found = there.find(|a| a.index == index && a.interface == name);
        let stands =
            |a: &crate::dataplane::Attached| a.hook.serves(ingress) && self.0.is_whole(a.index);
        if let Some(found) = found.filter(stands) {
            return Ok(attached(found));
        }
        Ok(attached(self.0.attach_at(name, ingress)?))
    }

    fn detach(&mut self, index: u32) -> anyhow::Result<()> {
        Ok(self.0.detach(index)?)
    }

    fn attached(&self) -> anyhow::Result<Vec<Attached>> {
        Ok(self.0.attached()?.into_iter().map(attached).collect())
    }

    fn apply(
        &mut self,
        compiled: &Compiled,
        identity: &Identity,
        names: &[(u32, String)],
        within: Option<Duration>,
    ) -> anyhow::Result<()> {
        let now = clock::wall().as_second();
        let info = Info {
            name: identity.name.clone(),
            revision: identity.revision,
            digest: from_hex(&identity.digest).context("the digest is no SHA-256")?,
            applied: u64::try_from(now).unwrap_or_default(),
        };
        let names = names.iter().map(|(index, name)| (name.clone(), *index));
        self.0
            .apply_within(compiled, &info, &names.collect::<Vec<_>>(), within)
            .map(drop)?;
        Ok(())
    }

    fn expiries(&self) -> anyhow::Result<Vec<u64>> {
        Ok(self.0.expiries()?)
    }

    fn pending(&self) -> anyhow::Result<Option<Pending>> {
        let found = self.0.pending()?;
        Ok(found.map(|pending| Pending {
            identity: identity(pending.info),
            deadline: pending.deadline,
            passed: pending.passed,
        }))
    }

    fn confirm(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.confirm()?)
    }

    fn revert(&mut self) -> anyhow::Result<()> {
        Ok(self.0.revert()?)
    }

    fn in_force(&self) -> anyhow::Result<Option<InForce>> {
        let found = self.0.generation_in_force()?;
        Ok(found.map(|generation| InForce {
            monitor: generation.head.flags & GENERATION_MONITOR != 0,
            applied: generation.info.applied,
            identity: identity(generation.info),
        }))
    }

    fn mend(&mut self) -> anyhow::Result<usize> {
        self.0.mend()?;
        Ok(self.0.restored())
    }

    fn displaced(&self, guarded: &[u32]) -> Vec<u32> {
        self.0.displaced(guarded)
    }

    fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        self.0.neighbours(index)
    }

    fn takes_over(&self) -> bool {
        self.0.takes_over()
    }

    fn take_over(&mut self) -> anyhow::Result<Option<String>> {
        let taken = self.0.take_over()?;
        Ok(taken.map(|taken| {
            format!(
                "took over from tables of layout {} in {} ms: {} sessions live on",
                taken.layout, taken.milliseconds, taken.sessions
            )
        }))
    }

    fn detach_all(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.detach_all()?)
    }

    fn packet_counts(&self) -> anyhow::Result<Vec<PacketCount>> {
        let counts = self.0.packet_counts()?.into_iter();
        let plain = counts.map(|c| PacketCount {
            verdict: c.verdict,
            hook: c.hook,
            zone: c.zone.0,
            reason: c.reason,
            count: c.count,
        });
        Ok(plain.collect())
    }

    fn rule_counts(&self) -> anyhow::Result<BTreeMap<u32, RuleCount>> {
        Ok(self.0.rule_counts()?.into_iter().collect())
    }

    /// A session that is promoted while the tables are read is in both of them: the verified entry counts.
    /// What the policy has ended is only remembered by the packet path.
    fn sessions(&self) -> anyhow::Result<Vec<Live>> {
        let all = self.0.sessions()?.into_iter();
        let all = all.filter(|s| !s.entry.is_ended());
        let by_key = all.map(|s| {
            let (key, entry, table) = (s.key, s.entry, s.table);
            (key, Live { key, entry, table })
        });
        let unique: BTreeMap<_, _> = by_key.collect();
        Ok(unique.into_values().collect())
    }

    fn adopt(&mut self, sessions: &[Live], replace: bool) -> anyhow::Result<usize> {
        let sessions = sessions.iter().map(|live| Session {
            key: live.key,
            entry: live.entry,
            table: live.table,
        });
        Ok(self.0.adopt(&sessions.collect::<Vec<_>>(), replace)?)
    }

    fn set_strays(&mut self, mode: Option<Stray>, until: Option<u64>) -> anyhow::Result<()> {
        let mode = mode.map(|mode| match mode {
            Stray::Drop => STRAY_DROP,
            Stray::Reset => STRAY_RESET,
            Stray::Pass => STRAY_PASS,
        });
        Ok(self.0.set_strays(mode, until)?)
    }

    fn capacity(&self) -> Capacity {
        let sizes = self.0.table_sizes().ok();
        sizes.map_or_else(Capacity::default, |sizes| Capacity {
            sessions: sizes.sessions,
            half_open: sizes.half_open,
            reserve: sizes.reserve,
        })
    }

    fn limit_use(&self) -> anyhow::Result<LimitUse> {
        Ok(self.0.limit_use()?)
    }

    fn expire(&mut self) -> anyhow::Result<Swept> {
        Ok(self.0.expire(boot_now())?)
    }

    fn end(&mut self, keys: &[FlowKey], cause: Cause) -> anyhow::Result<Vec<Session>> {
        Ok(self.0.end(keys, cause)?)
    }

    fn change_members(&mut self, set: u32, changes: &[Change]) -> anyhow::Result<()> {
        Ok(self.0.change_members(set, changes)?)
    }

    fn members(&self) -> anyhow::Result<Option<Vec<(MemberKey, u64)>>> {
        Ok(self.0.members()?)
    }

    fn members_filled(&mut self) -> anyhow::Result<()> {
        Ok(self.0.members_filled()?)
    }

    fn judge_anew(&mut self) -> anyhow::Result<()> {
        Ok(self.0.judge_anew()?)
    }

    fn refresh(&mut self, sessions: &[FlowKey]) -> anyhow::Result<()> {
        Ok(self.0.refresh(sessions, boot_now())?)
    }

    fn generations(&self) -> anyhow::Result<Vec<(u32, Identity)>> {
        let held = self.0.generations()?.into_iter();
        let named = held.map(|(epoch, info)| {
            let identity = Identity {
                digest: to_hex(&info.digest),
                name: info.name,
                revision: info.revision,
            };
            (epoch, identity)
        });
        Ok(named.collect())
    }

    fn session_counts(&self) -> anyhow::Result<SessionCounts> {
        Ok(self.0.session_counts()?)
    }

    fn event_counts(&self) -> anyhow::Result<EventCounts> {
        Ok(self.0.event_counts()?)
    }

    fn add_counts(&mut self, amounts: &BTreeMap<u32, u64>) -> anyhow::Result<()> {
        Ok(self.0.add_counts(amounts)?)
    }

    fn ring(&self) -> anyhow::Result<Option<Ring>> {
        Ok(Some(self.0.ring()?))
    }

    fn watch(&self) -> Option<WatchPlan> {
        Some(self.0.watch())
    }

    fn explain(&mut self, question: Question<'_>) -> anyhow::Result<Decision> {
        let trial = Trial::new(question.frame, question.hook, question.interface);
        Ok(self.0.explain(&Trial {
            came_by: question.came_by,
            xdp: self.0.at_xdp(question.interface),
            ..trial
        })?)
    }

    fn set_vlans(&mut self, links: &[Link]) -> anyhow::Result<()> {
        let up = links.iter().filter(|link| link.up);
        let vlans = up.filter_map(|link| {
            let Vlan { parent, tag } = link.vlan?;
            let tag = tag.word();
            Some((VlanKey { parent, tag }, link.index))
        });
        Ok(self.0.set_vlans(&vlans.collect())?)
    }

    /// Single addresses only: of a whole prefix that is delivered here the packet path asks the routing.
    fn set_locals(&mut self, locals: &[Local], shared: &[IpNet]) -> anyhow::Result<()> {
        let single = |local: &&Local| local.net.prefix_len() == local.net.max_prefix_len();
        let known = locals.iter().filter(single).map(|local| {
            let kind = match local.kind {
                LocalKind::Unicast if shared.iter().any(|net| net.contains(&local.net)) => {
                    LOCAL_SHARED
                }
                LocalKind::Unicast => LOCAL_UNICAST,
                LocalKind::Broadcast => LOCAL_BROADCAST,
            };
            (mapped(local.net.addr()), kind)
        });
        Ok(self.0.set_locals(&known.collect::<Vec<_>>())?)
    }

    fn set_ways(&mut self, ways: &Feasible, several: bool) -> anyhow::Result<()> {
        Ok(self.0.set_ways(&ways.ways, several)?)
    }

    fn set_interfaces(
        &mut self,
        plan: Option<&InterfacePlan>,
        names: &[(u32, String)],
    ) -> anyhow::Result<()> {
        let Some(plan) = plan else { return Ok(()) };
        for (index, name) in names {
            self.0.interface_seen(plan, name, *index)?;
        }
        let there = names.iter().map(|(index, _)| *index).collect();
        Ok(self.0.keep_interfaces(&there)?)
    }

    fn set_host(&mut self, sessions: &SessionConfig, rules: &[FailsafeRule]) -> anyhow::Result<()> {
        self.0.set_timeouts(timeouts(&sessions.timeouts))?;
        self.set_strays(Some(sessions.stray), None)?;
        self.0
            .set_room(sessions.reserve, sessions.half_open_per_source)?;
        Ok(self.0.set_failsafe(&failsafe(rules))?)
    }
}

fn identity(info: Info) -> Identity {
    Identity {
        digest: to_hex(&info.digest),
        name: info.name,
        revision: info.revision,
    }
}

fn attached(found: crate::dataplane::Attached) -> Attached {
    Attached {
        index: found.index,
        name: found.interface,
        hook: found.hook.word().to_owned(),
        mode: found.hook.mode().to_owned(),
        instead: found.instead,
    }
}

/// Nanoseconds by state.
fn timeouts(of: &Timeouts) -> [u64; 16] {
    let mut table = [0; 16];
    for (state, time) in [
        (State::SynSent, of.tcp_syn_sent),
        (State::SynReceived, of.tcp_syn_recv),
        (State::Established, of.tcp_established),
        (State::FinWait, of.tcp_fin_wait),
        (State::TimeWait, of.tcp_time_wait),
        (State::Close, of.tcp_close),
        (State::Udp, of.udp),
        (State::UdpStream, of.udp_stream),
        (State::Icmp, of.icmp),
        (State::Other, of.other),
    ] {
        if let Some(place) = table.get_mut(state as usize) {
            *place = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        }
    }
    table
}

/// The failsafe rules by what they name. A rule that names no service means all.
fn failsafe(rules: &[FailsafeRule]) -> Failsafe {
    let mut addresses: BTreeMap<(u32, [u8; 16]), u64> = BTreeMap::new();
    let mut services: BTreeMap<(u32, ServiceKey), u64> = BTreeMap::new();
    for (number, rule) in (0_u32..).zip(rules) {
        let bit = 1_u64.checked_shl(number).unwrap_or_default();
        for net in &rule.sources {
            *addresses.entry(prefix(*net)).or_default() |= bit;
        }
        for (key, length) in rule.services.iter().flat_map(service_prefixes) {
            *services.entry((length, key.to_be_bytes())).or_default() |= bit;
        }
        if rule.services.is_empty() {
            *services.entry((0, [0; 4])).or_default() |= bit;
        }
    }
    let flat = |((length, bytes), bits)| (length, bytes, bits);
    Failsafe {
        rules: u32::try_from(rules.len()).unwrap_or(u32::MAX),
        addresses: addresses.into_iter().map(flat).collect(),
        services: services
            .into_iter()
            .map(|((l, b), bits)| (l, b, bits))
            .collect(),
    }
}

fn prefix(net: IpNet) -> (u32, [u8; 16]) {
    let length = u32::from(net.prefix_len());
    let bytes = mapped(net.network()).to_bytes();
    match net.network() {
        IpAddr::V4(_) => (length + 96, bytes),
        IpAddr::V6(_) => (length, bytes),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_go_there_and_back() {
        let digest = [0xa5; 32];
        assert_eq!(from_hex(&to_hex(&digest)), Some(digest));
        assert_eq!(from_hex("a5"), None);
    }

    #[test]
    fn every_state_has_the_timeout_of_its_key() {
        let defaults = firewall_common::config::Settings::default();
        assert_eq!(timeouts(&Timeouts::default()), defaults.timeouts);
        let seconds = Duration::from_secs;
        let each = Timeouts {
            tcp_syn_sent: seconds(1),
            tcp_syn_recv: seconds(2),
            tcp_established: seconds(3),
            tcp_fin_wait: seconds(4),
            tcp_time_wait: seconds(5),
            tcp_close: seconds(6),
            udp: seconds(7),
            udp_stream: seconds(8),
            icmp: seconds(9),
            other: seconds(10),
        };
        let table = timeouts(&each).map(|time| time / 1_000_000_000);
        assert_eq!(table[1..=10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn failsafe_rules_share_what_they_name() {
        let ssh = crate::policy::services::built_in("ssh").unwrap();
        let rule = |net: &str| FailsafeRule {
            sources: vec![net.parse().unwrap()],
            services: ssh.clone(),
        };
        let both = failsafe(&[rule("10.1.0.0/24"), rule("fd00::/64")]);
        assert_eq!(both.rules, 2);
        assert_eq!(both.addresses.len(), 2);
        let bits: Vec<(u32, u64)> = both.addresses.iter().map(|(l, _, b)| (*l, *b)).collect();
        assert_eq!(bits, [(64, 2), (120, 1)]);
        assert_eq!(both.services, [(32, [6, 0, 0, 22], 3)]);
    }
}
