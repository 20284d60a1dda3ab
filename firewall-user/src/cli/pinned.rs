//! Without an agent, as root: what the pinned tables hold.

use super::Context;
use crate::agent::config::AgentConfig;
use crate::agent::history::{History, Outcome};
use crate::agent::state::{Agent, Settings};
use crate::agent::{kernel, last_good, lock, net};
use crate::api::peer::Peer;
use crate::api::types::{ApplyReply, KillRequest, Killed, Problem, RuleRow, Status, exit};
use crate::dataplane::Dataplane;
use crate::sessions::Row;

/// Opens the pinned tables; where that cannot be, `problem` (no agent) is the answer.
fn open(context: &Context, problem: &Problem) -> Result<Agent, Problem> {
    open_if_there(context, problem)?.ok_or_else(|| nothing_pinned(problem))
}

fn nothing_pinned(problem: &Problem) -> Problem {
    let text = format!(
        "{}; nothing is pinned either: this host is not filtered",
        problem.message
    );
    Problem::new(exit::AGENT, text)
}

fn open_if_there(context: &Context, problem: &Problem) -> Result<Option<Agent>, Problem> {
    if !rustix::process::geteuid().is_root() {
        return Err(problem.clone());
    }
    open_with(settings(context), problem)
}

fn open_with(settings: Settings, problem: &Problem) -> Result<Option<Agent>, Problem> {
    let plane = kernel::from_pins(&settings).map_err(|error| {
        let text = format!(
            "{}; the pinned tables cannot be read: {error:#}",
            problem.message
        );
        Problem::new(exit::AGENT, text)
    })?;
    plane
        .map(|plane| Agent::reading(settings, plane).map_err(fault))
        .transpose()
}

/// For looking, and for ending enforcement: the defaults do where there is nothing better.
fn settings(context: &Context) -> Settings {
    let config = agent_file(context).unwrap_or_else(|problem| {
        context.screen.say(format!("warning: {}", problem.message));
        AgentConfig::default()
    });
    with(context, config)
}

/// The agent file, or its last good copy, as an agent would go by at boot.
fn agent_file(context: &Context) -> Result<AgentConfig, Problem> {
    let given = last_good::read(&context.paths, true).map_err(|refusal| Problem {
        message: format!(
            "{} is refused, and there is no last good copy of it: mend it first\n{refusal}",
            context.paths.config.display()
        ),
        coloured: None,
        ..Problem::from(&refusal)
    })?;
    if let Some(trouble) = given.trouble {
        context.screen.say(format!("warning: {trouble}"));
    }
    Ok(given.config)
}

fn with(context: &Context, config: AgentConfig) -> Settings {
    let paths = context.paths.clone();
    Settings {
        policy: paths.default_policy(),
        policy_named: false,
        connected: crate::agent::net::connected_now().unwrap_or_default(),
        only: Vec::new(),
        monitor: false,
        paths,
        config,
    }
}

/// What the pins enforce.
pub(super) fn status(context: &Context, problem: &Problem) -> Result<Status, Problem> {
    let mut status = open(context, problem)?.status();
    status.agent = None;
    Ok(status)
}

/// The live sessions.
pub(super) fn sessions(context: &Context, problem: Problem) -> Result<Vec<Row>, Problem> {
    open(context, &problem)?.session_rows().map_err(fault)
}

/// Ends the live sessions that a filter picks.
pub(super) fn kill(
    context: &Context,
    problem: &Problem,
    request: &KillRequest,
) -> Result<Killed, Problem> {
    if !rustix::process::geteuid().is_root() {
        let text = "only root may end sessions: try again with sudo";
        return Err(Problem::new(exit::PERMISSION, text));
    }
    open(context, problem)?.kill(request)
}

/// The list with its counters.
pub(super) fn rules(context: &Context, problem: Problem) -> Result<Vec<RuleRow>, Problem> {
    open(context, &problem)?.rule_rows().map_err(fault)
}

