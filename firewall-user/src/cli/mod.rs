//! The command line: a file per subcommand. Arguments as typed become arguments as meant; what is asked of a
//! running agent goes over its control socket.

mod apply;
mod completions;
mod confirm;
mod detach;
mod diagnose;
mod doctor;
mod drops;
mod exposure;
mod flows;
mod history;
mod interfaces;
mod kill;
mod man;
mod one_sided;
mod output;
mod pinned;
mod policy;
mod rollback;
mod run;
mod sessions;
mod set;
mod status;
#[cfg(test)]
mod tests;
mod top;
mod wait;
mod zone;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::agent::paths::Paths;
use crate::api::client::Client;
use crate::api::types::Problem;
use output::Screen;

const LONG: &str = "\
Ringwall guards this host: it judges every packet that arrives and leaves, in the kernel, by a policy that is \
a file. The policy stays in force when the agent ends; only `ringwall detach` ends enforcement.

A first policy without locking oneself out:

  ringwall policy check policy.yaml        # is it right? needs no root
  sudo ringwall apply --dry-run policy.yaml
  sudo ringwall apply --confirm-within 60s policy.yaml
  sudo ringwall confirm                    # from a NEW connection, or it goes back by itself
  ringwall policy explain 'tcp 203.0.113.9:40000 -> host:22'
  sudo ringwall rollback                   # back to the one before";

const AFTER: &str = "\
Exit status: 0 done, also when nothing had to change; 1 the answer is no; 2 wrong usage or bad input; \
3 the agent is not running; 4 not permitted; 5 applied, but reverted.

Environment: RINGWALL_CONFIG, RINGWALL_SOCKET, RINGWALL_STATE_DIR and RINGWALL_BPF_DIR move the places \
that Ringwall works in; NO_COLOR turns colours off.";

/// The eBPF firewall of this host.
#[derive(Debug, Parser)]
#[command(name = "ringwall", version = crate::version::VERSION, long_about = LONG, after_long_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Use no colours, whatever the terminal can do.
    #[arg(long, global = true)]
    no_color: bool,
    /// Say more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Apply(apply::Apply),
    Confirm(confirm::Confirm),
    Rollback(rollback::Rollback),
    History(history::History),
    Detach(detach::Detach),
    Status(status::Status),
    Sessions(sessions::Sessions),
    #[command(subcommand)]
    Set(set::SetCommand),
    Flows(flows::Flows),
    Drops(drops::DropsCommand),
    OneSided(one_sided::OneSided),
    Top(top::TopCommand),
    Interfaces(interfaces::Interfaces),
    #[command(subcommand)]
    Zone(zone::Zone),
    #[command(subcommand)]
    Policy(policy::Policy),
    Diagnose(diagnose::Diagnose),
    Exposure(exposure::ExposureCommand),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// What every subcommand works with.
struct Context {
    paths: Paths,
    screen: Screen,
    verbose: bool,
}

impl Context {
    fn client(&self) -> Client {
        Client::new(&self.paths.socket)
    }
}

/// The exit status where there is no problem.
type Done = Result<u8, Problem>;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context {
        paths: Paths::from_environment(),
        screen: Screen::new(cli.no_color),
        verbose: cli.verbose > 0,
    };
    let done = match cli.command {
        Command::Run(run) => run.go(&context),
        Command::Apply(apply) => apply.go(&context),
        Command::Confirm(confirm) => confirm.go(&context),
        Command::Rollback(rollback) => rollback.go(&context),
        Command::History(history) => history.go(&context),
        Command::Detach(detach) => detach.go(&context),
        Command::Status(status) => status.go(&context),
        Command::Sessions(sessions) => sessions.go(&context),
        Command::Set(set) => set.go(&context),
        Command::Flows(flows) => flows.go(&context),
        Command::Drops(drops) => drops.go(&context),
        Command::OneSided(one_sided) => one_sided.go(&context),
        Command::Top(top) => top.go(&context),
        Command::Interfaces(interfaces) => interfaces.go(&context),
        Command::Zone(zone) => zone.go(&context),
        Command::Policy(policy) => policy.go(&context),
        Command::Diagnose(diagnose) => diagnose.go(&context),
        Command::Exposure(exposure) => exposure.go(&context),
        Command::Doctor(doctor) => doctor.go(&context),
        Command::Completions(completions) => completions.go(&context),
        Command::Man(man) => man.go(&context),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            context.screen.problem(&problem);
            ExitCode::from(problem.exit)
        }
    }
}
