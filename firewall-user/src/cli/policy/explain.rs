//! `ringwall policy explain`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::output::{Format, OutputArgs};
use super::super::{Context, Done};
use super::read;
use crate::agent::{candidate, clock};
use crate::api::types::{ExplainRequest, Explained, Problem, exit};
use crate::policy::{explain, packet};

const LONG: &str = "\
Says which rule decides about a packet and why: by the program and tables in force, leaving no trace in \
sessions and counters; or by a file. The packet opens its conversation. Exit status 1: it would not pass.

  ringwall policy explain 'tcp 203.0.113.9:40000 -> host:443'
  ringwall policy explain 'udp [2001:db8::1]:53 -> host in eth0'
  ringwall policy explain 'icmp 198.51.100.7 -> host echo-request'
  ringwall policy explain 'tcp trusted -> host:22' --policy policy.yaml

By a file, `host` is an address of no other meaning; where no rule decides about that one, those that rules name \
are tried, and the answer says with which.";

/// Ask which rule decides about a packet.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Explain {
    /// The packet, in quotes: `->` means something else to a shell.
    packet: String,
    /// Judge by this file or directory instead of what is in force.
    #[arg(long, value_name = "PATH")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Explain {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        let packet = self.packet;
        let explained = match &self.policy {
            Some(path) => by_file(context, path, &packet)?,
            None => context
                .client()
                .post("/v1/explain", &ExplainRequest { packet })?,
        };
        match self.output.output {
            Format::Table => context.screen.lines(&lines(&explained))?,
            format => context.screen.json(&explained, format)?,
        }
        let passes = matches!(explained.verdict.as_str(), "forwarded" | "audit");
        Ok(if passes { exit::DONE } else { exit::NO })
    }
}

fn by_file(context: &Context, path: &Path, text: &str) -> Result<Explained, Problem> {
    let checked = read(context, path)?;
    let spec = packet::parse(text, &checked.policy.zones)
        .map_err(|error| Problem::new(exit::INPUT, format!("{text}: {error}")))?;
    let said = explain::from_file(
        &checked.policy,
        &spec,
        &checked.host.failsafe,
        &clock::now(),
    )
    .map_err(|errors| Problem::from(&candidate::unfit(&errors, &checked)))?;
    Ok(Explained {
        action: said.action,
        verdict: said.verdict,
        reason: said.reason,
        rule: said.rule,
        source_zone: said.source_zone,
        destination_zone: said.destination_zone,
        packet: said.packet,
        host_address: said.host_address,
    })
}

fn lines(explained: &Explained) -> Vec<String> {
    let rule = explained.rule.as_deref().unwrap_or("no rule");
    let mut lines = vec![
        explained.packet.clone(),
        format!("{} by {rule} ({})", explained.action, explained.reason),
        format!(
            "from zone {} to zone {}, {}",
            explained.source_zone, explained.destination_zone, explained.verdict
        ),
    ];
    let host = explained.host_address.as_ref();
    lines.extend(host.map(|host| format!("with {host} as this host's address")));
    lines
}