/// Opens the pinned tables for a change, under the settings that an agent would go by: never under others.
fn open_to_change(context: &Context, problem: &Problem) -> Result<Agent, Problem> {
    if !rustix::process::geteuid().is_root() {
        return Err(problem.clone());
    }
    let settings = with(context, agent_file(context)?);
    open_with(settings, problem)?.ok_or_else(|| nothing_pinned(problem))
}

/// Goes back to an earlier revision. No agent may start meanwhile.
pub(super) fn rollback(
    context: &Context,
    problem: Problem,
    revision: Option<u64>,
) -> Result<ApplyReply, Problem> {
    let mut agent = open_to_change(context, &problem)?;
    let _locks = lock::take(&context.paths)
        .map_err(|error| Problem::new(exit::AGENT, format!("{}; {error:#}", problem.message)))?;
    let links = net::links_now().map_err(fault)?;
    agent.take_over(links).map_err(fault)?;
    agent.rollback(revision, Peer::own().who())
}

/// Keeps the policy that waits to be confirmed. No agent may start meanwhile.
pub(super) fn confirm(context: &Context, problem: Problem) -> Result<ApplyReply, Problem> {
    let mut agent = open(context, &problem)?;
    let _locks = lock::take(&context.paths)
        .map_err(|error| Problem::new(exit::AGENT, format!("{}; {error:#}", problem.message)))?;
    agent.confirm(&Peer::own().who())
}

/// What became of a record that waited to be confirmed: what the history on disk says, and where that still
/// waits, what the pinned tables do. Only looks.
pub(super) fn outcome(context: &Context, record: u64) -> Option<String> {
    let history = History::read_only(&context.paths.state).ok()?;
    let record = history.record(record)?;
    if record.outcome == Outcome::PendingConfirm {
        let plane = Dataplane::from_pins(&context.paths.bpf).ok()?;
        let over = plane.pending().ok()?.is_some_and(|waits| waits.passed);
        return over.then(|| Outcome::Reverted.word().to_owned());
    }
    Some(record.outcome.word().to_owned())
}

/// Ends enforcement; says whether there was any.
pub(super) fn detach(context: &Context, problem: Problem) -> Result<bool, Problem> {
    if !rustix::process::geteuid().is_root() {
        let text = "only root may end enforcement: try again with sudo";
        return Err(Problem::new(exit::PERMISSION, text));
    }
    let others = kernel::detach_others(&settings(context)).map_err(fault)?;
    match open_if_there(context, &problem)? {
        Some(mut agent) => agent.detach().map(|()| true).map_err(fault),
        None => Ok(others),
    }
}

fn fault(error: anyhow::Error) -> Problem {
    Problem::new(exit::NO, format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::paths::Paths;
    use crate::cli::output::Screen;

    #[test]
    fn a_change_goes_by_the_last_good_agent_file_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context {
            paths: Paths {
                config: dir.path().join("agent.yaml"),
                socket: dir.path().join("socket"),
                state: dir.path().to_owned(),
                bpf: dir.path().join("bpf"),
            },
            screen: Screen::new(true),
            verbose: false,
        };
        assert_eq!(agent_file(&context).unwrap(), AgentConfig::default());
        std::fs::write(&context.paths.config, "labels: {role\n").unwrap();
        let refused = agent_file(&context).unwrap_err();
        assert!(refused.message.contains("mend it"), "{}", refused.message);
        // Whoever only looks gets what there is.
        assert_eq!(settings(&context).config, AgentConfig::default());
        std::fs::write(&context.paths.config, "labels: {role: web}\n").unwrap();
        let given = last_good::read(&context.paths, true).unwrap();
        given.keep(&context.paths).unwrap();
        std::fs::write(&context.paths.config, "labels: {role\n").unwrap();
        assert_eq!(agent_file(&context).unwrap(), given.config);
        assert_eq!(settings(&context).config, given.config);
    }
}
