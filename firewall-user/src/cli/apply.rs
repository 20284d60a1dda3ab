//! `ringwall apply`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::output::{Format, OutputArgs};
use super::{Context, Done, wait};
use crate::agent::config::parse_duration;
use crate::agent::revision::Allow;
use crate::api::types::{Applied, ApplyReply, ApplyRequest, Problem, exit};
use crate::policy::source;

const LONG: &str = "\
Checks a policy, runs its tests, proves its assertions, shows the change, and puts it in force by one atomic \
swap. A policy that fails anything changes nothing. Applying what is in force changes nothing and says so.

  sudo ringwall apply policy.yaml
  sudo ringwall apply --dry-run policy.d/  # only say what would change
  sudo ringwall apply --confirm-within 60s policy.yaml
  generate | sudo ringwall apply -         # from standard input
  sudo ringwall apply -o json policy.yaml  # {changed, outcome, revision, digest, previous, sessions_cut}

With --confirm-within the policy is in force at once, and goes back by itself unless `ringwall confirm` comes in \
time: the kernel does that, so it holds even if the agent, this command or your connection dies. The command waits \
for the outcome: status 0 once it is confirmed, 5 if it went back. Meanwhile open a NEW connection from where you \
will need it, and confirm from there: the connection you have proves nothing. Where no policy was in force \
before, going back means that nothing is filtered.";

/// Put a policy in force.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Apply {
    /// A file, a directory of *.yaml files, or - for standard input.
    path: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Take a lower revision than was in force here before; recorded as a downgrade.
    #[arg(long)]
    allow_older: bool,
    /// Take a policy of another name than the one in force.
    #[arg(long)]
    allow_rename: bool,
    /// Take content that was rolled back before.
    #[arg(long)]
    again: bool,
    /// Go back by itself unless `ringwall confirm` comes in time: 60s, 5m; at most a day.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = within)]
    confirm_within: Option<Duration>,
    /// Take a policy that cuts an established SSH session, or one from a management zone.
    #[arg(long)]
    allow_lockout: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Apply {
    pub(super) fn go(self, context: &Context) -> Done {
        let request = self.request().inspect_err(|problem| {
            let _ = self.machine(context, &refused(problem));
        })?;
        let reply: Result<ApplyReply, Problem> = context.client().post("/v1/apply", &request);
        match reply {
            Ok(reply) if reply.pending.is_some() => wait::go(context, reply, self.output.output),
            reply => answer(context, reply, self.output.output),
        }
    }

    fn request(&self) -> Result<ApplyRequest, Problem> {
        let (files, directory) = if self.path == Path::new("-") {
            (vec![standard_input()?], false)
        } else {
            let read = source::read(&self.path).map_err(|refusal| Problem::from(&refusal))?;
            let directory = read.directory;
            (read.into_bytes(), directory)
        };
        let text = |(path, bytes): (PathBuf, Vec<u8>)| {
            let text = String::from_utf8(bytes);
            let fault = |_| Problem::new(exit::INPUT, format!("{}: not UTF-8", path.display()));
            text.map(|text| (path.clone(), text)).map_err(fault)
        };
        Ok(ApplyRequest {
            files: files.into_iter().map(text).collect::<Result<_, _>>()?,
            directory,
            source: self.path.display().to_string(),
            allow: Allow {
                older: self.allow_older,
                rename: self.allow_rename,
                again: self.again,
                lockout: self.allow_lockout,
            },
            dry_run: self.dry_run,
            confirm_within_ms: self
                .confirm_within
                .map(|within| u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    fn machine(&self, context: &Context, applied: &Applied) -> Result<(), Problem> {
        match self.output.output {
            Format::Table => Ok(()),
            format => context.screen.json(applied, format),
        }
    }
}

/// Long enough to open a connection, short enough to be waited for.
fn within(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(24 * 3600);
    let found = parse_duration(text).filter(|found| !found.is_zero() && *found <= MOST);
    found.ok_or_else(|| {
        "write a whole number and its unit, such as 60s or 5m; at most a day".to_owned()
    })
}

/// Its `file:` paths are relative to the working directory.
pub(super) fn standard_input() -> Result<(PathBuf, Vec<u8>), Problem> {
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(source::MAX_BYTES + 1);
    input
        .read_to_end(&mut bytes)
        .map_err(|e| Problem::new(exit::INPUT, format!("standard input: {e}")))?;
    let name = Path::new("standard-input");
    let path = std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
    Ok((path, bytes))
}

fn refused(problem: &Problem) -> Applied {
    let told = problem.applied.as_deref().cloned();
    told.unwrap_or_else(|| Applied {
        outcome: "refused".to_owned(),
        ..Applied::default()
    })
}

/// Shows what came of an apply or a rollback.
pub(super) fn answer(
    context: &Context,
    reply: Result<ApplyReply, Problem>,
    format: Format,
) -> Done {
    match (reply, format) {
        (Ok(reply), Format::Table) => context.screen.lines(&reply.lines)?,
        (Ok(reply), format) => context.screen.json(&reply.applied, format)?,
        (Err(problem), Format::Table) => return Err(problem),
        (Err(problem), format) => {
            // Without an answer of the agent there is no outcome.
            if !matches!(problem.exit, exit::AGENT | exit::PERMISSION) {
                context.screen.json(&refused(&problem), format)?;
            }
            return Err(problem);
        }
    }
    Ok(exit::DONE)
}
