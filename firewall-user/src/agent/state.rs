//! What the agent holds, all of it owned by one thread ([`super::owner`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use firewall_common::config::GENERATION_MONITOR;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::alive::Looked;
use super::config::{AgentConfig, Late};
use super::eyes::Eyes;
use super::history::{History, Record};
use super::last_good::Given;
use super::list_versions::ListVersions;
use super::net::guard::Wishes;
use super::net::{self, Link, Local, Published, Socket};
use super::pace::Pace;
use super::paths::Paths;
use super::plane::Plane;
use super::revision::Identity;
use super::sets::Sets;
use super::shield::Shield;
use super::text::{SetLine, Text};
use super::ways::Ways;
use crate::api::types::InterfaceLine;
use crate::policy::HostContext;
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::hosts::Connected;

/// What the agent was told by its command line and its file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where things are.
    pub paths: Paths,
    /// The agent file.
    pub config: AgentConfig,
    /// The networks on the links of interfaces, as last seen.
    pub connected: Connected,
    /// `--interface`.
    pub only: Vec<String>,
    /// `--monitor`.
    pub monitor: bool,
    /// The watched policy.
    pub policy: PathBuf,
    /// The path was named by somebody, so that its absence is worth a word.
    pub policy_named: bool,
}

impl Settings {
    /// This host, as policies may ask about it.
    #[must_use]
    pub fn host(&self) -> HostContext {
        HostContext {
            connected: self.connected.clone(),
            ..HostContext::this_host(&self.config)
        }
    }

    /// Which interfaces are to be guarded; `late` are those that came after the agent first looked.
    #[must_use]
    pub fn wishes(&self, late: BTreeSet<u32>) -> Wishes {
        Wishes {
            only: self.only.clone(),
            guard: self.config.interfaces.guard.clone(),
            ignore: self.config.interfaces.ignore.clone(),
            late: match self.config.interfaces.late {
                Late::Guard => BTreeSet::new(),
                Late::Ignore => late,
            },
        }
    }

    /// What a compiled policy depends on besides its text, as one word: if it is the same as when the pinned
    /// tables were filled, they need no filling. `host` is [narrowed](HostContext::narrowed) to that policy.
    #[must_use]
    pub fn context(&self, host: &HostContext) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{version} {} {host:?}", self.monitor);
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    /// The same for a policy of the history, as things are now.
    #[must_use]
    pub fn context_of(&self, record: &Record) -> String {
        self.context(&self.host().narrowed(&record.connected))
    }
}

/// The policy in force, as far as the agent knows it.
#[derive(Debug, Clone)]
pub struct Current {
    /// Its record in the history.
    pub record: u64,
    /// Name, revision, digest.
    pub identity: Identity,
    /// What it means, where somebody asked lately; see [`Agent::read_text`].
    pub(super) text: Option<Text>,
    /// Its address sets, as far as its text could be read.
    pub sets: Vec<SetLine>,
    /// Its tables.
    pub compiled: Compiled,
    /// When it was put in force.
    pub applied: Timestamp,
}

/// Warnings that mean nothing once nothing is enforced any more.
const OF_ENFORCEMENT: [&str; 10] = [
    "policy",
    "lists",
    "list-warnings",
    "restore",
    "compiled",
    "adopt",
    "midstream",
    "connected",
    "hooks",
    "sweep",
];

/// How applies went since the agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Put in force.
    pub applied: u64,
    /// In force already.
    pub unchanged: u64,
    /// Refused.
    pub refused: u64,
    /// Meant for others.
    pub not_for_this_host: u64,
    /// Gone back from.
    pub rolled_back: u64,
    /// Put in force until they are confirmed.
    pub pending_confirm: u64,
    /// Not confirmed in time.
    pub reverted: u64,
}

/// Opens the data plane, reusing what is pinned.
pub type Opener = Box<dyn Fn(&Settings) -> anyhow::Result<Box<dyn Plane>> + Send>;

/// Lists sockets, each with the interface that leads to its far end.
pub(super) type Sockets = Box<dyn Fn() -> anyhow::Result<Vec<(Socket, Option<u32>)>> + Send>;

/// Lists connections to published ports.
pub(super) type Translated = Box<dyn Fn() -> std::io::Result<Vec<Published>> + Send>;

