//! A rule is withdrawn while bytes flow under it: its traffic stops, and no other.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Effort, Figure};
use crate::net::sock::{Echo, Seen, connect, exchange};
use crate::net::wait_until;
use crate::scenario::{PATIENCE, Scene, Traced, allow, at_wan, policy};

/// The promise.
const PROMISE: Duration = Duration::from_millis(50);
/// What the tests ask for: they run beside others, on machines that do other things too.
const AT_ONCE: Duration = Duration::from_millis(500);

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let goal = effort.pick(PROMISE, AT_ONCE);
    let mut figures = Vec::new();
    for v6 in [false, true] {
        let (mut worst, mut others) = (Duration::ZERO, 0);
        for _ in 0..effort.pick(10, 1) {
            let (late, kept) = once(v6)?;
            worst = worst.max(late);
            others += u32::from(!kept);
        }
        let version = if v6 { "IPv6" } else { "IPv4" };
        let what = format!("{version}: last bytes after `apply` returned, ms");
        figures.push(Figure::at_most(what, goal.as_millis(), worst.as_millis()));
        let what = format!("{version}: sessions of other rules that broke");
        figures.push(Figure::exactly(what, 0, others));
    }
    Ok(figures)
}

/// How long after `apply` returned bytes still arrived, and whether the other session goes on.
fn once(v6: bool) -> Result<(Duration, bool)> {
    let (web, api) = (allow("web", "tcp/443"), allow("api", "tcp/8443"));
    let scene = Scene::guarded(&[web.clone(), api])?;
    let _web = Echo::tcp(scene.lab.host(), at_wan(v6, 443))?;
    let mut other = keep(&scene, v6)?;
    let traced = Traced::start(both_ends(&scene, v6, 8443)?)?;
    let begin = Instant::now();
    let flows = wait_until(PATIENCE, || (traced.last_arrival() > begin).then_some(()));
    flows.context("no traffic to cut")?;

    let applied = scene.host.apply_with(&policy(2, &[web]), &["-o", "json"])?;
    let returned = Instant::now();
    let cut = applied.json()?["sessions_cut"].clone();
    ensure!(applied.ok() && cut == 1, "{applied:?}");
    std::thread::sleep(2 * AT_ONCE);
    let late = traced.last_arrival().saturating_duration_since(returned);
    Ok((late, exchange(&mut other, PATIENCE) == Seen::Answered))
}

fn keep(scene: &Scene, v6: bool) -> Result<TcpStream> {
    let stream = connect(scene.stranger(), at_wan(v6, 443), PATIENCE);
    let mut stream = stream.ok().context("no connection to keep")?;
    let seen = exchange(&mut stream, PATIENCE);
    ensure!(seen == Seen::Answered, "the session to keep: {seen}");
    Ok(stream)
}

/// A connection from the stranger to a port of the host, both of its ends.
fn both_ends(scene: &Scene, v6: bool, port: u16) -> Result<[TcpStream; 2]> {
    let at = at_wan(v6, port);
    let listener = scene.lab.host().run(|| std::net::TcpListener::bind(at))?;
    let client = connect(scene.stranger(), at, PATIENCE);
    let client = client.ok().context("no connection to cut")?;
    Ok([client, listener.accept()?.0])
}
