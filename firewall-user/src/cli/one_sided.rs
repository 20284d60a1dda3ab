//! `ringwall one-sided`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;

use super::flows::since;
use super::output::{Format, OutputArgs, cell};
use super::{Context, Done};
use crate::api::types::{OneSidedRow, Problem, exit};

const LONG: &str = "\
Shows TCP connections whose handshake does not complete, each with its cause and the evidence:

  inbound    policy-drop  no-listener  listener-elsewhere  local-filter  reply-path
  outbound   policy-drop  refused  unreachable  silent-drop
  unknown    the evidence does not decide

  ringwall one-sided --since 10m
  ringwall one-sided -o json | jq '.[] | select(.cause == \"silent-drop\")'

A handshake is called one-sided only once its retransmissions have had time to complete it, some four seconds.";

/// Show handshakes that do not complete, and why.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct OneSided {
    /// How far back, such as 30s, 10m, 2h. Absent: all that is remembered.
    #[arg(long, value_name = "TIME", value_parser = since)]
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

/// What rows of the table have in common.
type Key<'r> = (&'r str, &'r str, IpAddr, u16);

fn table(context: &Context, rows: &[OneSidedRow]) -> Result<(), Problem> {
    let mut groups: BTreeMap<Key<'_>, Vec<&OneSidedRow>> = BTreeMap::new();
    for row in rows {
        let peer = match row.direction.as_str() {
            "inbound" => row.source,
            _ => row.destination,
        };
        let key = (
            row.direction.as_str(),
            row.cause.as_str(),
            peer,
            row.destination_port,
        );
        groups.entry(key).or_default().push(row);
    }
    let groups: Vec<(Key<'_>, Vec<&OneSidedRow>)> = groups.into_iter().collect();
    let header = [
        "CAUSE",
        "DIRECTION",
        "PEER",
        "PORT",
        "COUNT",
        "LAST",
        "RULE",
        "EVIDENCE",
    ];
    let lines = groups.iter().map(|((direction, cause, peer, port), of)| {
        let last = of.iter().max_by_key(|row| row.last);
        vec![
            (*cause).to_owned(),
            (*direction).to_owned(),
            peer.to_string(),
            port.to_string(),
            of.len().to_string(),
            cell(last.map(|row| format!("{:.0}", row.last))),
            cell(last.and_then(|row| row.rule.as_ref())),
            last.map(|row| row.evidence.join("; ")).unwrap_or_default(),
        ]
    });
    context.screen.table(&header, lines)?;
    let mut advice: BTreeMap<&str, &str> = BTreeMap::new();
    for row in rows {
        advice.insert(&row.cause, &row.advice);
    }
    let advice: Vec<String> = advice
        .iter()
        .map(|(cause, text)| format!("{cause}: {text}"))
        .collect();
    if advice.is_empty() {
        return Ok(());
    }
    context
        .screen
        .lines(&[vec![String::new()], advice].concat())
}
