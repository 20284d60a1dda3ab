//! `ringwall doctor`.

use clap::Args;

use super::output::{Format, OutputArgs};
use super::{Context, Done};
use crate::api::types::{Problem, exit};
use crate::diagnose::doctor::{self, Finding, Look, State};

const LONG: &str = "\
Looks whether this host can run Ringwall, and what else on it gets in its way: the kernel, rights, other owners of \
the hooks, nftables rules that drop what the policy allows, addresses, the clock, files. Changes nothing. Works \
without an agent and without root; what cannot be seen is skipped, and the right that it takes is named.

The exit status is 1 if something needs doing (`fail`). What is worth knowing (`warn`) leaves it 0.

  sudo ringwall doctor
  sudo ringwall doctor -o json | jq '.[] | select(.state == \"fail\")'";

/// Look for what is wrong with this host.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Doctor {
    #[command(flatten)]
    output: OutputArgs,
}

impl Doctor {
    pub(super) fn go(self, context: &Context) -> Done {
        let findings = doctor::examine(&Look::at(context.paths.clone()));
        match self.output.output {
            Format::Table => show(context, &findings)?,
            format => context
                .screen
                .rows(&findings, format, &[], |_| Vec::new())?,
        }
        let bad = findings.iter().any(|finding| finding.state == State::Fail);
        Ok(if bad { exit::NO } else { exit::DONE })
    }
}

fn show(context: &Context, findings: &[Finding]) -> Result<(), Problem> {
    let mut lines = Vec::new();
    for finding in findings {
        let (state, id) = (finding.state.word(), finding.id);
        lines.push(format!("{state:<8} {id:<19} {}", finding.found));
        let advice = finding.advice.iter();
        lines.extend(advice.map(|advice| format!("{:<8} {:<19} -> {advice}", "", "")));
    }
    let count = |state: State| findings.iter().filter(|f| f.state == state).count();
    lines.push(format!(
        "\n{} ok, {} warn, {} fail, {} skipped",
        count(State::Ok),
        count(State::Warn),
        count(State::Fail),
        count(State::Skipped)
    ));
    context.screen.lines(&lines)
}
