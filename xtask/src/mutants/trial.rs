//! Runs tests with one fault at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What the planted code is told by: the number of the one fault that is there.
pub(crate) const FAULT: &str = "RINGWALL_FAULT";

/// A program of tests, the words it is called with, and how long it may take.
pub(crate) struct Killer {
    program: PathBuf,
    words: Vec<&'static str>,
    place: PathBuf,
    limit: Duration,
}

/// Where the tests are: package, target, which of them.
pub(crate) type Tests = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

impl Killer {
    /// Builds it; without any fault it must find none.
    pub(crate) fn build(
        cargo: Command,
        tree: &Path,
        (package, target, words): Tests,
    ) -> Result<Self> {
        let program = built(cargo, package, target)?;
        let mut killer = Self {
            program,
            words: words.to_vec(),
            place: tree.join(if package == "ringwall-tests" {
                "tests"
            } else {
                package
            }),
            limit: Duration::from_secs(600),
        };
        let begin = Instant::now();
        ensure!(
            !killer.notices(0)?,
            "{package} {words:?} fails without any fault"
        );
        println!("{package} {target:?} {words:?}: {:.1?}", begin.elapsed());
        killer.limit = Duration::from_secs(5) + 10 * begin.elapsed();
        Ok(killer)
    }

    /// The faults that it does not notice, of these numbers. Several are tried at once.
    pub(crate) fn survivors(&self, wanted: &[usize], jobs: usize) -> Result<Vec<usize>> {
        let (next, begin) = (AtomicUsize::new(0), Instant::now());
        let work = || -> Result<Vec<usize>> {
            let mut found = Vec::new();
            while let Some(&number) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !self.notices(number)? {
                    found.push(number);
                }
                let done = next.load(Ordering::Relaxed);
                if done.is_multiple_of(100) {
                    eprintln!("{done} of {} in {:.0?}", wanted.len(), begin.elapsed());
                }
            }
            Ok(found)
        };
        let all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.map(|end| end.unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
                .collect::<Result<Vec<_>>>()
        });
        let mut all = all?.concat();
        all.sort_unstable();
        Ok(all)
    }

    /// Does a test fail, or not end?
    fn notices(&self, fault: usize) -> Result<bool> {
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .current_dir(&self.place)
            .env(FAULT, fault.to_string())
            // Enough to show a fault; the tests themselves try more.
            .env("PROPTEST_CASES", "64")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let end = Instant::now() + self.limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(!status.success());
            }
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }
}

/// The program that cargo says it built.
fn built(mut cargo: Command, package: &str, target: &[&str]) -> Result<PathBuf> {
    cargo.args([
        "test",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
        "--package",
    ]);
    cargo.arg(package).args(target);
    eprintln!("$ {}", crate::command::text(&cargo));
    let out = cargo.stderr(Stdio::inherit()).output()?;
    ensure!(
        out.status.success(),
        "{package} with its faults does not build"
    );
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    let of = |line: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        let tested = message["profile"]["test"].as_bool()?;
        let program = message["executable"].as_str().filter(|_| tested)?;
        Some(program.into())
    };
    lines
        .lines()
        .filter_map(of)
        .next_back()
        .context("no program of tests")
}
