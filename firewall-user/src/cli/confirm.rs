//! `ringwall confirm`.

use clap::Args;

use super::output::OutputArgs;
use super::{Context, Done, pinned};
use crate::api::types::exit;

const LONG: &str = "\
Keeps the policy that `ringwall apply --confirm-within` put in force: without it, the one before comes back by \
itself. Type it in a NEW connection to this host, so that it proves that new connections come in. Works for root \
without an agent, too. Status 1 where nothing waits, or it is too late.

  sudo ringwall apply --confirm-within 60s policy.yaml
  sudo ringwall confirm                    # in another, new connection";

/// Keep the policy that waits to be confirmed.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Confirm {
    #[command(flatten)]
    output: OutputArgs,
}

impl Confirm {
    pub(super) fn go(self, context: &Context) -> Done {
        let asked = context.client().post("/v1/confirm", &());
        let reply = match asked {
            Err(problem) if problem.exit == exit::AGENT => pinned::confirm(context, problem),
            other => other,
        };
        super::apply::answer(context, reply, self.output.output)
    }
}
