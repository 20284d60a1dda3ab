//! What the agent says of itself: the objects of the control socket.

use std::collections::BTreeMap;

use firewall_common::config::{FIRST_FAILSAFE_COUNTER, RuleCount};
use firewall_common::essential::Essential;
use firewall_common::zone::ZoneId;
use jiff::{SignedDuration, Timestamp};

use super::clock;
use super::config::FailsafeRule;
use super::history::Record;
use super::interfaces::{UNGUARDED, UNGUARDED_TEXT};
use super::plane::{InForce, Live};
use super::pressure;
use super::services::service_word;
use super::state::Agent;
use crate::api::types::{AgentLine, HistoryRow, PolicyLine, RuleRow, SessionLine, Status};
use crate::policy::compiled::{Clock, Compiled};
use crate::policy::show::{self, State};
use crate::sessions::{self, Names, Row};

impl Agent {
    /// Mode and policy alone.
    #[must_use]
    pub fn status_line(&self) -> Status {
        let in_force = self
            .plane
            .as_ref()
            .and_then(|p| p.in_force().ok().flatten());
        let mode = match &in_force {
            None => "no-policy",
            Some(held) if held.monitor => "monitor",
            Some(_) => "enforce",
        };
        // The tables are also filled anew for a changed list or after a start, which is no apply.
        let since = |held: &InForce| match &self.current {
            Some(current) if current.identity == held.identity => {
                u64::try_from(current.applied.as_second()).unwrap_or_default()
            }
            _ => held.applied,
        };
        let plane = self.plane.as_ref();
        let waits = plane.and_then(|p| p.pending().ok().flatten());
        let waits = waits.filter(|waits| !waits.passed);
        let told = self.history.pending();
        let outcome = if waits.is_some() {
            "pending-confirm"
        } else {
            "in-force"
        };
        let policy = in_force.map(|held| PolicyLine {
            outcome: outcome.to_owned(),
            confirm_by: waits.map(|waits| confirm_by(waits.deadline, told)),
            cost: self.in_force().map(|current| current.compiled.cost),
            applied: seconds(since(&held)),
            name: held.identity.name,
            revision: held.identity.revision,
            digest: held.identity.digest,
        });
        Status {
            mode: mode.to_owned(),
            policy,
            offered: self.history.for_others().map(offered),
            ..Status::default()
        }
    }

    /// `GET /v1/status`.
    #[must_use]
    pub fn status(&self) -> Status {
        let line = self.status_line();
        let guarded = self.interfaces.iter().any(|line| line.state == "guarded");
        let mut warnings: Vec<String> = self.warnings.values().cloned().collect();
        let unguarded = !guarded && self.plane.is_some();
        if unguarded && !self.warnings.contains_key(UNGUARDED) {
            warnings.push(UNGUARDED_TEXT.to_owned());
        }
        warnings.extend(crate::diagnose::nft::dropping_chains());
        if line.policy.is_none() {
            let text = "no policy is in force: everything passes; begin with `ringwall apply PATH`";
            warnings.push(text.to_owned());
        }
        let mut sessions = self.session_line();
        warnings.extend(pressure::warnings(&sessions));
        let limits = self.plane.as_ref().and_then(|plane| plane.limit_use().ok());
        warnings.extend(limits.iter().flat_map(pressure::of_limits));
        if let Some(limits) = &limits {
            sessions.syn_cookies = pressure::cookies(&limits.cookies);
        }
        Status {
            enforcing: line.mode == "enforce" && guarded,
            interfaces: self.interfaces.clone(),
            sessions,
            sets: self.set_versions(),
            lost: self.losses(),
            warnings,
            agent: Some(AgentLine {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                uptime_s: self.started.elapsed().as_secs(),
            }),
            ..line
        }
    }

    fn session_line(&self) -> SessionLine {
        let Some(plane) = &self.plane else {
            return SessionLine::default();
        };
        let capacity = plane.capacity();
        let live = plane.sessions().unwrap_or_default();
        let packets = plane.packet_counts().unwrap_or_default();
        pressure::session_line(&live, capacity, &packets)
    }

    /// `GET /v1/history`, newest first.
    #[must_use]
    pub fn history_rows(&self) -> Vec<HistoryRow> {
        self.history
            .records()
            .iter()
            .rev()
            .map(history_row)
            .collect()
    }

    /// `GET /v1/sessions`.
    pub fn session_rows(&self) -> anyhow::Result<Vec<Row>> {
        let names = self.names();
        let now = clock::boot_now();
        let live = self.plane.as_ref().map(|plane| plane.sessions());
        let live = live.transpose()?.unwrap_or_default();
        let owner = |live: &Live| self.eyes.hub.owner(&live.key, live.entry.opened);
        let row = |live: &Live| Row {
            process: owner(live).as_deref().cloned(),
            ..sessions::row(live, &names, now)
        };
        Ok(live.iter().map(row).collect())
    }

    /// `GET /v1/policy`: the list as it decides, with its counters.
    pub fn rule_rows(&self) -> anyhow::Result<Vec<RuleRow>> {
        self.rule_rows_at(&clock::now())
    }

    /// The same, at a time.
    pub fn rule_rows_at(&self, clock: &Clock) -> anyhow::Result<Vec<RuleRow>> {
        let Some(current) = self.in_force() else {
            return Ok(Vec::new());
        };
        let counts = self.plane.as_ref().map(|plane| plane.rule_counts());
        let counts = counts.transpose()?;
        let failsafe = &self.settings.config.failsafe;
        Ok(rule_rows(
            &current.compiled,
            failsafe,
            counts.as_ref(),
            clock,
        ))
    }

