//! What goes wrong on a host without anybody meaning harm: a full disk, files that rot, others who clean up, memory that
//! runs out. Verdicts and live sessions stay as they are, and the agent comes back or says what is wrong.

mod others;

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Effort, Figure};
use crate::net::sock::{Echo, Seen, connect, exchange};
use crate::net::{Host, Lab, Ran};
use crate::scenario::{PATIENCE, Random, Scene, allow, at_wan, metric, policy};

/// What comes of them. Where an interface has just come, what lives is a martian until the ways back are known.
const DENIED: &str = "reason=\"default-deny\"";
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
const SHUT: [Seen; 2] = [Seen::Silence, Seen::Silence];
/// Looks at the hooks are seconds apart.
const NOTICED: std::time::Duration = std::time::Duration::from_secs(30);

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let mut all = full_disk()?;
    all.extend(damaged_files(effort)?);
    all.extend(others::cleaned_up()?);
    all.extend(others::interface_returns()?);
    all.extend(others::pins_gone(effort)?);
    all.extend(others::no_bpffs_and_no_agent()?);
    all.extend(no_memory()?);
    Ok(all)
}

/// A guarded host with a live session of each family, and servers on an allowed and on a closed port.
struct Drill {
    scene: Scene,
    live: Vec<TcpStream>,
    /// Packets that the policy denied so far.
    denied: u64,
    _servers: [Echo; 2],
}

impl Drill {
    /// `before` is done when the agent's directories are there, before it starts.
    fn begin(
        vars: &[(&'static str, &str)],
        before: impl FnOnce(&Host) -> Result<()>,
    ) -> Result<Self> {
        let lab = Lab::quiet()?;
        let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], "")?;
        host.vars = vars
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        before(&host)?;
        host.restart()?;
        let scene = Scene { host, lab };
        let any = |port| ([0_u16; 8], port).into();
        let servers = [
            Echo::tcp(scene.lab.host(), any(443))?,
            Echo::tcp(scene.lab.host(), any(22))?,
        ];
        scene.put(&revision(1))?;
        let open = |v6| {
            connect(scene.stranger(), at_wan(v6, 443), PATIENCE)
                .ok()
                .context("no session")
        };
        let live: Result<Vec<_>> = [false, true].map(open).into_iter().collect();
        let mut drill = Self {
            live: live?,
            denied: 0,
            scene,
            _servers: servers,
        };
        ensure!(drill.holds(), "it did not hold before");
        Ok(drill)
    }

    /// The allowed port is open, the other one shut.
    fn judges(&mut self) -> bool {
        self.denied += 2;
        (self.scene.knock(443), self.scene.knock(22)) == (OPEN, SHUT)
    }

    /// Every packet that was denied has counted, and no other.
    fn counts(&self) -> Result<bool> {
        let text = self.scene.host.metrics()?;
        let dropped = metric(&text, "ringwall_dropped_packets_total", &[DENIED]) as u64;
        if dropped != self.denied {
            eprintln!("{dropped} packets dropped, and not {}", self.denied);
        }
        Ok(dropped == self.denied)
    }

    /// The same, and the live sessions talk.
    fn holds(&mut self) -> bool {
        let talks = |stream: &mut TcpStream| exchange(stream, PATIENCE) == Seen::Answered;
        self.judges() && self.live.iter_mut().all(talks)
    }

    fn apply(&self, number: u64) -> Result<Ran> {
        self.scene.host.apply(&revision(number))
    }

    fn in_force(&self, number: u64) -> Result<bool> {
        let status = self.scene.status()?;
        Ok(status["enforcing"] == true && status["policy"]["revision"] == number)
    }
}

fn revision(number: u64) -> String {
    policy(number, &[allow("web", "tcp/443")])
}

fn held(what: &str, held: bool) -> Figure {
    Figure::exactly(what, true, held)
}

