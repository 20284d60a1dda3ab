//! `ringwall flows`.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::{Format, OutputArgs, cell, printable};
use super::{Context, Done};
use crate::agent::config::parse_duration;
use crate::api::types::{Problem, exit};
use crate::events::Flow;
use crate::events::record::EventWord;
use crate::sessions::filter::Filter;

const LONG: &str = "\
Shows flow records: sessions opened and ended, packets refused, handshakes that do not complete, and live \
sessions as they stand. Records are kept in memory for a while, and limited under a flood; counters at \
/metrics are exact. A filter is words joined by `and`, `or`, `not`, in parentheses where needed:

  src ADDR   dst ADDR   peer ADDR   (an address or a prefix)
  port N     proto WORD   zone NAME   rule POLICY[/RULE]
  verdict forwarded|dropped|audit   reason WORD
  direction inbound|outbound|routed   state WORD   process NAME

  ringwall flows --since 10m
  ringwall flows --follow verdict dropped and not port 445
  ringwall flows peer 10.0.0.0/8 -o ndjson | jq .community_id

With -o ndjson each line is a record as docs/flows.md describes it.";

/// Show finished and live flows.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Flows {
    /// Which flows.
    filter: Vec<String>,
    /// Go on with what happens from now on.
    #[arg(short, long)]
    follow: bool,
    /// How far back, such as 30s, 10m, 2h. Absent: all that is kept; with --follow: nothing.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    since: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `10m`.
pub(super) fn since(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "write a whole number and its unit: 30s, 10m, 2h or 1d".to_owned())
}

const HEADER: [&str; 13] = [
    "TIME",
    "EVENT",
    "VERDICT",
    "DIRECTION",
    "PROTO",
    "SOURCE",
    "DESTINATION",
    "RULE",
    "WHY",
    "PACKETS",
    "BYTES",
    "IF",
    "PROCESS",
];

impl Flows {
    pub(super) fn go(self, context: &Context) -> Done {
        let filter = self.filter.join(" ");
        Filter::of_flows(&filter).map_err(|e| Problem::new(exit::INPUT, e.to_string()))?;
        let since = match self.since {
            None if self.follow => Some(Duration::ZERO),
            since => since,
        };
        let query = Query {
            filter: &filter,
            since,
            follow: self.follow,
            live: !self.follow,
            event: None,
        };
        if self.follow {
            return follow(context, &query, self.output.output);
        }
        let mut rows: Vec<Line> = Vec::new();
        context.client().lines(&query.path("/v1/flows"), |line| {
            rows.push(Line::read(line)?);
            Ok(true)
        })?;
        match self.output.output {
            Format::Ndjson => context.screen.lines(&texts(&rows))?,
            Format::Json => {
                let all: Vec<&RawValue> = rows.iter().map(|row| &*row.raw).collect();
                context.screen.json(&all, Format::Json)?;
            }
            Format::Table => {
                let flows = latest(rows);
                context.screen.rows(&flows, Format::Table, &HEADER, cells)?;
            }
        }
        Ok(exit::DONE)
    }
}

/// A line as the agent wrote it, and what it says.
struct Line {
    raw: Box<RawValue>,
    flow: Flow,
}

impl Line {
    fn read(line: &[u8]) -> Result<Self, Problem> {
        let broken = |e: serde_json::Error| {
            let text = format!(
                "the agent sent a record that cannot be read: {e}; is it newer than this command?"
            );
            Problem::new(exit::AGENT, text)
        };
        Ok(Self {
            raw: serde_json::from_slice(line).map_err(broken)?,
            flow: Flow::deserialize(&mut serde_json::Deserializer::from_slice(line))
                .map_err(broken)?,
        })
    }
}

fn texts(rows: &[Line]) -> Vec<&str> {
    rows.iter().map(|row| row.raw.get()).collect()
}

