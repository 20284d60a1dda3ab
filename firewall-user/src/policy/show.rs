//! The ordered list as it decides, for `ringwall policy show`: what the link needs, the host's own way
//! in, the policies' rules, and what nothing decided.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use firewall_common::config::{FIRST_FAILSAFE_COUNTER, Fallback, GENERATION_MONITOR, RuleCount};
use firewall_common::essential::Essential;
use serde::Serialize;

use super::compiled::{Clock, Compiled, Listed};

/// Counts by counter number.
pub type Counts = BTreeMap<u32, RuleCount>;

/// Longer conditions are cut in tables; JSON has them whole.
const WIDTH: usize = 100;

/// What a place takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It decides.
    Active,
    /// It only counts.
    Monitor,
    /// It takes no part: disabled, or not for this host.
    Off,
    /// Its time is over.
    Expired,
}

impl State {
    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Monitor => "monitor",
            Self::Off => "off",
            Self::Expired => "expired",
        }
    }
}

/// What was counted at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Packets that it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that it would have decided, were it not in monitor mode.
    pub would_packets: u64,
    /// Their bytes.
    pub would_bytes: u64,
    /// When the last of either came; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_hit: Option<jiff::Timestamp>,
}

/// A place of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `essentials/arp`, `failsafe/1`, `policy/rule`, `unmatched/inbound`.
    pub id: String,
    /// `allow`, `deny`, `reject` or `pass`.
    pub action: String,
    /// Who opens.
    pub from: String,
    /// Who is addressed.
    pub to: String,
    /// The other conditions.
    pub conditions: String,
    /// What it takes part in.
    pub state: State,
    /// `owner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `ticket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// `review_by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// `expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Absent where nothing counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits: Option<Hits>,
}

/// The whole list. `failsafe` are the conditions of the host's own rules, in order.
#[must_use]
pub fn rows(
    compiled: &Compiled,
    failsafe: &[String],
    counts: Option<&Counts>,
    clock: &Clock,
) -> Vec<Row> {
    let hits = |counter: u32| counts.map(|counts| hits(counts.get(&counter), clock));
    let mut rows: Vec<Row> = Essential::ALL
        .iter()
        .map(|essential| Row {
            hits: hits(essential.counter()),
            ..essential_row(compiled, *essential)
        })
        .collect();
    for (number, conditions) in (0u32..).zip(failsafe) {
        rows.push(Row {
            conditions: conditions.clone(),
            hits: hits(FIRST_FAILSAFE_COUNTER + number),
            ..row(format!("failsafe/{}", number + 1), "allow", "any", "host")
        });
    }
    rows.extend(compiled.listing.iter().map(|listed| Row {
        hits: hits(listed.counter),
        ..listed_row(compiled, listed, clock)
    }));
    rows.extend(unmatched(compiled));
    rows
}

fn row(id: String, action: &str, from: &str, to: &str) -> Row {
    Row {
        id,
        action: action.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        conditions: String::new(),
        state: State::Active,
        owner: None,
        reason: None,
        ticket: None,
        review_by: None,
        expires: None,
        hits: None,
    }
}

fn essential_row(compiled: &Compiled, essential: Essential) -> Row {
    let on = compiled.head.essentials & essential.bit() != 0;
    Row {
        state: if on { State::Active } else { State::Off },
        ..row(
            format!("essentials/{}", essential.word()),
            "allow",
            "link",
            "link",
        )
    }
}

fn listed_row(compiled: &Compiled, listed: &Listed, clock: &Clock) -> Row {
    let rule = listed
        .index
        .and_then(|index| compiled.rules.get(index as usize));
    let state = match rule {
        None => State::Off,
        Some(rule) if rule.expires != 0 && clock.boot >= rule.expires => State::Expired,
        Some(_) if listed.monitor => State::Monitor,
        Some(_) => State::Active,
    };
    Row {
        conditions: listed.conditions.clone(),
        state,
        owner: listed.owner.clone(),
        reason: listed.reason.clone(),
        ticket: listed.ticket.clone(),
        review_by: listed.review_by.clone(),
        expires: listed.expires.clone(),
        ..row(listed.id.clone(), &listed.action, &listed.from, &listed.to)
    }
}

/// What nothing decided. It has no counters of its own: its packets are counted by reason.
fn unmatched(compiled: &Compiled) -> impl Iterator<Item = Row> {
    let ends = [
        ("inbound", "any", "host"),
        ("outbound", "host", "any"),
        ("routed", "any", "any"),
    ];
    let actions = compiled
        .head
        .unmatched
        .map(|number| match Fallback::from_number(number) {
            Fallback::Allow => "allow",
            Fallback::Deny => "deny",
            Fallback::Reject => "reject",
            Fallback::Pass => "pass",
        });
    let each = ends.into_iter().zip(actions);
    each.map(|((course, from, to), action)| row(format!("unmatched/{course}"), action, from, to))
}

