//! The four lists, from one look to the next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use serde_json::{Value, json};

use super::gather::Taken;
use super::pane::{Cell, Column, Pane};
use crate::api::types::{OneSidedRow, Problem, RuleRow, Status};
use crate::cli::output::cell;
use crate::sessions::Row;

const TALKERS: &[Column] = &[
    Column::text("PEER", 0),
    Column::text("ZONE", 9),
    Column::number("SESSIONS", 8),
    Column::number("FROM/s", 7),
    Column::number("TO/s", 7),
];
const RULES: &[Column] = &[
    Column::text("RULE", 0),
    Column::text("ACTION", 12),
    Column::number("DROPS/s", 8),
    Column::number("DROPS", 8),
    Column::text("COURSE", COURSE as u16),
];
const STATES: &[Column] = &[
    Column::text("PROTO", 6),
    Column::text("STATE", 0),
    Column::number("SESSIONS", 8),
];
const ONE_SIDED: &[Column] = &[
    Column::text("CAUSE", 18),
    Column::text("DIRECTION", 9),
    Column::text("PEER", 0),
    Column::number("PORT", 5),
    Column::number("COUNT", 6),
    Column::text("RULE", 16),
];

/// Looks of which a rule's course is drawn.
const COURSE: usize = 24;

/// A session's ends.
type Ends = (String, IpAddr, Option<u16>, IpAddr, Option<u16>);

/// All that is shown.
pub(super) struct Top {
    /// Talkers, rules, sessions, one-sided SYNs.
    pub(super) panes: [Pane; 4],
    /// The list that keys are for.
    pub(super) focus: usize,
    /// It alone is shown.
    pub(super) alone: bool,
    /// Nothing new is taken.
    pub(super) paused: bool,
    /// Keys are explained.
    pub(super) help: bool,
    /// Only lines with this are shown.
    pub(super) filter: String,
    /// It is being typed.
    pub(super) typing: bool,
    /// The host's state.
    pub(super) status: Status,
    /// Why there is nothing new.
    pub(super) trouble: Option<String>,
    last: Option<Instant>,
    bytes: HashMap<Ends, [u64; 2]>,
    drops: HashMap<String, (u64, VecDeque<f64>)>,
}

impl Default for Top {
    fn default() -> Self {
        Self {
            panes: [
                Pane::new("talkers", TALKERS, 3),
                Pane::new("rules by drops", RULES, 2),
                Pane::new("sessions", STATES, 2),
                Pane::new("one-sided SYNs", ONE_SIDED, 4),
            ],
            focus: 0,
            alone: false,
            paused: false,
            help: false,
            filter: String::new(),
            typing: false,
            status: Status::default(),
            trouble: None,
            last: None,
            bytes: HashMap::new(),
            drops: HashMap::new(),
        }
    }
}

impl Top {
    /// Takes what came, unless it is paused.
    pub(super) fn news(&mut self, taken: Result<Taken, Problem>) {
        match taken {
            _ if self.paused => {}
            Ok(taken) => self.take(taken),
            Err(problem) => self.trouble = Some(problem.brief()),
        }
    }

    /// Takes a look.
    pub(super) fn take(&mut self, taken: Taken) {
        let since = self.last.map(|last| taken.at.duration_since(last));
        let seconds = since.map_or(0.0, |since| since.as_secs_f64());
        let talkers = self.talkers(&taken.sessions, seconds);
        self.panes[0].fill(talkers);
        let rules = self.rules(&taken.rules, seconds);
        self.panes[1].fill(rules);
        self.panes[2].fill(states(&taken.sessions));
        self.panes[3].fill(one_sided(&taken.one_sided));
        self.status = taken.status;
        self.last = Some(taken.at);
        self.trouble = None;
    }

