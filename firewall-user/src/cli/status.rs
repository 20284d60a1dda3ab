//! `ringwall status`.

use clap::Args;

use super::output::{Format, OutputArgs, cell, moment};
use super::{Context, Done, pinned};
use crate::api::types::{
    self, InterfaceLine, LossLine, OtherProgram, Problem, SessionLine, SetVersion, exit,
};

const LONG: &str = "\
Shows what is enforced: the policy, every interface with its state and why, the session tables, and what \
somebody should look at. Without an agent, as root, what the pinned tables enforce is shown; the exit status is \
3 then.

  ringwall status
  ringwall status -o json | jq .enforcing";

/// Show what is enforced.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Status {
    #[command(flatten)]
    output: OutputArgs,
}

impl Status {
    pub(super) fn go(self, context: &Context) -> Done {
        let asked: Result<types::Status, Problem> = context.client().get("/v1/status");
        let (status, problem) = match asked {
            Ok(status) => (status, None),
            Err(problem) if problem.exit == exit::AGENT => {
                (pinned::status(context, &problem)?, Some(problem))
            }
            Err(problem) => return Err(problem),
        };
        match self.output.output {
            Format::Table => show(context, &status)?,
            format => context.screen.json(&status, format)?,
        }
        match problem {
            None => Ok(exit::DONE),
            Some(problem) => Err(problem),
        }
    }
}

fn show(context: &Context, status: &types::Status) -> Result<(), Problem> {
    let enforcing = match (status.enforcing, status.mode.as_str()) {
        (true, _) => "enforcing",
        (false, "monitor") => "MONITORING: judged and counted, nothing is dropped",
        (false, "no-policy") => "NOT ENFORCING: no policy is in force",
        _ => "NOT ENFORCING: no interface is guarded",
    };
    let mut lines = vec![enforcing.to_owned()];
    if let Some(policy) = &status.policy {
        lines.push(format!(
            "policy    {} revision {}, applied {}",
            policy.name, policy.revision, policy.applied
        ));
        lines.push(format!("digest    {}", policy.digest));
        lines.extend(policy.cost.map(|cost| format!("cost      {cost}")));
        lines.extend(policy.confirm_by.as_deref().map(moment).map(|by| {
            format!("PENDING   until {by}: goes back by itself without `ringwall confirm`")
        }));
    }
    lines.extend(status.offered.as_ref().map(|offered| {
        let (name, revision, outcome) = (&offered.name, offered.revision, &offered.outcome);
        format!("offered   {name} revision {revision}: {outcome}")
    }));
    let sessions = &status.sessions;
    lines.push(format!(
        "sessions  {} of {}, half-open {} of {}",
        sessions.open, sessions.capacity, sessions.half_open, sessions.half_open_capacity
    ));
    lines.extend(pressure(sessions));
    lines.extend(status.sets.iter().map(set));
    lines.extend(losses(&status.lost));
    lines.push(match &status.agent {
        Some(agent) => format!(
            "agent     {} (process {}), up {} s",
            agent.version, agent.pid, agent.uptime_s
        ),
        None => "agent     not running: this is what the pinned tables enforce".to_owned(),
    });
    lines.extend(
        status
            .warnings
            .iter()
            .map(|warning| format!("WARNING   {warning}")),
    );
    for line in &status.interfaces {
        let other = |other: &OtherProgram| {
            format!(
                "other     {} on {}, {} ours",
                other.words(),
                line.name,
                other.order
            )
        };
        lines.extend(line.others.iter().map(other));
    }
    lines.push(String::new());
    context.screen.lines(&lines)?;
    let header = ["INTERFACE", "INDEX", "HOOK", "STATE", "WHY"];
    let cells = |line: &InterfaceLine| {
        vec![
            line.name.clone(),
            line.index.to_string(),
            cell(line.place()),
            line.state.clone(),
            line.reasons(),
        ]
    };
    let interfaces = &status.interfaces;
    context
        .screen
        .rows(interfaces, Format::Table, &header, cells)
}

fn set(set: &SetVersion) -> String {
    let (name, entries, generation) = (&set.set, set.entries, set.generation);
    let changed = set.changed.as_deref();
    let changed = changed.map_or_else(String::new, |at| format!(", changed {at}"));
    format!("set       {name}: {entries} members, generation {generation}{changed}")
}

/// Where records of events were lost; nothing where none were.
fn losses(lost: &LossLine) -> Option<String> {
    let all = [
        ("limit", lost.limit),
        ("ring", lost.ring),
        ("decode", lost.decode),
        ("follower", lost.follower),
        ("file", lost.file),
    ];
    let some = all.iter().filter(|(_, count)| *count != 0);
    let told: Vec<String> = some
        .map(|(stage, count)| format!("{stage} {count}"))
        .collect();
    (!told.is_empty()).then(|| format!("lost      records: {}", told.join(", ")))
}

/// Who fills the tables, and what was refused; nothing while they are nearly empty and never were full.
fn pressure(sessions: &SessionLine) -> Vec<String> {
    let mut lines = Vec::new();
    let cookies = &sessions.syn_cookies;
    if cookies.on {
        let whom = match cookies.kernel {
            Some(1) => " for listeners whose own queue is full (net.ipv4.tcp_syncookies is 1)",
            _ => "",
        };
        lines.push(format!(
            "cookies   SYN cookies are on{whom}: {} sent, {} accepted",
            cookies.sent, cookies.accepted
        ));
    } else if cookies.pressure {
        let why = match cookies.kernel {
            Some(0) => "net.ipv4.tcp_syncookies is 0",
            _ => "net.ipv4.tcp_syncookies cannot be read",
        };
        lines.push(format!(
            "pressure  half-open sessions give way to new ones; SYN cookies would help, but {why}"
        ));
    }
    let refused = sessions.refused.iter().filter(|(_, count)| **count != 0);
    let refused: Vec<_> = refused
        .map(|(why, count)| format!("{why} {count}"))
        .collect();
    if !refused.is_empty() {
        lines.push(format!("refused   {}", refused.join(", ")));
    }
    let high = |used: u64, of: u64| of != 0 && used >= of / 2;
    let busy = high(sessions.open, sessions.capacity)
        || high(sessions.half_open, sessions.half_open_capacity);
    if busy || !refused.is_empty() {
        lines.extend(sessions.sources.iter().map(|line| {
            let (open, half_open) = (line.open, line.half_open);
            format!(
                "source    {}: {open} open, {half_open} half-open",
                line.source
            )
        }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_where_there_are_any() {
        assert_eq!(losses(&LossLine::default()), None);
        let some = LossLine {
            ring: 7,
            file: 2,
            ..LossLine::default()
        };
        let told = losses(&some);
        assert_eq!(told.as_deref(), Some("lost      records: ring 7, file 2"));
    }
}
