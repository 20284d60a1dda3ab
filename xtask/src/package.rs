//! `cargo xtask package`: the Debian package, by cargo-deb from the table in `firewall-user/Cargo.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, find, root, run as run_command, target_dir};
use crate::setup::{self, Group};

/// What `package` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Then install it, upgrade it and remove it in a machine in miniature; needs root
    #[arg(long)]
    check: bool,
    /// Package this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The package's version, revision included, instead of the project's
    #[arg(long, value_name = "VERSION")]
    deb_version: Option<String>,
    /// Compress less, and faster
    #[arg(long)]
    fast: bool,
    /// Where the package goes [default: target/debian]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Where the metadata say that things are.
fn stage() -> PathBuf {
    root().join("target/package")
}

/// Builds as it is shipped, writes what comes from the program's own definitions, and packs all of it.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let groups: &[Group] = match args.program {
        Some(_) => &[Group::Package],
        None => &[Group::Build, Group::Package],
    };
    if !setup::ensure(groups)? {
        return Ok(false);
    }
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    put_in_place(&program)?;
    println!("Packaged: {}", pack(args)?.display());
    if args.check { check() } else { Ok(true) }
}

fn build() -> Result<PathBuf> {
    run_command(cargo().args(["build", "--release", "--package", "firewall-user"]))?;
    Ok(target_dir().join("release/ringwall"))
}

fn put_in_place(program: &Path) -> Result<()> {
    let stage = stage();
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    fs::create_dir_all(stage.join("completions"))?;
    let staged = stage.join("ringwall");
    stripped(program, &staged)?;
    run_command(Command::new(&staged).arg("man").arg(stage.join("man")))?;
    for shell in ["bash", "fish", "zsh"] {
        let path = stage.join(format!("completions/ringwall.{shell}"));
        let file = fs::File::create(path)?;
        run_command(
            Command::new(&staged)
                .args(["completions", shell])
                .stdout(file),
        )?;
    }
    Ok(())
}

/// Without debug information, as Debian wants its programs; whole where there is no `strip`.
fn stripped(program: &Path, to: &Path) -> Result<()> {
    if find("strip").is_some() {
        return run_command(Command::new("strip").arg("-o").args([to, program]));
    }
    fs::copy(program, to).with_context(|| program.display().to_string())?;
    Ok(())
}

/// Answers where the package is.
fn pack(args: &Args) -> Result<PathBuf> {
    let mut deb = cargo();
    deb.args([
        "deb",
        "--quiet",
        "--package",
        "firewall-user",
        "--no-build",
        "--no-strip",
    ]);
    deb.args(args.fast.then_some("--fast"));
    if let Some(version) = &args.deb_version {
        deb.args(["--deb-version", version]);
    }
    deb.arg("--output");
    deb.arg(
        args.output
            .clone()
            .unwrap_or_else(|| target_dir().join("debian/")),
    );
    eprintln!("$ {}", crate::command::text(&deb));
    let out = deb
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo-deb")?;
    ensure!(out.status.success(), "cargo-deb: {}", out.status);
    let text = String::from_utf8(out.stdout)?;
    let path = text.lines().last().context("cargo-deb names no package")?;
    Ok(PathBuf::from(path))
}

/// The test packages the debug build itself, once as it is and once as a later version.
fn check() -> Result<bool> {
    if !setup::ensure(&[Group::Test])? {
        return Ok(false);
    }
    run_command(cargo().arg("build"))?;
    let test = ["test", "--package", "ringwall-tests", "--test", "package"];
    run_command(cargo().args(test).args(["--", "--nocapture"]))?;
    Ok(true)
}