    /// By peer: sessions, and bytes a second from it and to it.
    fn talkers(&mut self, sessions: &[Row], seconds: f64) -> Vec<Vec<Cell>> {
        let mut now = HashMap::with_capacity(sessions.len());
        let mut peers: BTreeMap<(IpAddr, &str), (u64, [u64; 2])> = BTreeMap::new();
        for row in sessions {
            let ends = ends(row);
            let total = [row.bytes.sent, row.bytes.received];
            // What a new session has carried came since the last look; at the first look nothing is known.
            let before = self.bytes.get(&ends).copied().unwrap_or_default();
            let [sent, received] = [0, 1].map(|i| total[i].saturating_sub(before[i]));
            let outbound = row.direction == "outbound";
            let (peer, zone) = match outbound {
                true => (row.destination, row.zone.destination.as_str()),
                false => (row.source, row.zone.source.as_str()),
            };
            let (from, to) = if outbound {
                (received, sent)
            } else {
                (sent, received)
            };
            let of = peers.entry((peer, zone)).or_default();
            of.0 += 1;
            of.1[0] += from;
            of.1[1] += to;
            now.insert(ends, total);
        }
        self.bytes = now;
        let line = |((peer, zone), (count, [from, to])): (&(IpAddr, &str), &(u64, [u64; 2]))| {
            vec![
                Cell::text(peer.to_string()),
                Cell::text(zone),
                Cell::number(*count as f64),
                Cell::number(rate(*from, seconds)),
                Cell::number(rate(*to, seconds)),
            ]
        };
        peers.iter().map(line).collect()
    }

    /// Rules that refuse: packets a second, all of them, and the course.
    fn rules(&mut self, rules: &[RuleRow], seconds: f64) -> Vec<Vec<Cell>> {
        let mut now = HashMap::new();
        let mut lines = Vec::new();
        for row in rules.iter().filter(|row| refuses(row)) {
            let total = row.packets.unwrap_or(0) + row.would_packets.unwrap_or(0);
            let (before, mut course) = match self.drops.remove(&row.id) {
                Some((before, course)) => (before, course),
                None => (total, VecDeque::new()),
            };
            let rate = rate(total.saturating_sub(before), seconds);
            course.push_back(rate);
            if course.len() > COURSE {
                course.pop_front();
            }
            let action = match row.monitor {
                true => format!("would-{}", row.action),
                false => row.action.clone(),
            };
            lines.push(vec![
                Cell::text(&row.id),
                Cell::text(action),
                Cell::number(rate),
                Cell::number(total as f64),
                Cell::text(sparkline(&course)),
            ]);
            now.insert(row.id.clone(), (total, course));
        }
        self.drops = now;
        lines
    }

    /// What is shown, for programs.
    pub(super) fn json(&self) -> Value {
        let [talkers, rules, sessions, one_sided] = &self.panes;
        json!({
            "mode": self.status.mode,
            "policy": self.status.policy,
            "talkers": talkers.json(),
            "rules": rules.json(),
            "sessions": sessions.json(),
            "one_sided": one_sided.json(),
        })
    }
}

fn refuses(row: &RuleRow) -> bool {
    row.packets.is_some() && ["deny", "reject"].contains(&row.action.as_str())
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

fn ends(row: &Row) -> Ends {
    (
        row.protocol.clone(),
        row.source,
        row.source_port,
        row.destination,
        row.destination_port,
    )
}

/// The course as small bars; the highest is the largest value in it.
fn sparkline(course: &VecDeque<f64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = course.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match top > 0.0 {
        true => BARS[((value / top * 7.0).round() as usize).min(7)],
        false => BARS[0],
    };
    course.iter().map(bar).collect()
}

fn states(sessions: &[Row]) -> Vec<Vec<Cell>> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in sessions {
        *counts.entry((&row.protocol, &row.state)).or_default() += 1;
    }
    let line = |((protocol, state), count): (&(&str, &str), &u64)| {
        vec![
            Cell::text(protocol),
            Cell::text(state),
            Cell::number(*count as f64),
        ]
    };
    counts.iter().map(line).collect()
}

/// Handshakes that have cause, direction, peer, port and rule in common.
fn one_sided(rows: &[OneSidedRow]) -> Vec<Vec<Cell>> {
    let mut counts: BTreeMap<(&str, &str, IpAddr, u16, String), u64> = BTreeMap::new();
    for row in rows {
        let peer = match row.direction.as_str() {
            "inbound" => row.source,
            _ => row.destination,
        };
        let rule = cell(row.rule.as_ref());
        let key = (
            row.cause.as_str(),
            row.direction.as_str(),
            peer,
            row.destination_port,
            rule,
        );
        *counts.entry(key).or_default() += 1;
    }
    let lines = counts.iter();
    lines
        .map(|((cause, direction, peer, port, rule), count)| {
            vec![
                Cell::text(cause),
                Cell::text(direction),
                Cell::text(peer.to_string()),
                Cell {
                    text: port.to_string(),
                    ..Cell::number(f64::from(*port))
                },
                Cell::number(*count as f64),
                Cell::text(rule),
            ]
        })
        .collect()
}
