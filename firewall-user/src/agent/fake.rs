//! A data plane in memory that outlives its agents, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::bail;
use firewall_common::config::{GENERATION_MONITOR, RuleCount};
use firewall_common::flow::FlowKey;
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::session::end::Cause;
use firewall_common::verdict::Decision;
use ipnet::IpNet;

use super::clock::boot_now;
use super::config::{FailsafeRule, SessionConfig, Stray};
use super::net::{Feasible, Link, Local};
use super::plane::{Attached, Capacity, InForce, Live, PacketCount, Pending, Plane, Question};
use super::revision::Identity;
use crate::dataplane::memory::MemoryTables;
use crate::dataplane::{
    EventCounts, Ingress, LimitUse, Neighbour, Ring, Session, SessionCounts, Swept,
};
use crate::policy::compiled::{Compiled, InterfacePlan};
use crate::sets::members::key_of;
use crate::sets::{Change, Prefix};

/// What would be pinned.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    pub(crate) in_force: Option<InForce>,
    pub(crate) compiled: Option<Compiled>,
    /// What was before what waits, and when that ends.
    pub(crate) before: Option<(Option<InForce>, u64)>,
    pub(crate) names: Vec<(u32, String)>,
    pub(crate) attached: Vec<Attached>,
    pub(crate) locals: Vec<Local>,
    pub(crate) ways: Option<(Feasible, bool)>,
    pub(crate) sessions: Vec<Live>,
    pub(crate) members: BTreeMap<(u32, Prefix), u64>,
    pub(crate) members_filled: bool,
    pub(crate) judged_anew: u32,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) applies: u32,
    pub(crate) full: bool,
    /// Pins that somebody took away.
    pub(crate) lost: usize,
    /// There is no place for pins.
    pub(crate) no_place: bool,
    /// No interface can be guarded.
    pub(crate) broken: bool,
}

/// A handle on the pins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Pins>>);

impl Fake {
    pub(crate) fn pins(&self) -> MutexGuard<'_, Pins> {
        self.0.lock().unwrap()
    }
}

impl Plane for Fake {
    fn attach(&mut self, index: u32, name: &str, ingress: Ingress) -> anyhow::Result<Attached> {
        let mut pins = self.pins();
        if pins.broken {
            bail!("no hook");
        }
        let (hook, mode) = match ingress {
            Ingress::Tc => ("tcx", "tc"),
            Ingress::Xdp => ("xdp", "native"),
            Ingress::XdpGeneric => ("xdp", "generic"),
        };
        let attached = Attached {
            index,
            name: name.to_owned(),
            hook: hook.to_owned(),
            mode: mode.to_owned(),
            instead: None,
        };
        pins.attached.retain(|other| other.index != index);
        pins.attached.push(attached.clone());
        Ok(attached)
    }

    fn detach(&mut self, index: u32) -> anyhow::Result<()> {
        self.pins().attached.retain(|a| a.index != index);
        Ok(())
    }

    fn attached(&self) -> anyhow::Result<Vec<Attached>> {
        Ok(self.pins().attached.clone())
    }

    fn apply(
        &mut self,
        compiled: &Compiled,
        identity: &Identity,
        names: &[(u32, String)],
        within: Option<Duration>,
    ) -> anyhow::Result<()> {
        let mut pins = self.pins();
        if pins.full {
            bail!("no room");
        }
        pins.applies += 1;
        names.clone_into(&mut pins.names);
        pins.compiled = Some(compiled.clone());
        if let Some(within) = within {
            let deadline = boot_now() + within.as_nanos() as u64;
            pins.before = Some((pins.in_force.take(), deadline));
        }
        pins.in_force = Some(InForce {
            identity: identity.clone(),
            monitor: compiled.head.flags & GENERATION_MONITOR != 0,
            applied: 1_700_000_000,
        });
        Ok(())
    }

    fn in_force(&self) -> anyhow::Result<Option<InForce>> {
        let pins = self.pins();
        let over = pins.before.as_ref().filter(|(_, at)| boot_now() >= *at);
        Ok(over.map_or_else(|| pins.in_force.clone(), |(before, _)| before.clone()))
    }

    fn pending(&self) -> anyhow::Result<Option<Pending>> {
        let pins = self.pins();
        let waits = pins.before.as_ref().zip(pins.in_force.as_ref());
        Ok(waits.map(|((_, deadline), held)| Pending {
            identity: held.identity.clone(),
            deadline: *deadline,
            passed: boot_now() >= *deadline,
        }))
    }

    fn confirm(&mut self) -> anyhow::Result<bool> {
        let in_time = self.pending()?.is_some_and(|pending| !pending.passed);
        if in_time {
            self.pins().before = None;
        }
        Ok(in_time)
    }

    fn revert(&mut self) -> anyhow::Result<()> {
        let mut pins = self.pins();
        if let Some((before, _)) = pins.before.take() {
            pins.in_force = before;
        }
        Ok(())
    }

    fn mend(&mut self) -> anyhow::Result<usize> {
        let mut pins = self.pins();
        if pins.no_place {
            bail!("no place for pins");
        }
        Ok(std::mem::take(&mut pins.lost))
    }

    fn expiries(&self) -> anyhow::Result<Vec<u64>> {
        let pins = self.pins();
        let rules = pins.compiled.as_ref().map(|compiled| &compiled.rules);
        Ok(rules
            .into_iter()
            .flatten()
            .map(|rule| rule.expires)
            .collect())
    }

