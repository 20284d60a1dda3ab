//! The watched policy and the list files: a change is taken once the tree has been quiet for a second.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};

use super::candidate::Errand;
use super::history::{How, Who};
use super::owner::{Gone, Owner};
use super::revision::{Allow, Identity};
use super::submit;
use super::unread::Unread;
use crate::api::types::Problem;
use crate::policy::{self, Checked, source};

/// Nothing is taken while the tree is still changing.
const QUIET: Duration = Duration::from_secs(1);
/// A directory that is not there yet is looked for again.
const RETRY: Duration = Duration::from_secs(5);

/// Device and inode: a directory that was replaced has others.
type Identification = (u64, u64);

/// Tells that files changed, by directories: editors and config maps rename.
struct Tree {
    watcher: RecommendedWatcher,
    /// Directories by path, with what they were when the watch began.
    watched: BTreeMap<PathBuf, Identification>,
    events: mpsc::Receiver<()>,
}

impl Tree {
    fn new() -> notify::Result<Self> {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change, or our own reading would wake us for ever.
            let read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !read {
                // One waiting word is enough.
                let _ = sender.try_send(());
            }
        })?;
        let watched = BTreeMap::new();
        Ok(Self {
            watcher,
            watched,
            events,
        })
    }

    /// Watches these directories and no others. Says whether a watch is new, so that what changed before it
    /// is looked at.
    fn set(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let mut before = std::mem::take(&mut self.watched);
        let mut fresh = false;
        for directory in wanted {
            let Ok(meta) = std::fs::metadata(directory) else {
                continue;
            };
            let now = (meta.dev(), meta.ino());
            let kept = before.get(directory) == Some(&now);
            if kept {
                before.remove(directory);
            } else {
                let _ = self.watcher.unwatch(directory);
                let begun = self.watcher.watch(directory, RecursiveMode::NonRecursive);
                if begun.is_err() {
                    continue;
                }
                fresh = true;
            }
            self.watched.insert(directory.clone(), now);
        }
        for gone in before.keys().filter(|path| !wanted.contains(*path)) {
            let _ = self.watcher.unwatch(gone);
        }
        fresh
    }

    /// Waits for a change, and then until there was none for a while.
    async fn quiet(&mut self) {
        if self.events.recv().await.is_none() {
            return std::future::pending().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.events.recv()).await {}
    }
}

/// What the watcher last made up its mind about, so that the same is not said twice.
#[derive(Default)]
struct Seen {
    digest: Option<String>,
    /// A policy waits to be confirmed, and nothing else may come until then.
    waiting: bool,
}

/// Watches for as long as the agent lives. `changed` says that another policy is in force, `again` that
/// everything is to be looked at again (SIGHUP).
pub async fn watch(owner: Owner, changed: Arc<Notify>, again: Arc<Notify>) -> Result<(), Gone> {
    let mut tree = match Tree::new() {
        Ok(tree) => tree,
        Err(error) => {
            let text = format!("files are not watched: {error}; use SIGHUP");
            owner
                .with(move |agent| agent.note("watch", Some(text)))
                .await?;
            loop {
                again.notified().await;
                look(&owner, &mut Seen::default()).await?;
            }
        }
    };
    let mut seen = Seen::default();
    look(&owner, &mut seen).await?;
    loop {
        let wanted = directories(&owner).await?;
        if tree.set(&wanted) {
            look(&owner, &mut seen).await?;
            continue;
        }
        let complete = tree.watched.len() == wanted.len();
        tokio::select! {
            () = tree.quiet() => look(&owner, &mut seen).await?,
            () = changed.notified() => owner.with(|agent| agent.reload_lists()).await?,
            () = again.notified() => {
                seen = Seen::default();
                look(&owner, &mut seen).await?;
            }
            () = tokio::time::sleep(RETRY), if seen.waiting => look(&owner, &mut seen).await?,
            () = tokio::time::sleep(RETRY), if !complete => {}
        }
    }
}

async fn directories(owner: &Owner) -> Result<BTreeSet<PathBuf>, Gone> {
    let told = |agent: &mut super::state::Agent| {
        let config = &agent.settings.config.policy;
        let policy = config.watch.then(|| agent.settings.policy.clone());
        (policy, agent.list_files())
    };
    let (policy, lists) = owner.with(told).await?;
    let parent = |path: &Path| path.parent().map(Path::to_owned);
    let mut wanted: BTreeSet<PathBuf> = lists.iter().filter_map(|p| parent(p)).collect();
    if let Some(policy) = policy {
        wanted.extend(parent(&policy));
        if policy.is_dir() {
            wanted.insert(policy);
        }
    }
    Ok(wanted)
}

/// Looks at the watched policy, then at the list files of what is in force.
async fn look(owner: &Owner, seen: &mut Seen) -> Result<(), Gone> {
    let told = |agent: &mut super::state::Agent| {
        let settings = &agent.settings;
        let watch = settings.config.policy.watch;
        (watch, settings.policy.clone(), settings.policy_named)
    };
    let (watch, path, named) = owner.with(told).await?;
    if watch {
        // At the start, and where a watch is new, no event tells of the change before.
        while let Some(left) = unquiet(&path) {
            tokio::time::sleep(left).await;
        }
        policy_at(owner, &path, named, seen).await?;
    }
    owner.with(|agent| agent.reload_lists()).await
}

