//! `cargo xtask bench`: builds in release and hands over to the benchmark's own program.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, find, is_root, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Some rows of the table only, such as `1,3`: 1 packets in the loaded program, 2 a flood at a denied port,
    /// 3 traffic that is allowed, 4 rule sets of the field, 5 apply, 6 the agent
    #[arg(long, value_name = "ROWS")]
    rows: Option<String>,
    /// Small sets and few samples: ten minutes
    #[arg(long)]
    quick: bool,
    /// A directory with more rule sets in the form of ClassBench; files whose names end in `k`
    #[arg(long)]
    sets: Option<PathBuf>,
    /// Where results are kept, by date and kernel
    #[arg(long, default_value = "bench/runs")]
    out: PathBuf,
}

/// Ends by becoming the benchmark.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build])? {
        return Ok(false);
    }
    install_peers();
    let packages = ["-p", "firewall-user", "--bin", "ringwall"];
    run_command(cargo().args(["build", "--release"]).args(packages))?;
    let packages = ["-p", "ringwall-tests", "--bin", "bench"];
    run_command(cargo().args(["build", "--release"]).args(packages))?;
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    command.arg(target_dir().join("release/bench"));
    command.arg("--out").arg(&args.out);
    if args.quick {
        command.arg("--quick");
    }
    if let Some(rows) = &args.rows {
        command.arg("--rows").arg(rows);
    }
    if let Some(sets) = &args.sets {
        command.arg("--sets").arg(sets);
    }
    bail!("starting the benchmark: {}", command.exec())
}

/// Programs that the benchmark stands beside, and the Debian packages that have them.
const PEERS: [(&str, &str); 4] = [
    ("nft", "nftables"),
    ("iptables-legacy-restore", "iptables"),
    ("xdp-filter", "xdp-tools"),
    ("ethtool", "ethtool"),
];

/// Installs the peers that are not there. One that cannot be is told as missing by the row that wants it.
fn install_peers() {
    let missing = PEERS.iter().filter(|(program, _)| find(program).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return;
    }
    let mut words = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    words.extend(packages);
    if !is_root() {
        words.insert(0, "sudo");
    }
    if let Some((program, args)) = words.split_first()
        && let Err(error) = run_command(Command::new(program).args(args))
    {
        eprintln!("{error:#}");
    }
}
