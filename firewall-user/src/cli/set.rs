//! `ringwall set`.

use std::io::Read as _;

use clap::{Args, Subcommand};

use super::output::{Format, OutputArgs, cell, moment};
use super::{Context, Done};
use crate::agent::config::parse_duration;
use crate::api::types::{MemberRow, Problem, SetOp, SetReply, SetRequest, SetRow, exit};
use crate::policy::text::address;
use crate::policy::text::dynamic::LONGEST;

const ADD: &str = "\
Makes addresses members of a dynamic set at once, without a new revision of the policy. Live sessions are judged anew, \
so that a ban cuts them at their next packet. Adding a member again renews its time. Members outlive the agent, an \
apply and a reboot, and end in the kernel when their time is over.

The policy says `sets: {banned: {dynamic: true, max: 100000, default_for: 1h}}` and names the set in a rule. With `-` \
addresses come from standard input, one a line, `#` begins a comment: all of them or none.

  sudo ringwall set add banned 203.0.113.9 --for 1h
  sudo ringwall set add banned 203.0.113.0/24 2001:db8:bad::/48
  sudo ringwall set add banned - < addresses.txt";

const DEL: &str = "\
Takes addresses out of a dynamic set: exactly the prefixes that were added. `-` reads them from standard input.

  sudo ringwall set del banned 203.0.113.9";

const LIST: &str = "\
Lists the sets of the policy in force: dynamic ones, those read from files, and those in its text, each with its \
members and when they last changed. With a name: the members of a dynamic one, with their times. With an address: the members \
that hold it.

  ringwall set list
  ringwall set list banned
  ringwall set list banned 203.0.113.9 -o json";

const FLUSH: &str = "\
Takes all members out of a dynamic set.

  sudo ringwall set flush banned";

/// Change dynamic sets, and list all.
#[derive(Debug, Subcommand)]
pub(super) enum SetCommand {
    /// Add members to a dynamic set.
    #[command(long_about = ADD)]
    Add(Add),
    /// Take members out of a dynamic set.
    #[command(long_about = DEL)]
    Del(Del),
    /// List sets, or the members of a dynamic one.
    #[command(long_about = LIST)]
    List(List),
    /// Empty a dynamic set.
    #[command(long_about = FLUSH)]
    Flush(Flush),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The set.
    name: String,
    /// Addresses, prefixes or ranges; `-` for standard input.
    #[arg(required = true)]
    addresses: Vec<String>,
    /// For how long: 90s, 15m, 1h, 7d; else as the policy says.
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true, value_parser = seconds)]
    seconds: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct Del {
    /// The set.
    name: String,
    /// Addresses, prefixes or ranges; `-` for standard input.
    #[arg(required = true)]
    addresses: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The set; absent: all of them.
    name: Option<String>,
    /// Only members that hold this address.
    address: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct Flush {
    /// The set.
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

fn seconds(text: &str) -> Result<u64, String> {
    let found = parse_duration(text).map(|found| found.as_secs());
    let found = found.filter(|seconds| *seconds > 0 && *seconds <= LONGEST);
    found.ok_or_else(|| {
        "write a whole number and its unit: 90s, 15m, 1h or 7d, up to ten years".to_owned()
    })
}

impl SetCommand {
    pub(super) fn go(self, context: &Context) -> Done {
        match self {
            Self::Add(add) => {
                let request = SetRequest {
                    addresses: words(add.addresses)?,
                    name: add.name,
                    op: SetOp::Add,
                    for_s: add.seconds,
                };
                change(context, &request, add.output.output)
            }
            Self::Del(del) => {
                let request = SetRequest {
                    addresses: words(del.addresses)?,
                    name: del.name,
                    op: SetOp::Del,
                    for_s: None,
                };
                change(context, &request, del.output.output)
            }
            Self::Flush(flush) => {
                let request = SetRequest {
                    addresses: Vec::new(),
                    name: flush.name,
                    op: SetOp::Flush,
                    for_s: None,
                };
                change(context, &request, flush.output.output)
            }
            Self::List(list) => list.go(context),
        }
    }
}

fn change(context: &Context, request: &SetRequest, format: Format) -> Done {
    let reply: SetReply = context.client().post("/v1/set", request)?;
    if !reply.saved {
        context.screen.say(
            "ringwall: the members are in force, but not on disk: they would be gone after a reboot; see `ringwall status`",
        );
    }
    match format {
        Format::Table => {
            let did = match request.op {
                SetOp::Add => "added or renewed",
                SetOp::Del | SetOp::Flush => "taken out",
            };
            let (changed, set, entries) = (reply.changed, &reply.set, reply.entries);
            let line = format!("{changed} {did}; `{set}` has {entries} members");
            context.screen.lines(&[line])?;
        }
        format => context.screen.json(&reply, format)?,
    }
    Ok(exit::DONE)
}

/// The addresses, those of standard input in place of `-`.
fn words(given: Vec<String>) -> Result<Vec<String>, Problem> {
    let mut all = Vec::new();
    for word in given {
        if word == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|e| {
                Problem::new(exit::INPUT, format!("cannot read standard input: {e}"))
            })?;
            lines(&text, &mut all)?;
        } else {
            all.push(word);
        }
    }
    Ok(all)
}

