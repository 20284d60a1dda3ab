//! `ringwall detach`.

use clap::Args;

use super::{Context, Done, pinned};
use crate::api::types::{Problem, exit};

const LONG: &str = "\
Ends enforcement: the programs leave the interfaces and the tables are freed. Nothing is filtered then, until \
the next `ringwall apply` or start of the agent. Nothing else ever does this: not the agent's end, not an \
upgrade, not a crash.

  sudo ringwall detach";

/// End enforcement on this host.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Detach {}

impl Detach {
    pub(super) fn go(self, context: &Context) -> Done {
        let asked: Result<bool, Problem> = context.client().post("/v1/detach", &());
        let was = match asked {
            Err(problem) if problem.exit == exit::AGENT => pinned::detach(context, problem)?,
            other => other?,
        };
        context.screen.say(if was {
            "ENFORCEMENT ENDED: this host is not filtered until the next `ringwall apply` or start of the agent"
        } else {
            "nothing is pinned here: this host was not filtered, and is not"
        });
        Ok(exit::DONE)
    }
}
