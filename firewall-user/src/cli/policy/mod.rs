//! `ringwall policy …`.

mod check;
mod explain;
mod export;
mod services;
mod show;

use std::path::Path;

use clap::Subcommand;

use super::apply::standard_input;
use super::{Context, Done};
use crate::agent::candidate;
use crate::agent::config::AgentConfig;
use crate::agent::net;
use crate::api::types::Problem;
use crate::policy::{self, Checked, HostContext};

/// Look at policies: check, list, ask.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    Check(check::Check),
    Show(show::Show),
    Explain(explain::Explain),
    #[command(subcommand)]
    Export(export::Export),
    Services(services::Services),
}

impl Policy {
    pub(super) fn go(self, context: &Context) -> Done {
        match self {
            Self::Check(check) => check.go(context),
            Self::Show(show) => show.go(context),
            Self::Explain(explain) => explain.go(context),
            Self::Export(export) => export.go(context),
            Self::Services(services) => services.go(context),
        }
    }
}

/// Reads a policy: a file, a directory, or `-` for standard input.
fn read(context: &Context, path: &Path) -> Result<Checked, Problem> {
    let host = this_host(context);
    if path != Path::new("-") {
        return candidate::read(path, &host);
    }
    let (name, bytes) = standard_input()?;
    policy::read_sources(vec![(name, bytes)], false, &host)
        .map_err(|refusal| Problem::from(&refusal))
}

/// This host, as far as whoever asks may read its agent file, and says so where that is not at all. Where its links
/// cannot be listed, zones that stand for the networks on them are empty.
fn this_host(context: &Context) -> HostContext {
    let path = &context.paths.config;
    let config = AgentConfig::read_if_present(path).unwrap_or_else(|refusal| {
        let text = format!(
            "warning: {} cannot be read, so labels, roles and failsafe rules of this host are left out:\n{refusal}",
            path.display()
        );
        context.screen.say(text);
        AgentConfig::default()
    });
    HostContext {
        connected: net::connected_now().unwrap_or_default(),
        ..HostContext::this_host(&config)
    }
}
