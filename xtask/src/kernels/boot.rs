//! The emulator: boots, listens to the console, and ends in time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::debian::Kernel;
use super::report::{Line, Row, read};
use crate::command::text;

/// Megabytes; the agent's tables alone take a hundred.
const MEMORY: &str = "1536";

/// Boots a kernel and returns what its checks said.
pub(super) fn boot(
    kernel: &Kernel,
    image: &Path,
    console: &Path,
    patience: Duration,
) -> Result<Vec<Row>> {
    let mut machine = start(kernel, image)?;
    let lines = listen(&mut machine)?;
    let mut log = std::fs::File::create(console)?;
    let end = Instant::now() + patience;
    let mut rows = Vec::new();
    let why = loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}")?;
                match read(&kernel.release, &line) {
                    Some(Line::Check(row)) => {
                        eprintln!("  {row}");
                        rows.push(row);
                    }
                    Some(Line::End) => break None,
                    None => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some("it took too long"),
            Err(RecvTimeoutError::Disconnected) => break Some("the machine stopped"),
        }
    };
    // Off by itself in a moment, or stuck: either way it is over.
    let _ = machine.kill();
    machine.wait()?;
    if let Some(why) = why {
        rows.push(Row::failed(
            &kernel.release,
            "all checks",
            &format!("{why}; see {}", console.display()),
        ));
    }
    Ok(rows)
}

/// Emulated, so that it works inside a virtual machine, too.
fn start(kernel: &Kernel, image: &Path) -> Result<Child> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args(["-m", MEMORY, "-nographic", "-no-reboot", "-nodefaults"])
        .args(["-serial", "stdio", "-append"])
        .arg("console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off tsc=reliable")
        .arg("-kernel")
        .arg(kernel.vmlinuz())
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    eprintln!("$ {}", text(&qemu));
    qemu.spawn().context("starting qemu-system-x86_64")
}

/// Lines of the console as they come.
fn listen(machine: &mut Child) -> Result<Receiver<String>> {
    let console = machine.stdout.take().context("its output is a pipe")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(console);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}
