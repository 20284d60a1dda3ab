//! `ringwall sessions kill`.

use clap::Args;

use super::output::{Format, OutputArgs};
use super::{Context, Done, pinned};
use crate::api::types::{KillRequest, Killed, Problem, exit};

const LONG: &str = "\
Ends live sessions: the next packet of each is judged as one without a session, so a connection stands still, and \
what the policy allows may begin anew. To keep somebody out, change the policy. The filter is that of `ringwall \
sessions`, which shows beforehand what it picks. Only root may; works without an agent, too.

  ringwall sessions peer 203.0.113.9
  sudo ringwall sessions kill peer 203.0.113.9
  sudo ringwall sessions kill 'rule admin/ssh and not peer 10.0.0.0/8' -o json
  sudo ringwall sessions kill --all";

/// End live sessions.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Kill {
    /// Which sessions.
    filter: Vec<String>,
    /// Every session.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Kill {
    pub(super) fn go(self, context: &Context) -> Done {
        let request = KillRequest {
            filter: self.filter.join(" "),
            all: self.all,
        };
        request.filter()?;
        let asked: Result<Killed, Problem> = context.client().post("/v1/sessions/kill", &request);
        let killed = match asked {
            Err(problem) if problem.exit == exit::AGENT => {
                pinned::kill(context, &problem, &request)?
            }
            other => other?,
        };
        match self.output.output {
            Format::Table => context.screen.lines(&[words(killed.killed)])?,
            format => context.screen.json(&killed, format)?,
        }
        Ok(exit::DONE)
    }
}

fn words(count: u64) -> String {
    match count {
        0 => "no session was ended: the filter picks none".to_owned(),
        1 => "1 session was ended".to_owned(),
        more => format!("{more} sessions were ended"),
    }
}
