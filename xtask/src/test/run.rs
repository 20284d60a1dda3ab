//! Runs one test binary, with its output in a file and signs of life on the terminal.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::END_TO_END;
use super::collect::Job;
use super::libtest;
use super::tally::Outcome;

/// A binary that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// With more failures than that in one binary it is no bad luck.
const UNLUCKY: usize = 2;

/// Runs it to its end, or to the end of our patience. Tests of real packets keep deadlines, which a machine that is busy
/// with something else can break: one or two that fail are tried once more, alone, and told apart where they pass then.
pub(super) fn run(job: &Job) -> Result<Outcome> {
    let outcome = once(job)?;
    let names = outcome.failed_tests();
    if !job.name.starts_with(END_TO_END) || !(1..=UNLUCKY).contains(&names.len()) {
        return Ok(outcome);
    }
    let again = names.iter().map(|name| once(&job.alone(name)));
    let again: Vec<_> = again.collect::<Result<_>>()?;
    Ok(outcome.after(&again))
}

impl Job {
    /// One of its tests.
    fn alone(&self, name: &str) -> Self {
        Self {
            name: format!("{} (once more, alone)", self.name),
            args: ["--exact", "--test-threads=1", name]
                .map(str::to_owned)
                .to_vec(),
            log: self.log.with_extension("alone.log"),
            ..self.clone()
        }
    }
}

fn once(job: &Job) -> Result<Outcome> {
    eprint!("  {} … ", job.name);
    let begin = Instant::now();
    let skips = job.log.with_extension("skips");
    let log = fresh_log(job, &skips)?;
    let mut child = start(job, &log, &skips)?;
    let status = wait(&mut child, job, begin)?;
    let text = fs::read_to_string(&job.log).unwrap_or_default();
    let skipped = fs::read_to_string(&skips).unwrap_or_default();
    let ended = status.map_or_else(|| "no end after 20 minutes".to_owned(), |s| s.to_string());
    let good = status.is_some_and(|s| s.success());
    let outcome = Outcome::of(&job.name, &libtest::read(&text), &skipped, good, &ended);
    eprintln!(
        "{} ({:.1} s)",
        outcome.counts(),
        begin.elapsed().as_secs_f32()
    );
    if outcome.has_failed() {
        eprintln!("{text}\n(this output is in {})", job.log.display());
    }
    Ok(outcome)
}

/// Logs of an earlier run may belong to root; the directory is ours, so they can be removed.
fn fresh_log(job: &Job, skips: &PathBuf) -> Result<File> {
    let dir = job.log.parent().context("a log has a directory")?;
    fs::create_dir_all(dir)?;
    for old in [&job.log, skips] {
        let _ = fs::remove_file(old);
    }
    File::options()
        .create_new(true)
        .append(true)
        .open(&job.log)
        .context("the log")
}

fn start(job: &Job, log: &File, skips: &PathBuf) -> Result<Child> {
    let mut command = Command::new(&job.program);
    command.args(&job.args).current_dir(&job.directory);
    command
        .envs(job.env.iter().map(|(n, v)| (n, v)))
        .env("RINGWALL_SKIP_FILE", skips);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    command
        .spawn()
        .with_context(|| format!("starting {}", job.program.display()))
}

/// None if it had to be killed.
fn wait(child: &mut Child, job: &Job, begin: Instant) -> Result<Option<ExitStatus>> {
    let mut next_sign = SIGN_OF_LIFE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        if begin.elapsed() > next_sign {
            next_sign += SIGN_OF_LIFE;
            let text = fs::read_to_string(&job.log).unwrap_or_default();
            eprint!(
                "{} done, {} s … ",
                libtest::finished(&text),
                begin.elapsed().as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
