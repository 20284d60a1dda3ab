//! `ringwall completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context, Done};
use crate::api::types::exit;

const LONG: &str = "\
Writes a completion script for a shell to standard output. The package installs those of bash, fish and zsh.

  ringwall completions bash > /etc/bash_completion.d/ringwall
  source <(ringwall completions bash)      # for this shell only";

/// Write a completion script for a shell.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn go(self, context: &Context) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ringwall", &mut script);
        context.screen.print(&String::from_utf8_lossy(&script))?;
        Ok(exit::DONE)
    }
}
