//! `ringwall policy services`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::output::OutputArgs;
use super::super::{Context, Done};
use super::this_host;
use crate::agent::candidate;
use crate::agent::report::service_word;
use crate::api::types::{Problem, exit};
use crate::policy::services;

const LONG: &str = "\
Lists the service names that rules may use, with their protocols and ports: the built-in ones, and with \
--policy those that a policy defines.

  ringwall policy services
  ringwall policy services dns
  ringwall policy services --policy policy.yaml";

/// List service names.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(in crate::cli) struct Services {
    /// One name.
    name: Option<String>,
    /// Also those that this policy defines.
    #[arg(long, value_name = "PATH")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    services: Vec<String>,
    built_in: bool,
}

impl Services {
    pub(in crate::cli) fn go(self, context: &Context) -> Done {
        let mut all: Vec<Named> = services::built_in_names()
            .map(|name| named(name, &services::built_in(name).unwrap_or_default(), true))
            .collect();
        if let Some(path) = &self.policy {
            let checked = candidate::read(path, &this_host(context))?;
            let own = checked.policy.services.iter();
            all.extend(own.map(|service| named(&service.name, &service.parts, false)));
        }
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
        let cells = |service: &Named| vec![service.name.clone(), service.services.join(" ")];
        context
            .screen
            .rows(&all, self.output.output, &["NAME", "SERVICES"], cells)?;
        Ok(exit::DONE)
    }
}

fn named(name: &str, parts: &[crate::policy::model::Service], built_in: bool) -> Named {
    Named {
        name: name.to_owned(),
        services: parts.iter().map(service_word).collect(),
        built_in,
    }
}

fn nearest(name: &str, all: &[Named]) -> Option<String> {
    let near = all
        .iter()
        .map(|s| (strsim::jaro_winkler(name, &s.name), &s.name));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then(|| best.1.clone())
}
