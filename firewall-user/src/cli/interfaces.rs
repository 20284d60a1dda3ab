//! `ringwall interfaces`.

use clap::Args;

use super::output::{OutputArgs, cell};
use super::{Context, Done};
use crate::api::types::{InterfaceLine, exit};

const LONG: &str = "\
Lists every interface of this network namespace: whether it is guarded, by which hook, and why or why not. For one \
that came while the agent ran, AFTER is how long it was there before it was guarded.

  ringwall interfaces
  ringwall interfaces -o json | jq '.[] | select(.state != \"guarded\") | .name'";

/// List interfaces: what is guarded and why.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Interfaces {
    #[command(flatten)]
    output: OutputArgs,
}

impl Interfaces {
    pub(super) fn go(self, context: &Context) -> Done {
        let lines: Vec<InterfaceLine> = context.client().get("/v1/interfaces")?;
        let header = ["INTERFACE", "INDEX", "HOOK", "STATE", "AFTER", "WHY"];
        context
            .screen
            .rows(&lines, self.output.output, &header, cells)?;
        Ok(exit::DONE)
    }
}

fn cells(line: &InterfaceLine) -> Vec<String> {
    vec![
        line.name.clone(),
        line.index.to_string(),
        cell(line.place()),
        line.state.clone(),
        cell(line.unguarded_ms.map(|ms| format!("{ms:.1} ms"))),
        line.reasons(),
    ]
}
