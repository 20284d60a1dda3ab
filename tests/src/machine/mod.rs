//! A machine in miniature: systemd as the first process over a throw-away copy of this machine's files, in a
//! network namespace of the lab. Packages are installed into it for real.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::net::{Command, Daemon, Netns, Ran, RunDir, make_cgroup, remove_cgroup, wait_until};

const BOOT: &str = include_str!("boot.sh");
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine that runs; dropped, all its processes are killed and nothing of it is left.
pub struct Machine {
    host: Daemon,
    first: u32,
    cgroup: PathBuf,
    dir: RunDir,
}

/// Why no machine can be made here; `None` if one can.
pub fn missing() -> Option<String> {
    let programs = [
        "/lib/systemd/systemd",
        "/usr/bin/unshare",
        "/usr/bin/setpriv",
        "/usr/bin/dpkg",
        "/usr/bin/deb-systemd-helper",
    ];
    if let Some(absent) = programs.iter().find(|p| !Path::new(p).exists()) {
        return Some(format!("{absent} is not there"));
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let wanted = ["overlay", "cgroup2"];
    let absent = wanted.iter().find(|fs| !known.contains(**fs));
    absent.map(|fs| format!("the kernel has no {fs}"))
}

impl Machine {
    /// Boots it in a network namespace.
    pub fn boot(ns: &Netns) -> Result<Self> {
        let dir = RunDir::new("machine")?;
        let script = dir.path().join("boot.sh");
        std::fs::write(&script, BOOT)?;
        let root = dir.path().join("state");
        let cgroup = make_cgroup("machine")?;
        let started = ns
            .command("sh")
            .args([&script, &root, &cgroup])
            .daemon(&dir.log());
        let host = match started {
            Ok(host) => host,
            Err(error) => {
                remove_cgroup(&cgroup);
                return Err(error);
            }
        };
        let mut machine = Self {
            host,
            first: 0,
            cgroup,
            dir,
        };
        machine.first = machine.find_first()?;
        machine.wait_running()?;
        Ok(machine)
    }

    /// The process that is number one inside, by its number outside.
    fn find_first(&mut self) -> Result<u32> {
        let pid = self.host.pid();
        let child = || {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let first = children.ok()?.split(' ').next()?.parse::<u32>().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
            (name.trim() == "systemd").then_some(first)
        };
        let found = wait_until(PATIENCE, child);
        found.with_context(|| format!("systemd does not start:\n{}", self.log()))
    }

    fn wait_running(&self) -> Result<()> {
        let running = || {
            let ran = self.run("systemctl", &["is-system-running"]).ok()?;
            ["running", "degraded"]
                .contains(&ran.out.trim())
                .then_some(ran)
        };
        match wait_until(PATIENCE, running) {
            Some(ran) if ran.out.trim() == "running" => Ok(()),
            Some(_) => bail!(
                "units failed:\n{}",
                self.run("systemctl", &["--failed"])?.out
            ),
            None => bail!("it does not come up:\n{}", self.log()),
        }
    }

    /// What systemd said on its console.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.log()).unwrap_or_default()
    }

    /// A path inside, as it is reached from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }

    /// Runs a command inside.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<Ran> {
        let first = self.first.to_string();
        let all = [
            "-t", &first, "-m", "-u", "-i", "-n", "-p", "-C", "--", program,
        ];
        let quiet = [("DEBIAN_FRONTEND", "noninteractive"), ("SYSTEMD_PAGER", "")];
        Command::outside("nsenter")
            .args(all.iter().chain(args))
            .envs(quiet)
            .run()
    }

    /// Runs a command inside that must succeed; its output.
    pub fn must(&self, program: &str, args: &[&str]) -> Result<String> {
        let ran = self.run(program, args)?;
        ensure!(ran.ok(), "{program} {args:?}: {ran:?}\n{}", self.journal());
        Ok(ran.out + &ran.err)
    }

    /// The journal of our unit.
    pub fn journal(&self) -> String {
        let args = ["-u", "ringwall", "--no-pager", "-o", "cat", "-n", "60"];
        self.run("journalctl", &args)
            .map_or_else(|e| e.to_string(), |ran| ran.out)
    }

    /// Installs a package from a file, or upgrades to it.
    pub fn install(&self, package: &Path) -> Result<String> {
        let name = package
            .file_name()
            .context("a file name")?
            .to_string_lossy();
        let inside = format!("/var/tmp/{name}");
        std::fs::copy(package, self.path(&inside))?;
        let args = ["--force-unsafe-io", "--no-triggers", "-i", &inside];
        self.must("dpkg", &args)
    }

    /// A property of our unit.
    pub fn unit(&self, property: &str) -> Result<String> {
        let args = ["show", "ringwall", "--value", "-p", property];
        Ok(self.must("systemctl", &args)?.trim().to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let pid = i32::try_from(self.first)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // With the first process of a namespace the kernel kills all others in it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.host.kill9();
        let cgroup = &self.cgroup;
        wait_until(PATIENCE, || {
            remove_cgroup(cgroup);
            (!cgroup.exists()).then_some(())
        });
    }
}