/// All that the agent holds.
pub struct Agent {
    /// What it was told.
    pub settings: Settings,
    /// The tables; `None` after a detach.
    pub plane: Option<Box<dyn Plane>>,
    open: Opener,
    /// The revisions of this host.
    pub history: History,
    /// Numbers given out to names.
    pub numbers: Numbers,
    /// The policy in force.
    pub current: Option<Current>,
    /// The policy before it, while it waits to be confirmed.
    pub(super) fallback: Option<Current>,
    /// What the last look at the sockets of idle sessions said.
    pub(super) looked: Looked,
    /// Connections adopted by the last change.
    pub(super) adopted: u64,
    /// Lists sockets, each with the interface that leads to its far end.
    pub(super) sockets: Sockets,
    /// Lists connections to published ports.
    pub(super) published: Translated,
    /// Interfaces as last seen.
    pub links: Vec<Link>,
    /// Every interface with its state and why.
    pub interfaces: Vec<InterfaceLine>,
    /// Those that were there when the agent first looked, by index.
    pub(super) early: Option<BTreeSet<u32>>,
    locals: Vec<Local>,
    /// Members of dynamic sets.
    pub(super) sets: Sets,
    /// Generations of sets that are read from files.
    pub(super) versions: ListVersions,
    /// How far the wall clock was ahead of the clock since boot, in nanoseconds, when the dates of rules were last looked
    /// at; `None` where nobody has since they were put there.
    pub(super) timed: Option<i128>,
    /// When sessions are looked through again.
    pub(super) pace: Pace,
    /// The ways back to sources, as last worked out.
    pub(super) ways: Option<Ways>,
    /// Which interfaces a flood has moved.
    pub shield: Shield,
    /// Rung where the ways may have changed with the interfaces.
    pub(super) ways_again: Arc<Notify>,
    /// What somebody should look at, by subject.
    pub warnings: BTreeMap<String, String>,
    /// How applies went.
    pub tally: Tally,
    /// When the agent started.
    pub started: Instant,
    /// What it sees.
    pub eyes: Eyes,
}

impl Agent {
    /// Opens the history and the data plane.
    pub fn new(settings: Settings, open: Opener) -> anyhow::Result<Self> {
        let state = &settings.paths.state;
        let cannot = || format!("cannot use the state directory {}", state.display());
        let history = History::open(state).with_context(cannot)?;
        let mut agent = Self::beside(settings, open, history);
        // That of the numbers is known once they are read.
        let damage = agent.history.damage();
        agent.note("state", damage);
        agent.plane()?;
        Ok(agent)
    }

    /// One that knows its history, and nothing yet of this host.
    fn beside(settings: Settings, open: Opener, mut history: History) -> Self {
        let numbers = history.numbers();
        Self {
            settings,
            plane: None,
            open,
            history,
            numbers,
            current: None,
            fallback: None,
            looked: Looked::default(),
            adopted: 0,
            sockets: Box::new(net::living),
            published: Box::new(net::published),
            links: Vec::new(),
            interfaces: Vec::new(),
            early: None,
            locals: Vec::new(),
            sets: Sets::default(),
            versions: ListVersions::default(),
            timed: None,
            pace: Pace::default(),
            ways: None,
            ways_again: Arc::default(),
            shield: Shield::default(),
            warnings: BTreeMap::new(),
            tally: Tally::default(),
            started: Instant::now(),
            eyes: Eyes::default(),
        }
    }

    /// Reads what is pinned, beside a history that is only read: for the command line without an agent.
    pub fn reading(settings: Settings, plane: Box<dyn Plane>) -> anyhow::Result<Self> {
        let interfaces = plane.attached()?.into_iter().map(|attached| InterfaceLine {
            others: Vec::new(),
            name: attached.name,
            index: attached.index,
            hook: Some(attached.hook),
            mode: Some(attached.mode),
            hook_why: None,
            shield: None,
            state: "guarded".to_owned(),
            why: "pinned".to_owned(),
            unguarded_ms: None,
        });
        let interfaces: Vec<InterfaceLine> = interfaces.collect();
        let link = |line: &InterfaceLine| Link {
            index: line.index,
            name: line.name.clone(),
            ..Link::default()
        };
        let history = History::read_only(&settings.paths.state)?;
        let open = |_: &Settings| anyhow::bail!("the tables are only read here");
        let mut agent = Self::beside(settings, Box::new(open), history);
        agent.links = interfaces.iter().map(link).collect();
        agent.interfaces = interfaces;
        agent.plane = Some(plane);
        agent.recall();
        agent.look_around();
        Ok(agent)
    }

    /// Makes of what [`Self::reading`] gave one that may change it, beside no agent: it keeps to what the pins
    /// guard, and to `--monitor` if that is how they were filled.
    pub fn take_over(&mut self, links: Vec<Link>) -> anyhow::Result<()> {
        let monitors = |flags: u32| flags & GENERATION_MONITOR != 0;
        let held = self.plane()?.in_force()?.is_some_and(|held| held.monitor);
        let own = self.current.as_ref().map(|now| now.compiled.head.flags);
        self.settings.monitor = held && !own.is_some_and(monitors);
        let guarded = self.interfaces.iter().map(|line| line.name.clone());
        self.settings.only = guarded.collect();
        self.links = links;
        self.restore()
    }