    fn displaced(&self, guarded: &[u32]) -> Vec<u32> {
        let pins = self.pins();
        let there = |index: &&u32| !pins.attached.iter().any(|a| a.index == **index);
        guarded.iter().filter(there).copied().collect()
    }

    fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        let all = self.pins().neighbours.clone().into_iter();
        all.filter(|neighbour| neighbour.interface == index)
            .collect()
    }

    fn takes_over(&self) -> bool {
        false
    }

    fn take_over(&mut self) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    fn detach_all(self: Box<Self>) -> anyhow::Result<()> {
        *self.pins() = Pins::default();
        Ok(())
    }

    fn packet_counts(&self) -> anyhow::Result<Vec<PacketCount>> {
        Ok(Vec::new())
    }

    fn rule_counts(&self) -> anyhow::Result<BTreeMap<u32, RuleCount>> {
        Ok(BTreeMap::new())
    }

    fn sessions(&self) -> anyhow::Result<Vec<Live>> {
        Ok(self.pins().sessions.clone())
    }

    fn adopt(&mut self, sessions: &[Live], _replace: bool) -> anyhow::Result<usize> {
        self.pins().sessions.extend_from_slice(sessions);
        Ok(sessions.len())
    }

    fn set_strays(&mut self, _mode: Option<Stray>, _until: Option<u64>) -> anyhow::Result<()> {
        Ok(())
    }

    fn capacity(&self) -> Capacity {
        Capacity {
            reserve: 0,
            sessions: 1000,
            half_open: 100,
        }
    }

    fn limit_use(&self) -> anyhow::Result<LimitUse> {
        Ok(LimitUse::default())
    }

    fn expire(&mut self) -> anyhow::Result<Swept> {
        Ok(Swept::default())
    }

    fn end(&mut self, keys: &[FlowKey], _cause: Cause) -> anyhow::Result<Vec<Session>> {
        let mut pins = self.pins();
        let all = std::mem::take(&mut pins.sessions);
        let (gone, left) = all.into_iter().partition(|live| keys.contains(&live.key));
        pins.sessions = left;
        let gone: Vec<Live> = gone;
        let ended = gone.iter().map(|live| Session {
            key: live.key,
            entry: live.entry,
            table: live.table,
        });
        Ok(ended.collect())
    }

    fn change_members(&mut self, set: u32, changes: &[Change]) -> anyhow::Result<()> {
        let mut pins = self.pins();
        if pins.full {
            bail!("no room");
        }
        for change in changes {
            let key = (set, change.prefix);
            match change.until {
                Some(until) => pins.members.insert(key, until),
                None => pins.members.remove(&key),
            };
        }
        Ok(())
    }

    fn members(&self) -> anyhow::Result<Option<Vec<(MemberKey, u64)>>> {
        let pins = self.pins();
        let all = pins.members.iter();
        let all = all.map(|((set, prefix), until)| (key_of(*set, *prefix), *until));
        Ok(pins.members_filled.then(|| all.collect()))
    }

    fn members_filled(&mut self) -> anyhow::Result<()> {
        self.pins().members_filled = true;
        Ok(())
    }

    fn judge_anew(&mut self) -> anyhow::Result<()> {
        self.pins().judged_anew += 1;
        Ok(())
    }

    fn refresh(&mut self, _sessions: &[FlowKey]) -> anyhow::Result<()> {
        Ok(())
    }

    fn generations(&self) -> anyhow::Result<Vec<(u32, Identity)>> {
        Ok(Vec::new())
    }

    fn session_counts(&self) -> anyhow::Result<SessionCounts> {
        Ok(SessionCounts::default())
    }

    fn event_counts(&self) -> anyhow::Result<EventCounts> {
        Ok(EventCounts::default())
    }

    fn add_counts(&mut self, _amounts: &BTreeMap<u32, u64>) -> anyhow::Result<()> {
        Ok(())
    }

    fn ring(&self) -> anyhow::Result<Option<Ring>> {
        Ok(None)
    }

    fn explain(&mut self, question: Question<'_>) -> anyhow::Result<Decision> {
        let pins = self.pins();
        let Some(compiled) = &pins.compiled else {
            bail!("nothing is in force");
        };
        let mut tables = MemoryTables::with(compiled);
        for (index, name) in &pins.names {
            tables.name_interface(*index, name);
        }
        for local in &pins.locals {
            tables.add_local(local.net.addr());
        }
        let (hook, interface) = (question.hook, question.interface);
        Ok(tables.decide(question.frame, hook, interface, question.came_by, 1))
    }

    fn set_vlans(&mut self, _links: &[Link]) -> anyhow::Result<()> {
        Ok(())
    }

    fn set_locals(&mut self, locals: &[Local], _: &[IpNet]) -> anyhow::Result<()> {
        locals.clone_into(&mut self.pins().locals);
        Ok(())
    }

    fn set_ways(&mut self, ways: &Feasible, several: bool) -> anyhow::Result<()> {
        self.pins().ways = Some((ways.clone(), several));
        Ok(())
    }

    fn set_interfaces(
        &mut self,
        _plan: Option<&InterfacePlan>,
        names: &[(u32, String)],
    ) -> anyhow::Result<()> {
        names.clone_into(&mut self.pins().names);
        Ok(())
    }

    fn set_host(
        &mut self,
        _sessions: &SessionConfig,
        _failsafe: &[FailsafeRule],
    ) -> anyhow::Result<()> {
        Ok(())
    }
}
