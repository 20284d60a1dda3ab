//! `ringwall diagnose`.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

use super::flows::since;
use super::output::{Format, OutputArgs};
use super::{Context, Done};
use crate::api::types::{Problem, exit};
use crate::diagnose::ladder::{Ladder, Question, WAIT, walk};

const LONG: &str = "\
Walks the layers that a TCP connection crosses, says how each is, names the first at fault, and what to run next:

  route      does routing lead to the peer, and does the next hop answer
  policy     what the policy in force says, asked of the live program
  filters    nftables rules of this host that are in the way, by table and handle
  listener   with --inbound: what listens on the port, where, and whether it takes more
  seen       records of the two in the last ten minutes
  probe      the connection, tried from here; with --inbound, what comes from the peer meanwhile

  ringwall diagnose 203.0.113.9 443
  ringwall diagnose 198.51.100.7 22 --inbound --wait 30s
  ringwall diagnose db.example.net 5432 -o json | jq .fault

Without --inbound PORT is the peer's, and this host opens; with it PORT is this host's, and the peer opens. The exit
status is 1 if a fault is named. Changes nothing. Works without an agent, and sees less then.";

/// Walk the layers between this host and a peer, and name the one at fault.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Diagnose {
    /// The far end: an address, or a name.
    peer: String,
    /// The port that is asked for.
    port: u16,
    /// The peer opens, and this host is asked.
    #[arg(long)]
    inbound: bool,
    /// How long to wait for packets, such as 10s. Absent: 5.5 seconds, in which the agent names a cause.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    wait: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Diagnose {
    pub(super) fn go(self, context: &Context) -> Done {
        let question = Question {
            peer: address(&self.peer)?,
            port: self.port,
            inbound: self.inbound,
            wait: self.wait.unwrap_or(WAIT),
        };
        let ladder = walk(question, context.client());
        match self.output.output {
            Format::Table => show(context, &ladder)?,
            format => context.screen.json(&ladder, format)?,
        }
        Ok(if ladder.fault.is_some() {
            exit::NO
        } else {
            exit::DONE
        })
    }
}

fn address(peer: &str) -> Result<IpAddr, Problem> {
    if let Ok(address) = peer.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    let found = (peer, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next());
    found.map(|at| at.ip()).ok_or_else(|| {
        Problem::new(
            exit::INPUT,
            format!("{peer}: neither an address nor a name that is known"),
        )
    })
}

fn show(context: &Context, ladder: &Ladder) -> Result<(), Problem> {
    let mut lines = Vec::new();
    for step in &ladder.steps {
        lines.push(format!(
            "{:<8} {:<9} {}",
            step.verdict.word(),
            step.layer,
            step.found
        ));
        let next = step.next.iter();
        lines.extend(next.map(|next| format!("{:<8} {:<9} -> {next}", "", "")));
    }
    lines.push(match (ladder.fault, ladder.connected) {
        (Some(layer), _) => format!("\nat fault: {layer}"),
        (None, true) => "\nit works".to_owned(),
        (None, false) => "\nno fault was found".to_owned(),
    });
    if let Some(next) = &ladder.next {
        lines.push(format!("next: {next}"));
    }
    context.screen.lines(&lines)
}