/// How long until the path, and the files in it where it is a directory, have been quiet for long enough.
fn unquiet(path: &Path) -> Option<Duration> {
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    let paths = inside.map(|entry| entry.path()).chain([path.to_owned()]);
    let times = paths.filter_map(|path| std::fs::metadata(path).ok());
    let times = times.map(|meta| (meta.ctime(), meta.ctime_nsec()));
    let (seconds, nanos) = times.max()?;
    let changed = jiff::Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()?;
    // A change in the future is a clock's fault, and not waited for.
    let ago = Duration::try_from(super::clock::wall().duration_since(changed)).ok()?;
    QUIET.checked_sub(ago).filter(|left| !left.is_zero())
}

/// What is to be said of the watched policy; `Ok(None)`: all is well.
type Verdict = Result<Option<String>, Problem>;

async fn policy_at(owner: &Owner, path: &Path, named: bool, seen: &mut Seen) -> Result<(), Gone> {
    if !path.exists() {
        let text = named.then(|| format!("the watched policy {} is not there", path.display()));
        return owner.with(move |agent| agent.note("policy", text)).await;
    }
    let said = match consider(owner, path, seen).await {
        Ok(None) => None,
        Ok(Some(text)) => Some(text),
        Err(problem) => {
            let enforces = owner.with(|agent| agent.plane.is_some()).await?;
            let stays = if enforces {
                ", and what is in force stays"
            } else {
                ""
            };
            let (path, why) = (path.display(), problem.brief());
            Some(format!(
                "the watched policy {path} is refused{stays}: {why}"
            ))
        }
    };
    owner.with(move |agent| agent.note("policy", said)).await
}

async fn consider(owner: &Owner, path: &Path, seen: &mut Seen) -> Verdict {
    let before = seen.digest.take();
    seen.waiting = owner
        .with(|agent| agent.history.pending().is_some())
        .await?;
    if seen.waiting {
        let text = "the watched policy waits: what is in force is to be confirmed first, see `ringwall status`";
        return Ok(Some(text.to_owned()));
    }
    source::trusted(path).map_err(|fault| Problem::from(&fault.into()))?;
    let read = source::read(path).map_err(|refusal| Problem::from(&refusal))?;
    let digest = read.digest.clone();
    let unread = Unread::of(path, &read);
    let same = before.as_ref() == Some(&digest);
    seen.digest = Some(digest);
    if same {
        let said = owner
            .with(|agent| agent.warnings.get("policy").cloned())
            .await?;
        return Ok(said);
    }
    let host = owner.with(|agent| agent.settings.host()).await?;
    let directory = read.directory;
    let files = read.into_bytes();
    let parsed = submit::beside(move || policy::read_sources(files, directory, &host)).await?;
    let checked = match parsed {
        Ok(checked) => checked,
        Err(refusal) => {
            let problem = Problem::from(&refusal);
            let why = problem.brief();
            owner
                .with(move |agent| agent.refuse_unread(unread, &why))
                .await?;
            return Err(problem);
        }
    };
    submit_risen(owner, path, checked).await
}

/// Only a revision that has risen is applied.
async fn submit_risen(owner: &Owner, path: &Path, checked: Checked) -> Verdict {
    let candidate = super::candidate::identity(&checked);
    let asked = candidate.clone();
    let (highest, in_force, detached) = owner
        .with(move |agent| {
            let highest = agent.history.highest(&asked.name).cloned();
            let in_force = agent.in_force().map(|c| c.identity.clone());
            (highest, in_force, agent.plane.is_none())
        })
        .await?;
    if in_force.as_ref() == Some(&candidate) {
        return Ok(None);
    }
    if detached {
        let text = "the watched policy waits: enforcement was ended by `ringwall detach`";
        return Ok(Some(text.to_owned()));
    }
    if let Some(highest) = highest
        && candidate.revision <= highest.revision
    {
        return Ok(Some(not_risen(path, &candidate, &highest)));
    }
    let errand = Errand {
        how: How::Watch,
        by: Who::agent(),
        source: path.display().to_string(),
        allow: Allow::default(),
        dry_run: false,
        within: None,
    };
    let reply = submit::checked_policy(owner, checked, errand).await?;
    for line in &reply.lines {
        tracing::info!("{line}");
    }
    Ok(None)
}

fn not_risen(path: &Path, candidate: &Identity, highest: &Identity) -> String {
    let path = path.display();
    if candidate == highest {
        return format!(
            "the watched policy {path} is revision {}, which was gone back from: it waits for a new revision",
            candidate.revision
        );
    }
    format!(
        "the watched policy {path} changed and its revision did not rise: it says {}, and {} was in force; raise it to have it applied",
        candidate.revision, highest.revision
    )
}