/// Bad lines are all told at once, before anything is changed.
fn lines(text: &str, all: &mut Vec<String>) -> Result<(), Problem> {
    const SHOWN: usize = 20;
    let mut bad = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let word = line.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match address::parse(word) {
            Ok(_) => all.push(word.to_owned()),
            Err(error) => {
                let help = error.help.map(|help| format!("; {help}"));
                let help = help.unwrap_or_default();
                bad.push(format!(
                    "standard input, line {number}: {}{help}",
                    error.message
                ));
            }
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let more = bad.len().saturating_sub(SHOWN);
    bad.truncate(SHOWN);
    if more > 0 {
        bad.push(format!("and {more} more bad lines"));
    }
    bad.push("nothing was changed".to_owned());
    Err(Problem::new(exit::INPUT, bad.join("\n")))
}

impl List {
    fn go(self, context: &Context) -> Done {
        let format = self.output.output;
        let Some(name) = self.name else {
            let rows: Vec<SetRow> = context.client().get("/v1/sets")?;
            let header = [
                "SET",
                "KIND",
                "MEMBERS",
                "MAX",
                "FOR",
                "GENERATION",
                "CHANGED",
                "IN RULES",
            ];
            context.screen.rows(&rows, format, &header, set_cells)?;
            return Ok(exit::DONE);
        };
        let address = self
            .address
            .map(|address| format!("&address={}", escape(&address)));
        let path = format!(
            "/v1/set?name={}{}",
            escape(&name),
            address.unwrap_or_default()
        );
        let rows: Vec<MemberRow> = context.client().get(&path)?;
        let header = ["ADDRESS", "UNTIL", "LEFT"];
        context.screen.rows(&rows, format, &header, member_cells)?;
        Ok(exit::DONE)
    }
}

fn set_cells(row: &SetRow) -> Vec<String> {
    vec![
        row.set.clone(),
        row.kind.clone(),
        row.entries.to_string(),
        cell(row.max),
        cell(row.default_for_s.map(|seconds| format!("{seconds}s"))),
        cell(row.generation),
        cell(row.changed.as_deref().map(moment)),
        cell(row.named.map(|named| if named { "yes" } else { "no" })),
    ]
}

fn member_cells(row: &MemberRow) -> Vec<String> {
    vec![
        row.address.clone(),
        cell(row.until.as_deref().map(moment)),
        cell(row.left_s.map(|seconds| format!("{seconds}s"))),
    ]
}

/// For a query: what is no letter, digit or one of `-._~` is written as its bytes.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_as_a_whole_or_not_at_all() {
        let mut all = Vec::new();
        lines("# who\n 203.0.113.9 # him\n\n2001:db8::/32\n", &mut all).unwrap();
        assert_eq!(all, ["203.0.113.9", "2001:db8::/32"]);
        let problem = lines("10.0.0.1\n10.0.0.1/8\nhost.example\n", &mut all).unwrap_err();
        assert_eq!(problem.exit, exit::INPUT);
        for part in ["line 2", "10.0.0.0/8", "line 3", "nothing was changed"] {
            assert!(problem.message.contains(part), "{}", problem.message);
        }
    }

    #[test]
    fn times_have_a_unit_and_an_end() {
        assert_eq!((seconds("90s"), seconds("1h")), (Ok(90), Ok(3600)));
        for bad in ["1", "0s", "h", "4000d", "-1s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