/// One line for each flow: of a session its end, or where it stands, and not its opening beside it.
fn latest(rows: Vec<Line>) -> Vec<Flow> {
    let later = |flow: &&Flow| matches!(flow.event, EventWord::Close | EventWord::Update);
    let known = rows.iter().map(|row| &row.flow).filter(later);
    let known: HashSet<String> = known.filter_map(|flow| flow.session_id.clone()).collect();
    let flows = rows.into_iter().map(|row| row.flow);
    let flows = flows.filter(|flow| {
        let named = flow
            .session_id
            .as_ref()
            .is_some_and(|id| known.contains(id));
        flow.event != EventWord::Open || !named
    });
    flows.collect()
}

/// What is asked of the agent.
pub(super) struct Query<'q> {
    pub(super) filter: &'q str,
    pub(super) since: Option<Duration>,
    pub(super) follow: bool,
    pub(super) live: bool,
    pub(super) event: Option<&'q str>,
}

impl Query<'_> {
    /// The request's path.
    pub(super) fn path(&self, endpoint: &str) -> String {
        let mut path = format!("{endpoint}?follow={}&live={}", self.follow, self.live);
        if let Some(since) = self.since {
            path.push_str(&format!("&since={}", since.as_secs()));
        }
        if let Some(event) = self.event {
            path.push_str(&format!("&event={event}"));
        }
        path.push_str("&filter=");
        for byte in self.filter.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    path.push(byte.into())
                }
                other => path.push_str(&format!("%{other:02X}")),
            }
        }
        path
    }
}

/// Writes records as they come, until somebody ends it.
pub(super) fn follow(context: &Context, query: &Query<'_>, format: Format) -> Done {
    let screen = context.screen;
    if format == Format::Table {
        screen.lines(&[columns(&HEADER.map(str::to_owned))])?;
    }
    context.client().lines(&query.path("/v1/flows"), |line| {
        let line = Line::read(line)?;
        let text = match format {
            Format::Table => columns(&cells(&line.flow)),
            Format::Json | Format::Ndjson => line.raw.get().to_owned(),
        };
        screen.line(&text)
    })?;
    Ok(exit::DONE)
}

/// Cells under each other, although nobody knows yet how wide the next ones are.
fn columns(cells: &[String]) -> String {
    const WIDTHS: [usize; 12] = [24, 9, 9, 9, 6, 28, 28, 20, 18, 9, 11, 4];
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| {
        let cell = printable(cell).replace('\n', " ");
        format!("{cell:width$}")
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn cells(flow: &Flow) -> Vec<String> {
    let ports = flow.l4.as_ref().and_then(|l4| l4.ports());
    let end = |address: Option<std::net::IpAddr>, port: Option<u16>| match address {
        Some(address) => super::sessions::end(address, port),
        None => "-".to_owned(),
    };
    let ip = flow.ip.as_ref();
    let why = flow.cause.as_ref().or(flow.close_cause.as_ref());
    let state = flow
        .state
        .as_ref()
        .filter(|_| flow.event == EventWord::Update);
    vec![
        format!("{:.3}", flow.time),
        flow.event.word().to_owned(),
        flow.verdict.word().to_owned(),
        cell(flow.direction.as_ref()),
        flow.l4.as_ref().map_or_else(
            || cell(flow.ethertype.as_ref()),
            |l4| l4.protocol().to_owned(),
        ),
        end(ip.map(|ip| ip.source), ports.map(|ports| ports.0)),
        end(ip.map(|ip| ip.destination), ports.map(|ports| ports.1)),
        cell(flow.rule_id()),
        cell(why.or(state).or(flow.reason.as_ref())),
        format!("{}/{}", flow.packets.sent, flow.packets.received),
        format!("{}/{}", flow.bytes.sent, flow.bytes.received),
        cell(flow.interface.as_ref().map(|on| on.name.clone())),
        cell(flow.process.as_ref()),
    ]
}
