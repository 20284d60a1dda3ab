//! What one scrape shows, taken from the tables at once.

use std::collections::BTreeMap;

use firewall_common::session::State;
use firewall_common::tables::Table;

use super::family::{self, Family};
use super::process::Process;
use super::{events, limits, policy, rules, traffic};
use crate::agent::clock;
use crate::agent::plane::PacketCount;
use crate::agent::pressure::session_line;
use crate::agent::state::{Agent, Tally};
use crate::agent::text::SetLine;
use crate::api::types::{InterfaceLine, PolicyLine, RuleRow, SessionLine, SetRow};
use crate::dataplane::{EventCounts, LimitUse, SessionCounts};
use crate::events::Loss;
use crate::policy::services::protocol_word;
use crate::sessions::{Names, direction};

/// What one scrape shows.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Packet counters that are not zero.
    pub packets: Vec<PacketCount>,
    /// Names of zones.
    pub names: Names,
    /// Zones of the policy in force, by number.
    pub zones: Vec<u8>,
    /// The list with its counters, and each place's last hit in seconds since 1970.
    pub rules: Vec<(RuleRow, Option<f64>)>,
    /// A policy decides.
    pub enforcing: bool,
    /// `enforce` or `monitor`, or `no-policy`.
    pub mode: String,
    /// Every interface.
    pub interfaces: Vec<InterfaceLine>,
    /// Sessions by protocol and state.
    pub sessions: BTreeMap<(String, String), u64>,
    /// Sessions opened and ended.
    pub session_counts: SessionCounts,
    /// What became of records.
    pub events: EventCounts,
    /// Records lost in the agent, by [`Loss`].
    pub lost: [u64; 3],
    /// Handshakes found not to complete, by direction and cause.
    pub one_sided: BTreeMap<(&'static str, &'static str), u64>,
    /// Half-open sessions by direction.
    pub half_open: BTreeMap<String, u64>,
    /// How full the tables are.
    pub tables: SessionLine,
    /// How full the tables of limits are.
    pub limits: LimitUse,
    /// The policy in force.
    pub policy: Option<PolicyLine>,
    /// How applies went.
    pub tally: Tally,
    /// Named address sets.
    pub sets: Vec<SetCount>,
    /// The agent's own process.
    pub process: Process,
    /// Series there may be.
    pub max_series: usize,
}

/// A named address set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetCount {
    /// Its name.
    pub name: String,
    /// Its prefixes.
    pub entries: u64,
    /// When they last changed, in seconds since 1970.
    pub updated: Option<f64>,
    /// Their generation, where the set has one of its own.
    pub generation: Option<u64>,
}

impl SetCount {
    fn of(agent: &Agent, set: &SetLine) -> Self {
        let updated = agent.set_changed(set);
        Self {
            name: set.name.clone(),
            entries: set.entries,
            updated: updated.map(|at| at.as_millisecond() as f64 / 1000.0),
            generation: None,
        }
    }

    fn of_dynamic(row: SetRow) -> Self {
        let changed = row.changed.and_then(|at| at.parse().ok());
        Self {
            name: row.set,
            entries: row.entries,
            updated: changed.map(|at: jiff::Timestamp| at.as_millisecond() as f64 / 1000.0),
            generation: row.generation,
        }
    }
}

impl Snapshot {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn take(agent: &Agent) -> anyhow::Result<Self> {
        let mut snapshot = Self {
            names: agent.names(),
            interfaces: agent.interfaces.clone(),
            tally: agent.tally,
            process: Process::read(),
            lost: Loss::ALL.map(|at| agent.eyes.hub.lost(at)),
            one_sided: agent.eyes.hub.one_sided_counts(),
            max_series: agent.settings.config.metrics.max_series as usize,
            ..Self::default()
        };
        snapshot.take_policy(agent)?;
        snapshot.take_tables(agent)?;
        Ok(snapshot)
    }

    fn take_policy(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let status = agent.status_line();
        self.mode = status.mode;
        self.enforcing = self.mode == "enforce";
        self.policy = status.policy;
        let clock = clock::now();
        let hit = |row: &RuleRow| {
            let at: jiff::Timestamp = row.last_hit.as_deref()?.parse().ok()?;
            Some(at.as_millisecond() as f64 / 1000.0)
        };
        let rows = agent.rule_rows_at(&clock)?;
        self.rules = rows
            .into_iter()
            .map(|row| (hit(&row), row))
            .map(|(h, r)| (r, h))
            .collect();
        if let Some(current) = agent.in_force() {
            let zones = current.compiled.zones.iter().map(|(id, _)| id.0);
            self.zones = zones.filter(|zone| *zone != 0).collect();
            let fixed = current.sets.iter().filter(|set| !set.dynamic);
            self.sets = fixed.map(|set| SetCount::of(agent, set)).collect();
            for version in agent.set_versions() {
                let mut of = self.sets.iter_mut().filter(|set| set.name == version.set);
                if let Some(set) = of.next() {
                    set.generation = Some(version.generation);
                }
            }
            let dynamic = agent.set_rows().into_iter();
            self.sets.extend(dynamic.map(SetCount::of_dynamic));
        }
        Ok(())
    }

    fn take_tables(&mut self, agent: &Agent) -> anyhow::Result<()> {
        let Some(plane) = &agent.plane else {
            return Ok(());
        };
        self.packets = plane.packet_counts()?;
        self.session_counts = plane.session_counts()?;
        self.events = plane.event_counts()?;
        self.limits = plane.limit_use()?;
        let live = plane.sessions()?;
        let capacity = plane.capacity();
        self.tables = session_line(&live, capacity, &self.packets);
        for session in &live {
            let state = State::from_number(session.entry.track.state)
                .word()
                .to_owned();
            let key = (protocol_word(session.key.protocol), state);
            *self.sessions.entry(key).or_default() += 1;
            if session.table == Table::HalfOpen {
                let word = direction(session.entry.course()).to_owned();
                *self.half_open.entry(word).or_default() += 1;
            }
        }
        Ok(())
    }

    /// All families, within the ceiling.
    pub(super) fn families(&self) -> Vec<Family> {
        let mut families = self.process.families();
        families.extend(policy::families(self));
        families.extend(traffic::families(self));
        families.extend(events::families(self));
        families.extend(limits::families(self));
        family::limit(&mut families, self.max_series);
        let taken: usize = families.iter().map(|family| family.samples.len()).sum();
        families.extend(rules::families(self, self.max_series - taken));
        families
    }
}
