//! `ringwall rollback`.

use clap::Args;

use super::output::OutputArgs;
use super::{Context, Done, pinned};
use crate::api::types::{RollbackRequest, exit};

const LONG: &str = "\
Goes back to a revision that was in force on this host, from the copy that the history keeps. What is left is \
refused from then on, until a new revision comes or `ringwall apply --again`. Works for root without an agent, \
too.

  sudo ringwall rollback                   # to the one before
  sudo ringwall rollback 7                 # to revision 7; see `ringwall history`";

/// Go back to an earlier revision.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Rollback {
    /// The revision; without it the one before.
    revision: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Rollback {
    pub(super) fn go(self, context: &Context) -> Done {
        let request = RollbackRequest {
            revision: self.revision,
        };
        let asked = context.client().post("/v1/rollback", &request);
        let reply = match asked {
            Err(problem) if problem.exit == exit::AGENT => {
                pinned::rollback(context, problem, self.revision)
            }
            other => other,
        };
        super::apply::answer(context, reply, self.output.output)
    }
}
