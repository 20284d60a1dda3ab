//! `ringwall run`.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Done};
use crate::agent::{self, kernel};
use crate::api::types::exit;
use crate::log;

const LONG: &str = "\
Runs the agent in the foreground, as systemd does. It takes over what an earlier agent pinned, puts the policy \
of the history in force at once, watches the policy file and answers the control socket. When it ends, \
enforcement goes on.

  sudo ringwall run
  sudo ringwall run --interface eth0 --policy ./policy.yaml
  sudo ringwall run --monitor              # judge and count, drop nothing";

/// Run the agent in the foreground.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Run {
    /// The agent file, instead of /etc/ringwall/agent.yaml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy to watch: a file, or a directory of *.yaml files.
    #[arg(long, value_name = "PATH")]
    policy: Option<PathBuf>,
    /// Guard this interface and no others (a name or a glob; may be given again).
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Judge and count, and never drop.
    #[arg(long)]
    monitor: bool,
}

impl Run {
    pub(super) fn go(self, context: &Context) -> Done {
        log::begin(context.verbose, context.screen.colour);
        let mut paths = context.paths.clone();
        if let Some(config) = self.config {
            if !config.exists() {
                let text = format!("{} is not there", config.display());
                return Err(crate::api::types::Problem::new(exit::INPUT, text));
            }
            paths.config = config;
        }
        let options = agent::run::Options {
            policy: self.policy,
            interfaces: self.interface,
            monitor: self.monitor,
        };
        agent::run::run(paths, options, kernel::opener())?;
        Ok(exit::DONE)
    }
}
