//! `ringwall zone of`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::output::{OutputArgs, cell};
use super::{Context, Done};
use crate::api::types::{Problem, ZoneRequest, ZoneRow, exit};

const LONG: &str = "\
Says which zone an address is in, and why: by the policy in force and the addresses of this host. Zones may tell \
interfaces apart; without `in IF` there is a line for each interface that makes a difference.

  ringwall zone of 203.0.113.9
  ringwall zone of fe80::1 in eth0";

/// Ask about zones.
#[derive(Debug, Subcommand)]
pub(super) enum Zone {
    /// Ask which zone an address is in.
    #[command(long_about = LONG)]
    Of(Of),
}

/// What is asked of an address.
#[derive(Debug, Args)]
pub(super) struct Of {
    /// The address.
    address: IpAddr,
    /// The interface that it is seen at: `in eth0`.
    #[arg(value_names = ["in", "IF"], num_args = 2)]
    at: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Zone {
    pub(super) fn go(self, context: &Context) -> Done {
        let Self::Of(of) = self;
        let interface = match of.at.as_slice() {
            [] => None,
            [word, name] if word == "in" => Some(name.clone()),
            _ => {
                let text =
                    "an interface is written behind `in`: `ringwall zone of 10.0.0.9 in eth0`";
                return Err(Problem::new(exit::INPUT, text));
            }
        };
        let request = ZoneRequest {
            address: of.address.to_string(),
            interface,
        };
        let rows: Vec<ZoneRow> = context.client().post("/v1/zone", &request)?;
        let header = ["ADDRESS", "INTERFACE", "ZONE", "WHY"];
        context
            .screen
            .rows(&rows, of.output.output, &header, cells)?;
        Ok(exit::DONE)
    }
}

fn cells(row: &ZoneRow) -> Vec<String> {
    vec![
        row.address.clone(),
        cell(row.interface.as_ref()),
        row.zone.clone(),
        row.why.clone(),
    ]
}
