//! Processes that die with the test, inside a namespace or not.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::Netns;

/// What a finished command said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit status; -1 if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Exit status 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }

    /// The output as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {self:?}"))
    }
}

/// A command to be run inside a namespace, killed by the kernel when this process dies.
pub struct Command {
    inner: std::process::Command,
    label: String,
}

impl Command {
    /// Outside of any namespace of ours.
    pub fn outside(program: impl AsRef<OsStr>) -> Self {
        let label = program.as_ref().to_string_lossy().into_owned();
        Self {
            inner: std::process::Command::new(program),
            label,
        }
    }

    pub(super) fn inside(ns: &Netns, program: impl AsRef<OsStr>) -> Self {
        let mut this = Self::outside(program);
        let ns = ns.clone();
        // SAFETY: between fork and exec only one system call is made, on a descriptor that the captured
        // clone keeps open; nothing is allocated and no lock is taken.
        unsafe { this.inner.pre_exec(move || ns.enter()) };
        this
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.inner.args(args);
        self
    }

    /// Sets environment variables.
    pub fn envs<V: AsRef<OsStr>>(
        mut self,
        vars: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        self.inner.envs(vars);
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Result<Ran> {
        self.run_with("")
    }

    /// Runs to the end with `input` as standard input.
    pub fn run_with(mut self, input: &str) -> Result<Ran> {
        self.inner
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let label = self.label.clone();
        let mut child = self.spawn()?;
        let stdin = child.stdin.take();
        let out = std::thread::scope(|s| {
            // A thread of its own: a child that talks before it has read all must not block us.
            s.spawn(move || stdin.map(|mut i| i.write_all(input.as_bytes())));
            child.wait_with_output()
        });
        let out = out.with_context(|| format!("waiting for {label}"))?;
        Ok(Ran {
            status: out.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Starts it in the foreground of a terminal.
    pub fn on_terminal(mut self, terminal: &std::fs::File) -> Result<Daemon> {
        self.inner
            .stdin(terminal.try_clone()?)
            .stdout(terminal.try_clone()?)
            .stderr(terminal.try_clone()?);
        let lead = || {
            // SAFETY: between fork and exec two system calls are made, on no pointers; by then the terminal is
            // standard input.
            let done = unsafe { libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) >= 0 };
            done.then_some(()).ok_or_else(io::Error::last_os_error)
        };
        // SAFETY: see above; nothing is allocated and no lock is taken.
        unsafe { self.inner.pre_exec(lead) };
        Ok(Daemon(self.spawn()?))
    }

    /// Starts it, its output and error appended to a file.
    pub fn daemon(mut self, log: &std::path::Path) -> Result<Daemon> {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)?;
        self.inner
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Ok(Daemon(self.spawn()?))
    }

    fn spawn(mut self) -> Result<Child> {
        // SAFETY: one system call between fork and exec, nothing allocated, no lock taken.
        unsafe {
            self.inner
                .pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?))
        };
        let child = on_lasting_thread(move || self.inner.spawn());
        child.with_context(|| format!("starting {}", self.label))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The kernel sends the death signal when the *thread* that forked ends, and test threads end early: so
/// one thread, which lives as long as the process, starts every child.
fn on_lasting_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let start = || {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || inbox.iter().for_each(|job| job()));
        Mutex::new(jobs)
    };
    let (reply, answer) = mpsc::channel();
    let job: Job = Box::new(move || drop(reply.send(work())));
    let jobs = JOBS
        .get_or_init(start)
        .lock()
        .expect("nothing panics while it sends");
    jobs.send(job).expect("the starting thread lives");
    drop(jobs);
    answer.recv().expect("the starting thread answers")
}

/// A running process; dropped, it is killed and waited for.
pub struct Daemon(Child);

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, then at most `patience` for an orderly end.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        wait_until(patience, || self.ended()).context("it did not end after SIGTERM")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Asks every 10 ms until there is an answer or the patience is over.
pub fn wait_until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > patience {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs lines of `ip -batch`, inside a namespace or outside.
pub(super) fn ip_batch(ns: Option<&Netns>, lines: &str) -> Result<()> {
    let command = ns.map_or_else(|| Command::outside("ip"), |ns| ns.command("ip"));
    let ran = command.args(["-batch", "-"]).run_with(lines)?;
    ensure!(ran.ok(), "ip: {}\nof:\n{lines}", ran.err.trim());
    Ok(())
}
