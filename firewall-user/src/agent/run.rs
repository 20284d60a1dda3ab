//! The agent in the foreground: start, serve, end without letting go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch as flag};

use super::config::AgentConfig;
use super::last_good::{self, Given};
use super::net::{self, Changed};
use super::owner::Owner;
use super::paths::Paths;
use super::state::{Agent, Opener, Settings};
use super::{announce, lock, notify, watch, ways};
use crate::api::types::{Problem, exit};
use crate::policy::hosts::Connected;
use crate::{api, heap, metrics};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--policy`.
    pub policy: Option<PathBuf>,
    /// `--interface`.
    pub interfaces: Vec<String>,
    /// `--monitor`.
    pub monitor: bool,
}

/// How often the hooks are looked at: somebody may have taken our programs off, or put others there.
const HOOKS: Duration = Duration::from_secs(2);

/// How often sessions that are over leave the tables.
const SWEEP: Duration = Duration::from_secs(1);

/// Runs the agent until it is told to end; what is pinned goes on enforcing.
///
/// # Errors
/// It could not start, or had to give up.
pub fn run(paths: Paths, options: Options, open: Opener) -> Result<(), Problem> {
    // Who waits for a word from the agent is a service manager, and nobody's terminal.
    let given = last_good::read(&paths, notify::is_awaited());
    let given = given.map_err(|refusal| Problem::from(&refusal))?;
    let settings = settings(paths, options, given.config.clone());
    if !rustix::process::geteuid().is_root() {
        let text = "the agent must be root: it loads programs into the kernel";
        return Err(Problem::new(exit::PERMISSION, text));
    }
    heap::share();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Problem::new(exit::NO, format!("no event loop: {e}")))?;
    let ended = runtime.block_on(agent(settings, given, open));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended.map_err(|error| Problem::new(exit::NO, format!("{error:#}")))
}

fn settings(paths: Paths, options: Options, config: AgentConfig) -> Settings {
    let named = options.policy.or_else(|| config.policy.path.clone());
    let policy = named.clone().unwrap_or_else(|| paths.default_policy());
    let policy = std::path::absolute(&policy).unwrap_or(policy);
    Settings {
        policy,
        policy_named: named.is_some(),
        connected: Connected::new(),
        only: options.interfaces,
        monitor: options.monitor,
        paths,
        config,
    }
}

async fn agent(settings: Settings, given: Given, open: Opener) -> anyhow::Result<()> {
    let _locks = lock::take(&settings.paths)?;
    // Listen to changes before looking, so that none falls in between.
    let changes = net::watch()?;
    let socket = api::bind(&settings.paths.socket)?;
    let state = tokio::task::spawn_blocking(move || Agent::new(settings, open));
    let state = state.await.context("the agent could not start")??;
    let hub = Arc::clone(&state.eyes.hub);
    let (owner, mut gone) = Owner::start(state)?;
    begin(&owner).await?;
    owner.with(move |agent| agent.goes_by(given)).await?;
    heap::used();

    let app = api::App {
        owner: owner.clone(),
        changed: Arc::new(Notify::new()),
    };
    let again = Arc::new(Notify::new());
    let (stop, stopped) = flag::channel(false);
    let when = |mut stopped: flag::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let control = tokio::spawn(api::serve(socket, app.clone(), when(stopped.clone())));
    tokio::spawn(metrics::serve(owner.clone(), move || when(stopped.clone())));
    tokio::spawn(watch::watch(
        owner.clone(),
        app.changed.clone(),
        again.clone(),
    ));
    tokio::spawn(follow(owner.clone(), changes));
    tokio::spawn(ways::follow(owner.clone()));
    tokio::spawn(hooks(owner.clone()));
    tokio::spawn(sweep(owner.clone(), app.changed.clone()));
    tokio::spawn(announce::when_ready(owner.clone()));

    let ended = tokio::select! {
        ended = signals(&owner, &again) => ended,
        _ = &mut gone => Err(anyhow::anyhow!("the thread that owns the tables ended; what is pinned goes on enforcing")),
    };
    notify::tell("STOPPING=1");
    let _ = stop.send(true);
    // Who follows records would keep the socket open for ever.
    hub.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), control).await;
    ended
}

/// What was in force is in force again before anything else; then addresses, then interfaces.
async fn begin(owner: &Owner) -> anyhow::Result<()> {
    let locals = net::locals().await?;
    let links = net::links().await?;
    let connected = net::connected(&links).await?;
    let seen = links.clone();
    owner.with(move |agent| agent.links = seen).await?;
    ways::try_to_look(owner).await?;
    owner
        .with(move |agent| {
            agent.settings.connected = connected;
            agent.set_locals(locals);
            agent.restore()?;
            agent.begin_sets();
            agent.take_over_earlier()?;
            agent.reconcile(links);
            // Packets are judged; what is only for people may take its time now.
            agent.read_text();
            agent.number_lists();
            Ok(())
        })
        .await?
}

/// Links and addresses as they change.
async fn follow(owner: Owner, mut changes: mpsc::Receiver<Changed>) {
    while let Some(changed) = changes.recv().await {
        if let Err(error) = look_again(&owner, changed).await {
            tracing::warn!("a change of interfaces or addresses was not followed: {error:#}");
        }
    }
    tracing::error!("changes of interfaces and addresses are no longer told: restart the agent");
}

async fn look_again(owner: &Owner, changed: Changed) -> anyhow::Result<()> {
    if changed.routes {
        owner.with(|agent| agent.ways_again.notify_one()).await?;
    }
    if !changed.links && !changed.locals {
        return Ok(());
    }
    let links = net::links().await?;
    if changed.links {
        // Before all else: packets may come by a new interface already.
        let seen = links.clone();
        owner.with(move |agent| agent.seen(seen, changed)).await?;
    }
    if changed.locals {
        let locals = net::locals().await?;
        owner.with(move |agent| agent.set_locals(locals)).await?;
    }
    // After the links: an interface is of its class before its networks are in a zone.
    let connected = net::connected(&links).await?;
    owner
        .with(move |agent| agent.set_connected(connected))
        .await?;
    Ok(())
}

async fn hooks(owner: Owner) {
    let mut ticks = tokio::time::interval(HOOKS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if owner.with(Agent::watch_hooks).await.is_err() {
            return;
        }
    }
}

/// Expiry, and with it the sign of life: an owner that hangs is one that systemd restarts.
async fn sweep(owner: Owner, changed: Arc<Notify>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let swept = owner.with(|agent| {
            agent.sweep();
            agent.tend()
        });
        match swept.await {
            Ok(true) => changed.notify_one(),
            Ok(false) => {}
            Err(_) => return,
        }
        notify::tell("WATCHDOG=1");
        heap::tidy();
    }
}

async fn signals(owner: &Owner, again: &Notify) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reread(owner, again).await?,
        }
    }
    let pinned = owner.with(|agent| agent.plane.is_some()).await?;
    tracing::info!(
        "the agent ends; {}",
        if pinned {
            "what is pinned goes on enforcing (`ringwall detach` ends that)"
        } else {
            "nothing is pinned or enforced, since `ringwall detach`"
        }
    );
    Ok(())
}

async fn reread(owner: &Owner, again: &Notify) -> anyhow::Result<()> {
    let paths = owner.with(|agent| agent.settings.paths.clone()).await?;
    let path = paths.config.clone();
    match last_good::read(&paths, false) {
        Ok(given) => {
            owner
                .with(move |agent| {
                    agent.reread(given.config.clone());
                    agent.goes_by(given);
                    let told = agent.refresh();
                    agent.note("reread", told.err().map(|e| format!("{e:#}")));
                })
                .await?;
            tracing::info!("read {} again", path.display());
        }
        Err(refusal) => {
            let text = format!(
                "{} is refused, and the old settings stay:\n{refusal}",
                path.display()
            );
            owner
                .with(move |agent| agent.note("reread", Some(text)))
                .await?;
        }
    }
    again.notify_one();
    Ok(())
}
