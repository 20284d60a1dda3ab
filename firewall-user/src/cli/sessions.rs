//! `ringwall sessions`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::kill::Kill;
use super::output::{OutputArgs, cell};
use super::{Context, Done, pinned};
use crate::api::types::{Problem, exit};
use crate::sessions::Row;
use crate::sessions::filter::Filter;

const LONG: &str = "\
Lists live sessions. A filter is words joined by `and`, `or`, `not`, in parentheses where needed:

  src ADDR   dst ADDR   peer ADDR   (an address or a prefix)
  port N     proto WORD   zone NAME   rule POLICY[/RULE]
  direction inbound|outbound|routed   state WORD   process NAME

  ringwall sessions
  ringwall sessions peer 10.0.0.0/8 and not port 22
  ringwall sessions 'direction inbound and (port 80 or port 443)' -o ndjson";

/// List live sessions, or end them.
#[derive(Debug, Args)]
#[command(long_about = LONG, args_conflicts_with_subcommands = true)]
pub(super) struct Sessions {
    #[command(subcommand)]
    command: Option<Command>,
    /// Which sessions.
    filter: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Kill(Kill),
}

impl Sessions {
    pub(super) fn go(self, context: &Context) -> Done {
        if let Some(Command::Kill(kill)) = self.command {
            return kill.go(context);
        }
        let filter: Filter = self.filter.join(" ").parse().map_err(
            |error: crate::sessions::filter::FilterError| {
                Problem::new(exit::INPUT, error.to_string())
            },
        )?;
        let asked: Result<Vec<Row>, Problem> = context.client().get("/v1/sessions");
        let mut rows = match asked {
            Err(problem) if problem.exit == exit::AGENT => pinned::sessions(context, problem)?,
            other => other?,
        };
        rows.retain(|row| filter.picks(row));
        rows.sort_by_key(|row| (row.age_s, row.source, row.source_port));
        let header = [
            "PROTO",
            "SOURCE",
            "DESTINATION",
            "DIRECTION",
            "STATE",
            "RULE",
            "ZONES",
            "PACKETS",
            "BYTES",
            "AGE",
            "IDLE",
            "IF",
            "PROCESS",
        ];
        context
            .screen
            .rows(&rows, self.output.output, &header, cells)?;
        Ok(exit::DONE)
    }
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.protocol.clone(),
        end(row.source, row.source_port),
        end(row.destination, row.destination_port),
        direction(row),
        row.state.clone(),
        cell(row.rule.as_ref()),
        format!("{} -> {}", row.zone.source, row.zone.destination),
        format!("{}/{}", row.packets.sent, row.packets.received),
        format!("{}/{}", row.bytes.sent, row.bytes.received),
        format!("{}s", row.age_s),
        format!("{}s", row.idle_s),
        cell(row.interface.as_ref()),
        cell(row.process.as_ref()),
    ]
}

/// A translated session is another one of the list as it left this host.
fn direction(row: &Row) -> String {
    let word = if row.translated {
        "translated"
    } else {
        &row.direction
    };
    word.to_owned()
}

pub(super) fn end(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (_, None) => address.to_string(),
        (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
    }
}
