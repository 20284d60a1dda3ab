//! `ringwall top`: who talks, what is dropped, where sessions stand, and which handshakes do not complete, live.
//!
//! A thread asks the agent, so that keys are answered at once however long that takes; this one draws.

mod gather;
mod keys;
mod pane;
mod panes;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use super::flows::since;
use super::output::{Format, OutputArgs};
use super::{Context, Done};
use crate::api::types::{Problem, exit};
use gather::Gatherer;
use keys::Act;
use panes::Top;
use terminal::Terminal;

const LONG: &str = "\
Shows, full screen and once a second:

  talkers          who this host talks with, by what goes to and fro
  rules by drops   rules that refuse, with the course of the last minute
  sessions         live ones by protocol and state
  one-sided SYNs   handshakes that do not complete, with their causes

Keys:

  Tab, 1 to 4      the next list, or one of them       Enter   that list alone, and back
  s                sort by the next column             r       the other way round
  /                show only lines with a text in them; Esc shows all again
  arrows, PgUp, PgDn, Home    move in a list
  p, space         pause, and go on                    ? keys  q, Ctrl-C  end

  ringwall top
  ringwall top --interval 5s
  ringwall top -o json          # what it would show, once; the rates are of one interval

It only reads, and speaks with the agent alone.";

/// Watch this host live, full screen.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct TopCommand {
    /// How long from one look to the next, such as 1s or 5s.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since, default_value = "1s")]
    interval: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// How long to wait for a key before looking whether there is anything new.
const PATIENCE: Duration = Duration::from_millis(100);

impl TopCommand {
    pub(super) fn go(self, context: &Context) -> Done {
        let mut gatherer = Gatherer::new(context.client(), self.interval);
        // Before the screen is taken over, so that an agent that is not there is told of in the usual way.
        let mut top = Top::default();
        top.take(gatherer.take()?);
        match self.output.output {
            Format::Table => self.watch(context, top, gatherer),
            format => print(context, format, top, gatherer),
        }
    }

    fn watch(self, context: &Context, mut top: Top, gatherer: Gatherer) -> Done {
        if !std::io::stdout().is_terminal() {
            let text = "`top` needs a terminal; `ringwall top -o json` prints what it would show";
            return Err(Problem::new(exit::INPUT, text));
        }
        let news = gatherer.begin();
        let mut terminal = Terminal::take().map_err(|e| cannot(&e))?;
        loop {
            if let Some(taken) = news.try_iter().last() {
                top.news(taken);
            }
            terminal
                .draw(|frame| view::draw(frame, &mut top, context.screen.colour))
                .map_err(|e| cannot(&e))?;
            if std::env::var_os("RINGWALL_TEST_TOP_PANIC").is_some() {
                panic!("RINGWALL_TEST_TOP_PANIC is set");
            }
            let act = terminal.key(PATIENCE).map_err(|e| cannot(&e))?;
            if act.is_some_and(|key| top.key(key) == Act::End) || terminal.ended() {
                return Ok(exit::DONE);
            }
        }
    }
}

/// What the lists hold, without a screen: once, or line by line for as long as somebody reads.
fn print(context: &Context, format: Format, mut top: Top, mut gatherer: Gatherer) -> Done {
    loop {
        gatherer.wait();
        top.take(gatherer.take()?);
        if format == Format::Json {
            context.screen.json(&top.json(), format)?;
            return Ok(exit::DONE);
        }
        if !context.screen.line(&top.json().to_string())? {
            return Ok(exit::DONE);
        }
    }
}

fn cannot(error: &std::io::Error) -> Problem {
    Problem::new(exit::NO, format!("the terminal cannot be used: {error}"))
}
