//! The agent, and what it says of itself.

use super::{AS_ROOT, Finding, Look};
use crate::api::types::{Problem, Status, exit};

pub(super) fn check(look: &Look) -> Vec<Finding> {
    match &look.agent {
        Ok(status) => said(status),
        Err(problem) => unheard(problem),
    }
}

fn unheard(problem: &Problem) -> Vec<Finding> {
    let first = if problem.exit == exit::PERMISSION {
        Finding::skipped("agent", problem.message.clone(), AS_ROOT)
    } else {
        Finding::warn(
            "agent",
            "it does not run; what it pinned goes on enforcing, and nothing follows changes of interfaces",
            "systemctl start ringwall",
        )
    };
    let skipped = |id| Finding::skipped(id, "no agent answers", "see `agent`");
    vec![first, skipped("policy"), skipped("interfaces")]
}

fn said(status: &Status) -> Vec<Finding> {
    let mut all = Vec::new();
    if let Some(agent) = &status.agent {
        let found = format!("version {} runs as process {}", agent.version, agent.pid);
        all.push(Finding::ok("agent", found));
    }
    let warnings = status.warnings.iter();
    all.extend(warnings.map(|w| Finding::warn("agent", w.clone(), "see `ringwall status`")));
    all.push(policy(status));
    all.extend(interfaces(status));
    all
}

fn policy(status: &Status) -> Finding {
    let Some(policy) = &status.policy else {
        let found = "none is in force: everything passes";
        return Finding::warn("policy", found, "ringwall apply PATH");
    };
    let found = format!("{} revision {} is in force", policy.name, policy.revision);
    if status.enforcing {
        return Finding::ok("policy", found);
    }
    let found = format!("{found}, and drops nothing (mode {})", status.mode);
    Finding::warn("policy", found, "see `ringwall status`")
}

fn interfaces(status: &Status) -> Vec<Finding> {
    let of = |state: &str| {
        let lines = status.interfaces.iter().filter(|line| line.state == state);
        lines
            .map(|line| (line.name.clone(), line.why.clone()))
            .collect::<Vec<_>>()
    };
    let failed = of("failed");
    if !failed.is_empty() {
        let finding = |(name, why): &(String, String)| {
            let found = format!("{name} is to be guarded and is not: {why}");
            Finding::fail("interfaces", found, "see the agent's log")
        };
        return failed.iter().map(finding).collect();
    }
    let guarded: Vec<String> = of("guarded").into_iter().map(|(name, _)| name).collect();
    if guarded.is_empty() {
        let advice = "name them in the agent file: `interfaces: {guard: [eth0]}`";
        return vec![Finding::warn("interfaces", "none is guarded", advice)];
    }
    vec![Finding::ok(
        "interfaces",
        format!("guarded: {}", guarded.join(", ")),
    )]
}
