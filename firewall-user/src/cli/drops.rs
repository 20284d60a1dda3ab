//! `ringwall drops`.

use std::time::Duration;

use clap::Args;

use super::flows::{Query, follow, since};
use super::output::{Format, OutputArgs, cell};
use super::{Context, Done};
use crate::api::types::{Problem, exit};
use crate::events::drops::{DropRow, Drops};

const LONG: &str = "\
Shows who was refused, by which rule or for which reason, and the line of policy that would let exactly that \
in, with the place where it goes. Put the line there, raise the revision, and `ringwall policy check` it.

  ringwall drops --since 10m
  ringwall drops --follow
  ringwall drops -o json | jq '.[] | select(.zone.source == \"office\") | .let_in'

Records are limited under a flood; what no record was made of is said at the end, and counters at /metrics \
are exact.";

/// Show who was refused, by which rule, and what would let it in.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct DropsCommand {
    /// How far back, such as 30s, 10m, 2h. Absent: all that is kept.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    since: Option<Duration>,
    /// Show each refusal as it happens.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl DropsCommand {
    pub(super) fn go(self, context: &Context) -> Done {
        if self.follow {
            let query = Query {
                filter: "",
                since: Some(self.since.unwrap_or_default()),
                follow: true,
                live: false,
                event: Some("drop"),
            };
            return follow(context, &query, self.output.output);
        }
        let path = match self.since {
            Some(since) => format!("/v1/drops?since={}", since.as_secs()),
            None => "/v1/drops".to_owned(),
        };
        let drops: Drops = context.client().get(&path)?;
        match self.output.output {
            Format::Table => table(context, &drops)?,
            format => context
                .screen
                .rows(&drops.rows, format, &[], |_| Vec::new())?,
        }
        if drops.unrecorded > 0 {
            let count = drops.unrecorded;
            context.screen.say(format!(
                "{count} more were refused without a record: there were too many; see /metrics"
            ));
        }
        Ok(exit::DONE)
    }
}

fn table(context: &Context, drops: &Drops) -> Result<(), Problem> {
    let header = [
        "PACKETS",
        "VERDICT",
        "LAST",
        "PEER",
        "SERVICE",
        "DIRECTION",
        "ZONES",
        "RULE",
        "REASON",
        "IF",
    ];
    context
        .screen
        .rows(&drops.rows, Format::Table, &header, cells)?;
    let lines = drops
        .rows
        .iter()
        .filter_map(|row| Some((row, row.let_in.as_ref()?)));
    let mut text: Vec<String> = Vec::new();
    for (row, let_in) in lines.take(SHOWN) {
        let who = cell(row.peer.map(|peer| peer.to_string()));
        text.push(String::new());
        text.push(format!(
            "to let {} of {who} pass, {}:",
            row.service, row.advice
        ));
        text.push(format!("  {}", let_in.line));
    }
    let hints = drops.rows.iter().filter(|row| row.let_in.is_none());
    let mut known: Vec<&str> = Vec::new();
    for row in hints {
        if !row.advice.is_empty() && !known.contains(&row.reason.as_str()) {
            known.push(&row.reason);
            text.push(String::new());
            text.push(format!("{}: {}", row.reason, row.advice));
        }
    }
    context.screen.lines(&text)
}

/// Lines of policy that a screen takes; `-o json` has them all.
const SHOWN: usize = 10;

fn cells(row: &DropRow) -> Vec<String> {
    let zone = |zone: &Option<String>| cell(zone.as_ref());
    vec![
        row.packets.to_string(),
        row.verdict.word().to_owned(),
        format!("{:.0}", row.last),
        cell(row.peer),
        row.service.clone(),
        cell(row.direction.as_ref()),
        format!(
            "{} -> {}",
            zone(&row.zone.source),
            zone(&row.zone.destination)
        ),
        cell(row.rule.as_ref()),
        row.reason.clone(),
        cell(row.interface.as_ref()),
    ]
}