/// A small file system of its own, for as long as it lives.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Self> {
        mount("none", at, "tmpfs", MountFlags::empty(), Some(c"size=2m")).context("a tmpfs")?;
        Ok(Self(at.to_owned()))
    }

    /// Writes until nothing fits any more.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let full = std::fs::write(&filler, vec![0; 4 << 20]);
        debug_assert!(full.is_err(), "four megabytes do not fit two");
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn full_disk() -> Result<Vec<Figure>> {
    let mut disk = None;
    let mut drill = Drill::begin(&[], |host| {
        disk = Some(Disk::mount(&host.dir.state())?);
        Ok(())
    })?;
    let filler = disk.as_ref().context("a disk")?.fill();
    let refused = drill.apply(2)?;
    let said = !refused.ok() && refused.err.contains("No space left on device");
    let stays = drill.holds() && drill.in_force(1)?;
    drill.scene.host.kill9();
    drill.scene.host.restart()?;
    let again = drill.holds() && drill.in_force(1)?;
    std::fs::remove_file(filler)?;
    let healed = drill.apply(2)?.ok() && drill.in_force(2)? && drill.holds();
    let counted = drill.counts()?;
    Ok(vec![
        held("full disk: counters are right", counted),
        held("full disk: an apply is refused and says why", said),
        held("full disk: policy and sessions stay", stays),
        held("full disk: so they are after kill -9 and a start", again),
        held("full disk: with room again the next apply holds", healed),
    ])
}

/// A policy file with bytes changed, taken out or doubled: refused, or a policy that says the same.
fn damaged_files(effort: &Effort) -> Result<Vec<Figure>> {
    let mut drill = Drill::begin(&[], |_| Ok(()))?;
    let (files, mut refused, mut silent) = (effort.pick(200, 40), 0, 0);
    let mut random = Random::from_seed(effort.seed);
    for _ in 0..files {
        let ran = drill
            .scene
            .host
            .apply_with(&damaged(&mut random), &["--dry-run"])?;
        refused += u64::from(!ran.ok());
        silent += u64::from(!ran.ok() && ran.err.trim().is_empty());
    }
    Ok(vec![
        Figure::at_least("damaged policy files refused", files / 4, refused),
        Figure::exactly("of them without a word why", 0, silent),
        held(
            "damaged policy files: policy and sessions stay",
            drill.holds() && drill.in_force(1)?,
        ),
        held(
            "damaged policy files: the next good one holds",
            drill.apply(2)?.ok() && drill.in_force(2)?,
        ),
        held("damaged policy files: counters are right", drill.counts()?),
    ])
}

fn damaged(random: &mut Random) -> String {
    let mut bytes = revision(2).into_bytes();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes.truncate(at.max(1)),
            // Something is left to be damaged further.
            1 if bytes.len() > 1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b' ' + random.below(95) as u8),
            _ => bytes[at] = b' ' + random.below(95) as u8,
        }
    }
    // Changed bytes are of ASCII, and so was the text.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An agent that gets no more memory dies in the middle of its work; what is loaded goes on.
fn no_memory() -> Result<Vec<Figure>> {
    let mut drill = Drill::begin(&[], |_| Ok(()))?;
    let pid = drill
        .scene
        .host
        .agent()
        .context("an agent")?
        .pid()
        .to_string();
    // Less than it has: what it asks for from now on it does not get.
    let limit = drill
        .scene
        .lab
        .host()
        .exec("prlimit", &["--pid", &pid, "--as=1048576"])?;
    ensure!(limit.ok(), "prlimit: {}", limit.err);
    let rules: Vec<String> = (1..=20_000)
        .map(|n| allow(&format!("r{n}"), &format!("tcp/{}, udp/{n}", 20_000 + n)))
        .collect();
    let large = policy(2, &[vec![allow("web", "tcp/443")], rules].concat());
    let refused = drill.scene.host.apply(&large)?;
    let refused = !refused.ok() && !refused.err.trim().is_empty();
    let stays = drill.holds();
    drill.scene.host.kill9();
    drill.scene.host.restart()?;
    let again = drill.holds() && drill.in_force(1)?;
    Ok(vec![
        held(
            "agent without memory: a large apply fails, and that is said",
            refused,
        ),
        held("agent without memory: policy and sessions stay", stays),
        held("agent without memory: so they are after a start", again),
        held(
            "agent without memory: the next apply holds",
            drill.apply(3)?.ok() && drill.in_force(3)?,
        ),
        held("agent without memory: counters are right", drill.counts()?),
    ])
}
