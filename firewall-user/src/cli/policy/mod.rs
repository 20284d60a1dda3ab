//! `ringwall policy …`.

mod check;
mod explain;
mod services;
mod show;

use clap::Subcommand;

use super::{Context, Done};
use crate::agent::config::AgentConfig;
use crate::policy::HostContext;

/// Look at policies: check, list, ask.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    Check(check::Check),
    Show(show::Show),
    Explain(explain::Explain),
    Services(services::Services),
}

impl Policy {
    pub(super) fn go(self, context: &Context) -> Done {
        match self {
            Self::Check(check) => check.go(context),
            Self::Show(show) => show.go(context),
            Self::Explain(explain) => explain.go(context),
            Self::Services(services) => services.go(context),
        }
    }
}

/// This host, as far as whoever asks may read its agent file.
fn this_host(context: &Context) -> HostContext {
    let config = AgentConfig::read_if_present(&context.paths.config);
    HostContext::this_host(&config.unwrap_or_default())
}