fn hits(count: Option<&RuleCount>, clock: &Clock) -> Hits {
    let count = count.copied().unwrap_or_default();
    let ago = clock.boot.saturating_sub(count.last_hit);
    let seen = count.last_hit != 0;
    let last_hit = jiff::SignedDuration::from_nanos(i64::try_from(ago).unwrap_or(i64::MAX));
    Hits {
        packets: count.packets,
        bytes: count.bytes,
        would_packets: count.would_packets,
        would_bytes: count.would_bytes,
        last_hit: seen
            .then(|| clock.wall.checked_sub(last_hit).ok())
            .flatten(),
    }
}

/// Does the whole policy only monitor?
#[must_use]
pub fn monitors(compiled: &Compiled) -> bool {
    compiled.head.flags & GENERATION_MONITOR != 0
}

/// The list as a table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let counted = rows.iter().any(|row| row.hits.is_some());
    let mut header = vec!["rule", "action", "from", "to", "conditions", "state"];
    if counted {
        header.extend(["packets", "bytes", "last hit"]);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(cells(row, counted));
    }
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn cells(row: &Row, counted: bool) -> Vec<String> {
    let mut cells = vec![
        row.id.clone(),
        row.action.clone(),
        row.from.clone(),
        row.to.clone(),
        cut(&row.conditions),
        row.state.word().to_owned(),
    ];
    if counted {
        cells.extend(
            row.hits
                .map_or_else(<[String; 3]>::default, |hits| count_cells(row, &hits)),
        );
    }
    cells
}

/// A rule in monitor mode shows what it would have decided.
fn count_cells(row: &Row, hits: &Hits) -> [String; 3] {
    let (packets, bytes) = match row.state {
        State::Monitor => (hits.would_packets, hits.would_bytes),
        _ => (hits.packets, hits.bytes),
    };
    let last = hits.last_hit.map(|at| format!("{at:.0}"));
    [
        packets.to_string(),
        bytes.to_string(),
        last.unwrap_or_else(|| "never".to_owned()),
    ]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;
    use crate::policy::compiled::Numbers;
    use crate::policy::testing::{HEAD, clock, policy};

    const RULES: &str = "
essentials: {dhcp: false}
policies:
  - name: in
    from: lan
    to: host
    rules:
      - {name: ssh, action: allow, services: [ssh], sources: [office, 10.1.0.0/16], ticket: T-1}
      - {name: old, action: allow, expires: 2020-01-01}
      - {name: parked, action: deny, enabled: false}
      - {name: maybe, action: reject, mode: monitor}
    default: deny
";

    fn shown(counts: Option<&Counts>) -> Vec<Row> {
        let policy = policy(&format!("{HEAD}{RULES}"));
        let compiled = compile(&policy, &mut Numbers::default(), &clock()).unwrap();
        rows(
            &compiled,
            &["sources: [10.1.0.0/24] services: [ssh]".into()],
            counts,
            &clock(),
        )
    }

    #[test]
    fn the_list_is_in_the_order_in_which_it_decides() {
        let rows = shown(None);
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids[..2], ["essentials/arp", "essentials/nd"]);
        assert_eq!(
            ids[8..],
            [
                "failsafe/1",
                "in/ssh",
                "in/old",
                "in/parked",
                "in/maybe",
                "in/default",
                "unmatched/inbound",
                "unmatched/outbound",
                "unmatched/routed",
            ]
        );
        let states: Vec<State> = rows[9..14].iter().map(|row| row.state).collect();
        assert_eq!(
            states,
            [
                State::Active,
                State::Expired,
                State::Off,
                State::Monitor,
                State::Active
            ]
        );
        assert_eq!(rows[3].state, State::Off, "dhcp is switched off");
        assert_eq!(
            rows[9].conditions,
            "services: [ssh] sources: [office, 10.1.0.0/16]"
        );
        assert_eq!(rows[16].action, "pass");
    }

    #[test]
    fn counters_and_the_last_hit_stand_beside_their_rules() {
        let count = RuleCount {
            packets: 3,
            bytes: 180,
            last_hit: clock().boot - 2_000_000_000,
            ..RuleCount::default()
        };
        let rows = shown(Some(&[(128, count), (129, count)].into()));
        let hit = rows
            .iter()
            .find(|row| row.hits.is_some_and(|hits| hits.packets == 3))
            .unwrap();
        let at = hit.hits.unwrap().last_hit.unwrap();
        assert_eq!(at.to_string(), "2026-12-31T23:59:58Z");
        let text = table(&rows);
        assert!(
            text.contains("2026-12-31T23:59:58Z") && text.contains("never"),
            "{text}"
        );
        let json = serde_json::to_value(hit).unwrap();
        assert_eq!(json["hits"]["packets"], 3);
        assert_eq!(json["state"], "active");
    }
}