    /// The tables, opened again where a detach let them go.
    pub fn plane(&mut self) -> anyhow::Result<&mut Box<dyn Plane>> {
        if self.plane.is_none() {
            let mut plane = (self.open)(&self.settings)?;
            let config = &self.settings.config;
            plane.set_host(&config.sessions, &config.failsafe)?;
            plane.set_locals(&self.locals, &config.own_address_from)?;
            if let Some(ways) = &self.ways {
                plane.set_ways(&ways.feasible, ways.several)?;
            }
            self.plane = Some(plane);
            self.sets.forget();
            self.open_eyes();
        }
        self.plane.as_mut().context("the data plane is not open")
    }

    /// The policy in force, unless enforcement was ended by `ringwall detach`.
    #[must_use]
    pub fn in_force(&self) -> Option<&Current> {
        self.current.as_ref().filter(|_| self.plane.is_some())
    }

    /// The addresses that are delivered here.
    #[must_use]
    pub fn locals(&self) -> &[Local] {
        &self.locals
    }

    /// Addresses changed.
    pub fn set_locals(&mut self, locals: Vec<Local>) {
        if locals == self.locals {
            return;
        }
        self.locals = locals;
        self.tell_locals();
    }

    fn tell_locals(&mut self) {
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let told = plane.set_locals(&self.locals, &self.settings.config.own_address_from);
        self.note("addresses", told.err().map(|e| format!("{e:#}")));
    }

    /// The networks on links changed: zones that stand for them follow, and live sessions are judged anew.
    pub fn set_connected(&mut self, connected: Connected) {
        if connected == self.settings.connected {
            return;
        }
        self.settings.connected = connected;
        self.follow_links();
    }

    /// Puts the policy into the tables anew where it stands for networks on links, and those are others now.
    pub(super) fn follow_links(&mut self) {
        let told = self.refresh();
        let failed = |e| format!("zones do not follow the networks on their links: {e:#}");
        self.note("connected", told.err().map(failed));
    }

    /// Notes what somebody should look at, or that it is well again.
    pub fn note(&mut self, subject: &str, warning: Option<String>) {
        match warning {
            Some(text) => {
                if self.warnings.get(subject) != Some(&text) {
                    tracing::warn!("{text}");
                }
                self.warnings.insert(subject.to_owned(), text);
            }
            None => {
                self.warnings.remove(subject);
            }
        }
    }

    /// Sessions that are over leave the tables.
    pub fn sweep(&mut self) {
        if self.plane.is_none() {
            return;
        }
        self.in_its_time(Self::sweep_sessions);
        self.sweep_sets();
        self.follow_clock();
        self.let_text_go(Instant::now());
    }

    fn sweep_sessions(&mut self) {
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let swept = plane.expire();
        if let Ok(swept) = &swept {
            self.look_at(swept);
            self.keep_alive(&swept.waning);
        }
        let failed = |e| format!("sessions that are over cannot be removed: {e:#}");
        self.note("sweep", swept.err().map(failed));
    }

    /// The command line or the agent file were read again.
    pub fn reread(&mut self, config: AgentConfig) {
        self.settings.config = config;
        let config = self.settings.config.clone();
        if let Some(plane) = self.plane.as_mut() {
            let told = plane.set_host(&config.sessions, &config.failsafe);
            self.note("settings", told.err().map(|e| format!("{e:#}")));
        }
        self.tell_locals();
        self.tell_file();
        let links = self.links.clone();
        self.reconcile(links);
    }

    /// It has started, or read its file again: those settings are kept, or it is said why they are not the file's.
    pub fn goes_by(&mut self, given: Given) {
        let kept = given.keep(&self.settings.paths);
        let failed = |e| format!("the last good copy of the agent file cannot be kept: {e}");
        self.note("agent-file", given.trouble.or(kept.err().map(failed)));
    }

    /// Ends enforcement: links and maps unpinned.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        self.plane()?;
        // Where it fails the pins are still there, and the next look opens them again.
        if let Some(plane) = self.plane.take() {
            self.close_eyes();
            plane.detach_all()?;
        }
        if let Some(record) = self.history.pending().cloned() {
            let why = "enforcement was ended before it was confirmed";
            let noted = self.history.reverted(record.id, why);
            self.note_history(noted);
            self.current = self.fallback.take();
        }
        let links = self.links.clone();
        self.reconcile(links);
        // They are about what was enforced; who looks at the files from now on says what is still so.
        for subject in OF_ENFORCEMENT {
            self.note(subject, None);
        }
        let text = "enforcement was ended by `ringwall detach`: nothing is filtered until the next `ringwall apply` or start of the agent";
        self.note("detached", Some(text.to_owned()));
        Ok(())
    }
}
