//! `cargo xtask pictures`: what the dashboards' queries find, drawn by a browser without a screen, into
//! `docs/pictures`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, find, is_root, root, run as run_command, target_dir, text};
use crate::setup::{self, Group};

/// What `pictures` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Draw the pages of the last run again, without new traffic
    #[arg(long)]
    draw: bool,
}

const BROWSER: &str = "chromium-headless-shell";
const NAMES: [&str; 2] = ["host", "fleet"];
/// The page's own width, see its style.
const WIDTH: u32 = 1400;

/// Two real agents for about a minute and a half, then the pictures.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if !setup::ensure(&[Group::Build, Group::Demo, Group::Test, Group::Pictures])? {
        return Ok(false);
    }
    let pages = target_dir().join("xtask/pictures");
    if !args.draw {
        run_command(cargo().args(["build", "--workspace", "--exclude", "firewall-ebpf"]))?;
        watch(&pages)?;
    }
    for name in NAMES {
        let page = pages.join(format!("{name}.html"));
        let picture = root().join(format!("docs/pictures/{name}.png"));
        draw(&page, &picture)?;
    }
    Ok(true)
}

fn watch(pages: &Path) -> Result<()> {
    let debug = target_dir().join("debug");
    let mut command = Command::new(debug.join("pictures"));
    command
        .arg(pages)
        .env("RINGWALL_BIN", debug.join("ringwall"));
    if !is_root() {
        bail!(
            "making namespaces needs root. Type this as root, then `cargo xtask pictures --draw`:\n\n    RINGWALL_BIN={} {}\n",
            debug.join("ringwall").display(),
            text(&command)
        );
    }
    run_command(&mut command)
}

/// Has a page drawn, as high as it is.
fn draw(page: &Path, picture: &Path) -> Result<()> {
    let there = page.is_file();
    ensure!(there, "no {}: run without `--draw`", page.display());
    let dir = picture.parent().context("a directory")?;
    fs::create_dir_all(dir)?;
    // The page writes its height into its title.
    let out = browser(page)?.arg("--dump-dom").output()?;
    let dom = String::from_utf8_lossy(&out.stdout);
    let title = dom
        .split("<title>")
        .nth(1)
        .and_then(|t| t.split('<').next());
    let height: u32 = title
        .and_then(|title| title.parse().ok())
        .with_context(|| format!("{} was not drawn", page.display()))?;
    let mut command = browser(page)?;
    command
        .arg(format!("--window-size={WIDTH},{height}"))
        .arg(format!("--screenshot={}", picture.display()));
    run_command(&mut command)?;
    println!("{}", picture.display());
    Ok(())
}

fn browser(page: &Path) -> Result<Command> {
    let program = find(BROWSER).with_context(|| format!("no {BROWSER}"))?;
    let mut command = Command::new(program);
    // Its sandbox does not work for root, and the page is our own.
    command.args(["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.arg(format!("file://{}", page.display()));
    Ok(command)
}
