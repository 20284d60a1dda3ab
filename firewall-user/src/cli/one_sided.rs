//! `ringwall one-sided`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;

use super::flows::since;
use super::output::{Format, OutputArgs, cell};
use super::{Context, Done};
use crate::api::types::{Group, OneSidedRow, Problem, exit};

const LONG: &str = "\
Shows TCP connections whose handshake does not complete, each with its cause, the evidence, and what to try next:

  inbound    policy-drop  no-listener  listener-elsewhere  listener-overflow  local-filter  reply-path
             syn-flood  scan
  outbound   policy-drop  refused  unreachable  silent-drop  no-route  asymmetric-reply  midstream-only
  unknown    the evidence does not decide

  ringwall one-sided --since 10m
  ringwall one-sided -o json | jq '.[] | select(.cause == \"silent-drop\")'

The table has a line for each group: the same cause, network of the peer, and port. With `-o json` there is a row
for each connection, with its `group`. `current` are those that were tried a short while ago.

A handshake is called one-sided only once its retransmissions have had time to complete it, some four seconds, and
longer where others complete theirs with the same peer. `ringwall diagnose PEER PORT` looks further.";

/// Show handshakes that do not complete, and why.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct OneSided {
    /// How far back, such as 30s, 10m, 2h. Absent: all that is remembered.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    since: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

impl OneSided {
    pub(super) fn go(self, context: &Context) -> Done {
        let path = match self.since {
            Some(since) => format!("/v1/one-sided?since={}", since.as_secs()),
            None => "/v1/one-sided".to_owned(),
        };
        let rows: Vec<OneSidedRow> = context.client().get(&path)?;
        match self.output.output {
            Format::Table => table(context, &rows)?,
            format => context.screen.rows(&rows, format, &[], |_| Vec::new())?,
        }
        Ok(exit::DONE)
    }
}

const HEADER: [&str; 10] = [
    "CAUSE",
    "DIRECTION",
    "PEER",
    "PORT",
    "COUNT",
    "CURRENT",
    "LAST",
    "RULE",
    "PROCESS",
    "EVIDENCE",
];

fn table(context: &Context, rows: &[OneSidedRow]) -> Result<(), Problem> {
    let mut groups: BTreeMap<&Group, Vec<&OneSidedRow>> = BTreeMap::new();
    for row in rows {
        groups.entry(&row.group).or_default().push(row);
    }
    let mut groups: Vec<(&Group, Vec<&OneSidedRow>)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, of)| std::cmp::Reverse(of.iter().map(|row| row.last).max()));
    let lines = groups.iter().map(|(group, of)| line(group, of));
    context.screen.table(&HEADER, lines)?;
    let mut advice: BTreeSet<(&str, &str)> = BTreeSet::new();
    for row in rows {
        advice.insert((&row.cause, &row.advice));
    }
    let advice = advice
        .iter()
        .map(|(cause, text)| format!("{cause}: {text}"));
    let advice: Vec<String> = advice.collect();
    if advice.is_empty() {
        return Ok(());
    }
    context
        .screen
        .lines(&[vec![String::new()], advice].concat())
}

fn line(group: &Group, of: &[&OneSidedRow]) -> Vec<String> {
    let last = of.iter().max_by_key(|row| row.last);
    let current = of.iter().filter(|row| row.current).count();
    vec![
        group.cause.clone(),
        group.direction.clone(),
        peers(group, of),
        group
            .port
            .map_or_else(|| "many".to_owned(), |port| port.to_string()),
        of.len().to_string(),
        current.to_string(),
        cell(last.map(|row| format!("{:.0}", row.last))),
        cell(last.and_then(|row| row.rule.as_ref())),
        cell(last.and_then(|row| row.process.as_ref())),
        last.map(|row| row.evidence.join("; ")).unwrap_or_default(),
    ]
}

/// The one peer, or the network of several, and how many they are.
fn peers(group: &Group, of: &[&OneSidedRow]) -> String {
    let peer = |row: &&OneSidedRow| match row.direction.as_str() {
        "inbound" => row.source,
        _ => row.destination,
    };
    let peers: BTreeSet<IpAddr> = of.iter().map(peer).collect();
    match (peers.len(), peers.first(), &group.network) {
        (1, Some(one), _) => one.to_string(),
        (count, _, Some(network)) => format!("{network} ({count})"),
        (count, ..) => format!("{count} addresses"),
    }
}
