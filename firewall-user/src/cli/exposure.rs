//! `ringwall exposure`.

use clap::Args;
use firewall_common::packet::protocol;

use super::output::{Format, OutputArgs, cell};
use super::{Context, Done};
use crate::agent::net::{self, Standing};
use crate::agent::processes;
use crate::api::types::{Problem, exit};
use crate::diagnose::doctor::Look;
use crate::diagnose::exposure::{Exposed, Exposure, Open, expose};
use crate::diagnose::{listed_rules, published::published};

const LONG: &str = "\
Shows what answers at this host's ports, TCP and UDP, published container ports included, and from which zones it is \
reachable by which rule of the policy; rules that open a port where nothing answers; and what answers and no rule \
mentions. Sockets on loopback only are left out: nothing is judged there.

  sudo ringwall exposure
  sudo ringwall exposure -o json | jq '.open[] | select(.reachable | length > 0) | [.protocol, .port, .reachable]'

`all` of a zone, or `some`: the rule asks for more than the zone and the port, such as sources. The policy is the one
in force, which only root can read, else the one on file. Works without an agent.";

/// Show what is reachable from where, by which rule, and open rules without a listener.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct ExposureCommand {
    #[command(flatten)]
    output: OutputArgs,
}

impl ExposureCommand {
    pub(super) fn go(self, context: &Context) -> Done {
        let look = Look::at(context.paths.clone());
        let (open, strange) =
            open().map_err(|error| Problem::new(exit::NO, format!("{error:#}")))?;
        let policy = look.policy.as_ref();
        let failsafe = look.config.as_ref().map(|config| config.failsafe.clone());
        let failsafe = failsafe.unwrap_or_default();
        let exposure = expose(policy.map(|(policy, _)| policy), &failsafe, &open);
        match self.output.output {
            Format::Table => {
                show(context, &exposure)?;
                notes(context, &look, strange)?;
            }
            format => context.screen.json(&exposure, format)?,
        }
        Ok(exit::DONE)
    }
}

/// What answers, and how many rules of published ports are not understood.
fn open() -> anyhow::Result<(Vec<Open>, usize)> {
    let mut open = Vec::new();
    let holders = processes::holders();
    let listening = net::sockets()?.into_iter().filter(|socket| {
        let tcp = socket.protocol == protocol::TCP || socket.protocol == protocol::UDP;
        tcp && socket.standing == Standing::Listens && !socket.local.ip().is_loopback()
    });
    open.extend(listening.map(|socket| Open {
        protocol: socket.protocol,
        address: socket.local.ip(),
        port: socket.local.port(),
        last_port: None,
        published_to: None,
        process: holders.get(&socket.inode).map(ToString::to_string),
    }));
    let sent_on = published(listed_rules().as_deref());
    let strange = sent_on.strange;
    open.extend(sent_on.open);
    open.sort_by_key(|one| (one.protocol, one.port, one.address));
    open.dedup();
    Ok((open, strange))
}

const HEADER: [&str; 7] = [
    "PROTO",
    "ADDRESS",
    "PORT",
    "TO",
    "PROCESS",
    "REACHABLE FROM",
    "NOTE",
];

fn show(context: &Context, exposure: &Exposure) -> Result<(), Problem> {
    context
        .screen
        .table(&HEADER, exposure.open.iter().map(line))?;
    if exposure.idle.is_empty() {
        return Ok(());
    }
    let mut lines = vec!["\nrules that open what nothing answers:".to_owned()];
    let idle = exposure.idle.iter();
    lines.extend(idle.map(|idle| format!("  {}  {}", idle.rule, idle.service)));
    context.screen.lines(&lines)
}

fn line(exposed: &Exposed) -> Vec<String> {
    let reach = exposed.reachable.iter().map(|reach| match reach.who {
        "all" => format!("{} ({})", reach.zone, reach.rule),
        who => format!("{who} of {} ({})", reach.zone, reach.rule),
    });
    let reach: Vec<String> = reach.collect();
    let note = if exposed.unmentioned {
        "no rule mentions it"
    } else {
        ""
    };
    vec![
        exposed.protocol.clone(),
        exposed.open.address.to_string(),
        ports(&exposed.open),
        cell(exposed.open.published_to.as_ref()),
        cell(exposed.open.process.as_ref()),
        if reach.is_empty() {
            "nowhere".to_owned()
        } else {
            reach.join(", ")
        },
        note.to_owned(),
    ]
}

fn ports(open: &Open) -> String {
    match open.last_port {
        Some(last) => format!("{}-{last}", open.port),
        None => open.port.to_string(),
    }
}

/// What the table does not say by itself.
fn notes(context: &Context, look: &Look, strange: usize) -> Result<(), Problem> {
    let mut lines = Vec::new();
    match &look.policy {
        Some((_, source)) => lines.push(format!("\nby {source}")),
        None => lines.push("\nno policy was found: everything passes".to_owned()),
    }
    let guarded: Vec<&str> = look
        .guarded()
        .iter()
        .map(|link| link.name.as_str())
        .collect();
    let others = look
        .links
        .iter()
        .filter(|link| link.up && !link.loopback && !guarded.contains(&link.name.as_str()));
    let others: Vec<&str> = others.map(|link| link.name.as_str()).collect();
    if !others.is_empty() {
        lines.push(format!(
            "not guarded, so nothing is judged there: {}",
            others.join(", ")
        ));
    }
    if strange > 0 {
        lines.push(format!(
            "{strange} rules that publish ports are not understood (nftables, iptables)"
        ));
    }
    context.screen.lines(&lines)
}
