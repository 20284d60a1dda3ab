//! A guarded host: a namespace with a real agent in it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::process::{Daemon, Ran, wait_until};
use super::{Netns, RunDir, clean, sock};

/// Where the agent shows its metrics, by default, inside its namespace.
pub const METRICS: &str = "127.0.0.1:10933";

/// How long an agent may take until it answers: on an emulated machine the verifier alone takes long.
const PATIENCE: Duration = Duration::from_secs(180);

/// A namespace with an agent, or with what a killed agent left in force.
pub struct Host {
    /// Where it lives.
    pub ns: Netns,
    /// Its files.
    pub dir: RunDir,
    /// More environment for the agent, from its next start on.
    pub vars: Vec<(&'static str, String)>,
    /// A program with its arguments that starts the agent, as `setpriv` does; empty: it is started itself.
    pub starter: Vec<String>,
    interfaces: Vec<String>,
    agent: Option<Daemon>,
    last: Option<u32>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill9();
        self.last.into_iter().for_each(clean::remove_locks);
    }
}

impl Host {
    /// Starts an agent that guards the interfaces, and waits until it answers. No policy is in force
    /// yet; `config` is YAML for the agent's own file, added to where its files are.
    pub fn start(ns: &Netns, interfaces: &[&str], config: &str) -> Result<Self> {
        let mut host = Self::prepare(ns, interfaces, config)?;
        host.restart()?;
        Ok(host)
    }

    /// Makes the directories and writes the agent's file, and starts nothing yet.
    pub fn prepare(ns: &Netns, interfaces: &[&str], config: &str) -> Result<Self> {
        let dir = RunDir::new("host")?;
        let own = format!("policy: {{path: {}}}\n", dir.policy().display());
        std::fs::write(dir.config(), own + config)?;
        let interfaces = interfaces.iter().map(|&i| i.to_owned()).collect();
        Ok(Self {
            ns: ns.clone(),
            dir,
            vars: Vec::new(),
            starter: Vec::new(),
            interfaces,
            agent: None,
            last: None,
        })
    }

    /// Starts the agent (again) and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts the agent without waiting for it.
    pub fn spawn(&mut self) -> Result<()> {
        self.kill9();
        let interfaces = self.interfaces.iter().flat_map(|i| ["--interface", i]);
        let mut words = self.starter.iter().map(OsString::from).collect::<Vec<_>>();
        words.extend([binary()?.into_os_string(), "run".into()]);
        let run = self
            .ns
            .command(&words[0])
            .args(&words[1..])
            .args(interfaces);
        let run = run.envs(self.dir.env()).envs(self.vars.clone());
        let agent = run.daemon(&self.dir.log())?;
        self.last = Some(agent.pid());
        self.agent = Some(agent);
        Ok(())
    }

    /// Waits until `ringwall status` says that the agent runs.
    pub fn wait_ready(&mut self) -> Result<()> {
        let ready = wait_until(PATIENCE, || match self.agent.as_mut().map(Daemon::ended) {
            None => Some(Err("was not started".to_owned())),
            Some(Some(status)) => Some(Err(format!("ended: {status}"))),
            Some(None) => self
                .cli(&["status", "-o", "json"])
                .is_ok_and(|r| r.ok())
                .then_some(Ok(())),
        });
        match ready {
            Some(Ok(())) => Ok(()),
            Some(Err(how)) => bail!("the agent {how}; its log:\n{}", self.log()),
            None => bail!("the agent does not answer; its log:\n{}", self.log()),
        }
    }

    /// The agent's process, if one was started and not killed by us.
    pub fn agent(&mut self) -> Option<&mut Daemon> {
        self.agent.as_mut()
    }

    /// The agent's process, the last one that was started.
    #[must_use]
    pub const fn last_pid(&self) -> Option<u32> {
        self.last
    }

    /// SIGKILL for the agent; what it enforces stays pinned.
    pub fn kill9(&mut self) {
        self.agent = None;
    }

    /// Asks the agent to end and waits for it; what it enforces stays pinned.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut agent) = self.agent.take() else {
            return Ok(());
        };
        let status = agent.stop(PATIENCE)?;
        anyhow::ensure!(
            status.success(),
            "the agent ended with {status}; its log:\n{}",
            self.log()
        );
        Ok(())
    }

    /// Runs `ringwall ARGS` as this host's operator.
    pub fn cli(&self, args: &[&str]) -> Result<Ran> {
        self.ns
            .command(binary()?)
            .args(args)
            .envs(self.dir.env())
            .run()
    }

    /// Runs `ringwall ARGS -o json` and reads the answer, whatever the exit status.
    pub fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        self.cli(&[args, &["-o", "json"]].concat())?.json()
    }

    /// `ringwall apply` of this text, from a file in the host's own directory.
    pub fn apply(&self, policy: &str) -> Result<Ran> {
        self.apply_with(policy, &[])
    }

    /// The same with more arguments.
    pub fn apply_with(&self, policy: &str, args: &[&str]) -> Result<Ran> {
        let path = self.dir.path().join("config/candidate.yaml");
        std::fs::write(&path, policy)?;
        self.cli(&[&["apply", &path.to_string_lossy()], args].concat())
    }

    /// The text at `/metrics`. That the agent answers its operator does not say that it listens there, too.
    pub fn metrics(&self) -> Result<String> {
        let at: SocketAddr = METRICS.parse().context("a socket address")?;
        let mut last = None;
        let text = wait_until(Duration::from_secs(30), || {
            sock::http_get(&self.ns, at, "/metrics")
                .map_err(|error| last = Some(error))
                .ok()
        });
        text.with_context(|| format!("no metrics: {last:?}; {}", self.log()))
    }

    /// What the agent wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.log()).unwrap_or_default()
    }
}

/// The program under test: `RINGWALL_BIN`, or the one built beside this test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RINGWALL_BIN") {
        return Ok(path.into());
    }
    let this = std::env::current_exe()?;
    // target/debug/demo has it beside itself, target/debug/deps/test-… one directory up.
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("ringwall"))
        .find(|p| p.is_file());
    found.context("no `ringwall` beside this test: run `cargo build`, or set RINGWALL_BIN")
}
