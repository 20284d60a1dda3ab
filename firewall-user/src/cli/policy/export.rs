//! `ringwall policy export …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::output::{Format, OutputArgs};
use super::super::{Context, Done};
use super::read;
use crate::agent::clock;
use crate::api::types::{Problem, exit};
use crate::policy::export::nft;

/// Carry a policy elsewhere.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Export {
    Nft(Nft),
}

impl Export {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        match self {
            Self::Nft(nft) => nft.go(context),
        }
    }
}

const LONG: &str = "\
Renders a policy as an nftables ruleset of the same meaning: one table, `inet ringwall`, which replaces an earlier \
one of that name as a whole. It is for this host: with its labels, its list files and its failsafe rules.

  ringwall policy export nft policy.yaml > ringwall.nft && nft -c -f ringwall.nft
  ringwall policy export nft policy.yaml -o json | nft -j -f -
  ringwall policy export nft policy.yaml -o json | jq .notes

What nftables says in another way is told on standard error, in comments at the top, and under `notes` in JSON. \
What it cannot say at all is told in the same places as left out, and the exit status is then 1.";

/// As an nftables ruleset of the same meaning.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Nft {
    /// A file, a directory of *.yaml files, or - for standard input.
    path: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl Nft {
    fn go(self, context: &Context) -> Done {
        let checked = read(context, &self.path)?;
        let export = nft::export(&checked.policy, &checked.host.failsafe, clock::now().wall);
        match self.output.output {
            Format::Table => context.screen.print(&export.text())?,
            json => context.screen.json(&export.json(), json)?,
        }
        for note in &export.notes {
            let kind = if note.left_out { "left out" } else { "differs" };
            context
                .screen
                .say(format!("{kind}: {}: {}", note.about, note.note));
        }
        if export.complete() {
            return Ok(exit::DONE);
        }
        Err(Problem::new(
            exit::NO,
            "the ruleset does not say all that the policy says",
        ))
    }
}
