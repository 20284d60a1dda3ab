//! `cargo xtask demo`: three namespaces, the real agent, real packets; what was expected, what was seen, and
//! which rule decided. Exit status 0 only if all was as expected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a demo that cannot go on must stop with a message"
)]

mod attempts;
mod live;
mod score;
mod signals;
mod wire;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::{Host, Lab};
use score::Score;

const WEB_HOST: &str = include_str!("../../../../examples/web-host.yaml");
const OPEN: &str = include_str!("../../../../examples/open.yaml");

/// The stranger's second pair of addresses: on the example's list of scanners.
const SCANNER: [&str; 2] = ["203.0.113.66", "2001:db8::66"];

fn main() -> ExitCode {
    signals::clean_up_on_interrupt();
    let args: Vec<_> = std::env::args().skip(1).collect();
    let policy = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["--policy", "default"] => WEB_HOST,
        ["--policy", "open"] => OPEN,
        _ => {
            eprintln!("usage: demo [--policy default|open]");
            return ExitCode::from(2);
        }
    };
    match show(policy) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nThe demo cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole demo; true if everything was as expected.
fn show(policy: &str) -> Result<bool> {
    ensure!(
        ringwall_tests::skip::is_root(),
        "making namespaces needs root"
    );
    let mut score = Score::default();
    let lab = Lab::new().context("making the three namespaces")?;
    let [v4, v6] = SCANNER;
    lab.stranger.ns.ip(&format!(
        "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad preferred_lft 0\n"
    ))?;
    introduce(&lab);
    let mut host = Host::start(lab.host(), &["lan0", "wan0"], "")?;
    let applied = host.apply(policy)?;
    ensure!(
        applied.ok(),
        "the example policy is refused:\n{}{}",
        applied.out,
        applied.err
    );
    println!(
        "The agent runs and has applied the policy:\n{}",
        score::indented(&applied.out)
    );
    attempts::run(&lab, &host, &mut score)?;
    if score.all_good() {
        live::run(&lab, &mut host, policy, &mut score)?;
    } else {
        println!("\nThe live part is left out: the first part was not as expected.");
    }
    Ok(score.conclude())
}

fn introduce(lab: &Lab) {
    let [v4, v6] = SCANNER;
    let line = |name: &str, what: &str| println!("  {name:<26} {what}");
    println!("Three namespaces:");
    line(
        lab.host().name(),
        "this host: lan0 10.77.0.1 fd77::1, wan0 203.0.113.1 2001:db8::1",
    );
    line(
        lab.trusted.ns.name(),
        "a peer it trusts, at lan0: 10.77.0.9 fd77::9",
    );
    line(
        lab.stranger.ns.name(),
        "a stranger, at wan0: 203.0.113.9 2001:db8::9",
    );
    line(
        "",
        &format!("and, on the policy's list of scanners: {v4} {v6}"),
    );
}