    /// Names for the numbers in tables.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut names = numbered(&self.numbers.rules, &self.numbers.zones);
        for link in &self.links {
            names.interfaces.insert(link.index, link.name.clone());
        }
        let listing = self.in_force().map(|now| now.compiled.listing.iter());
        let rejects = listing
            .into_iter()
            .flatten()
            .filter(|r| r.action == "reject");
        names.rejects = rejects.map(|rule| rule.counter).collect();
        names
    }
}

/// Names for the numbers given out, and for those that are fixed.
#[must_use]
pub fn numbered(rules: &BTreeMap<String, u32>, zones: &BTreeMap<String, u8>) -> Names {
    let mut names = Names::default();
    names
        .rules
        .extend(rules.iter().map(|(name, n)| (*n, name.clone())));
    for essential in Essential::ALL {
        let id = format!("essentials/{}", essential.word());
        names.rules.insert(essential.counter(), id);
    }
    for index in 0..firewall_common::config::MAX_FAILSAFE {
        let id = format!("failsafe/{}", index + 1);
        names.rules.insert(FIRST_FAILSAFE_COUNTER + index, id);
    }
    names
        .zones
        .extend(zones.iter().map(|(name, n)| (*n, name.clone())));
    names.zones.insert(ZoneId::HOST.0, "host".to_owned());
    names
        .zones
        .insert(ZoneId::MULTICAST.0, "multicast".to_owned());
    names
}

/// The whole list as it decides: essentials, failsafe, the policies' rules, what is left.
#[must_use]
pub fn rule_rows(
    compiled: &Compiled,
    failsafe: &[FailsafeRule],
    counts: Option<&BTreeMap<u32, RuleCount>>,
    clock: &Clock,
) -> Vec<RuleRow> {
    let failsafe: Vec<String> = failsafe.iter().map(failsafe_words).collect();
    let rows = show::rows(compiled, &failsafe, counts, clock);
    rows.into_iter().map(rule_row).collect()
}

fn rule_row(row: show::Row) -> RuleRow {
    let hits = row.hits;
    RuleRow {
        id: row.id,
        action: row.action,
        from: row.from,
        to: row.to,
        conditions: row.conditions,
        monitor: row.state == State::Monitor,
        active: matches!(row.state, State::Active | State::Monitor),
        state: row.state.word().to_owned(),
        packets: hits.map(|hits| hits.packets),
        bytes: hits.map(|hits| hits.bytes),
        would_packets: hits.map(|hits| hits.would_packets),
        would_bytes: hits.map(|hits| hits.would_bytes),
        last_hit: hits.and_then(|hits| hits.last_hit).map(|at| at.to_string()),
        owner: row.owner,
        reason: row.reason,
        ticket: row.ticket,
        expires: row.expires,
        review_by: row.review_by,
    }
}

/// A failsafe rule's conditions in words.
#[must_use]
pub fn failsafe_words(rule: &FailsafeRule) -> String {
    let sources: Vec<String> = rule.sources.iter().map(ToString::to_string).collect();
    let services: Vec<String> = rule.services.iter().map(service_word).collect();
    format!(
        "services: [{}] sources: [{}]",
        services.join(", "),
        sources.join(", ")
    )
}

fn history_row(record: &Record) -> HistoryRow {
    let how = serde_json::to_value(record.how).unwrap_or_default();
    HistoryRow {
        id: record.id,
        name: record.identity.name.clone(),
        revision: record.identity.revision,
        digest: record.identity.digest.clone(),
        outcome: record.outcome.word().to_owned(),
        downgrade: record.downgrade,
        how: how.as_str().unwrap_or_default().to_owned(),
        by: record.by.word(),
        uid: record.by.uid,
        at: record.at.to_string(),
        source: record.source.clone(),
        detail: record.detail.clone(),
        confirm_by: record.confirm_by.map(|at| at.to_string()),
        confirmed: record.confirmed.map(|at| at.to_string()),
    }
}

fn offered(record: &Record) -> PolicyLine {
    PolicyLine {
        name: record.identity.name.clone(),
        revision: record.identity.revision,
        digest: record.identity.digest.clone(),
        applied: String::new(),
        outcome: record.outcome.word().to_owned(),
        ..PolicyLine::default()
    }
}

/// Until when a policy waits, RFC 3339: as was said when it came, unless the clock was set since.
fn confirm_by(deadline: u64, told: Option<&Record>) -> String {
    let by_tables = wall(deadline);
    let told = told.and_then(|record| record.confirm_by);
    let near =
        |told: &Timestamp| told.duration_since(by_tables).abs() < SignedDuration::from_secs(2);
    match told.filter(near) {
        Some(told) => told.to_string(),
        // Both clocks are read one after the other, and the same time comes out a little different each time.
        None => seconds(u64::try_from(by_tables.as_second()).unwrap_or_default()),
    }
}

/// The time of so many nanoseconds since boot.
fn wall(boot: u64) -> Timestamp {
    let now = clock::now();
    let ahead = std::time::Duration::from_nanos(boot.saturating_sub(now.boot));
    now.wall.checked_add(ahead).unwrap_or(now.wall)
}

/// RFC 3339 of seconds since 1970.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    let at = i64::try_from(seconds)
        .ok()
        .map(jiff::Timestamp::from_second);
    at.and_then(Result::ok)
        .map(|at| at.to_string())
        .unwrap_or_default()
}
