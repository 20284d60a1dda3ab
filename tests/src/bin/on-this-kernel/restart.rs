//! The agent is killed and comes back: what is denied stays denied, sessions live on.

use anyhow::{Result, anyhow, ensure};
use ringwall_tests::net::sock::{Echo, Seen, connect, exchange};
use ringwall_tests::scenario::{PATIENCE, Scene, at_wan};

use crate::report::Report;
use crate::traffic::rules;

pub(crate) fn check(report: &mut Report) {
    report.check("kill -9 and restart", killed);
}

fn killed() -> Result<String> {
    let mut scene = Scene::guarded(&rules())?;
    let any = |port| ([0_u16; 8], port).into();
    let host = scene.lab.host().clone();
    let _servers = [Echo::tcp(&host, any(443))?, Echo::tcp(&host, any(22))?];
    let mut sessions = Vec::new();
    for v6 in [false, true] {
        let session = connect(scene.stranger(), at_wan(v6, 443), PATIENCE);
        sessions.push(session.map_err(|seen| anyhow!("443, v6 {v6}: {seen}"))?);
    }
    let mut held = |scene: &Scene, when: &str| -> Result<()> {
        let seen = scene.knock(22);
        ensure!(
            seen == [Seen::Silence, Seen::Silence],
            "22, {when}: {seen:?}"
        );
        let seen = scene.knock(443);
        ensure!(
            seen == [Seen::Answered, Seen::Answered],
            "443, {when}: {seen:?}"
        );
        for session in &mut sessions {
            let seen = exchange(session, PATIENCE);
            ensure!(seen == Seen::Answered, "a session, {when}: {seen}");
        }
        Ok(())
    };
    held(&scene, "before")?;
    scene.host.kill9();
    held(&scene, "without an agent")?;
    scene.host.restart()?;
    ensure!(scene.revision()? == Some(1), "the revision is gone");
    held(&scene, "after")?;
    Ok("denied stays denied, allowed stays allowed, sessions live on".to_owned())
}
