//! `ringwall policy services`.

use std::path::PathBuf;

use clap::Args;

use super::super::output::OutputArgs;
use super::super::{Context, Done};
use super::this_host;
use crate::agent::candidate;
use crate::agent::services::{own_services, service_row};
use crate::api::types::{Problem, ServiceRow, exit};
use crate::policy::services;

const LONG: &str = "\
Lists the service names that rules may use, with their protocols and ports: the built-in ones, and those that the \
policy in force defines, or with --policy another one.

  ringwall policy services
  ringwall policy services dns
  ringwall policy services --policy policy.yaml";

/// List service names.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Services {
    /// One name.
    name: Option<String>,
    /// Those that this policy defines, instead of the one in force.
    #[arg(long, value_name = "PATH")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Services {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        let mut all: Vec<ServiceRow> = services::built_in_names()
            .map(|name| service_row(name, &services::built_in(name).unwrap_or_default(), true))
            .collect();
        all.extend(match &self.policy {
            Some(path) => own_services(&candidate::read(path, &this_host(context))?.policy),
            None => in_force(context),
        });
        if let Some(name) = &self.name {
            let near = nearest(name, &all);
            all.retain(|service| service.name == *name);
            if all.is_empty() {
                let hint =
                    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let text = format!("there is no service `{name}`{hint}");
                return Err(Problem::new(exit::INPUT, text));
            }
        }
        let cells = |service: &ServiceRow| vec![service.name.clone(), service.services.join(" ")];
        context
            .screen
            .rows(&all, self.output.output, &["NAME", "SERVICES"], cells)?;
        Ok(exit::DONE)
    }
}

/// Those of the policy in force. The built-in ones are worth a list without an agent, too.
fn in_force(context: &Context) -> Vec<ServiceRow> {
    let asked = context.client().get("/v1/services");
    asked.unwrap_or_default()
}

fn nearest(name: &str, all: &[ServiceRow]) -> Option<String> {
    let near = all
        .iter()
        .map(|s| (strsim::jaro_winkler(name, &s.name), &s.name));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then(|| best.1.clone())
}
