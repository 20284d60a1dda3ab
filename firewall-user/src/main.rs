//! `ringwall`: the agent and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    firewall_user::cli::main()
}
