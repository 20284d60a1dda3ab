//! Allowed and denied traffic, over both families: what the peer sees, and who got through.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use ringwall_tests::net::sock::{self, Echo, Seen, ping};
use ringwall_tests::scenario::{Door, PATIENCE, SHORT, Scene, allow, at_wan, metric, rule};

use crate::report::Report;

/// The rules that the checks count on.
pub(crate) fn rules() -> [String; 3] {
    [
        allow("web", "tcp/443, udp/443"),
        allow("ping", "ping"),
        rule("ident", "reject", "tcp/113"),
    ]
}

pub(crate) fn check(report: &mut Report) {
    let scene = match Scene::guarded(&rules()) {
        Ok(scene) => scene,
        Err(error) => return report.say("agent starts", Err(error)),
    };
    report.check("agent starts", || hooks(&scene));
    report.check("tcp", || tcp(&scene));
    report.check("udp", || udp(&scene));
    report.check("ping", || echo(&scene));
    report.check("reject", || reject(&scene));
    report.check("from the host", || outward(&scene));
    report.check("counters", || counters(&scene));
}

/// TCX where the kernel has it, clsact before.
fn hooks(scene: &Scene) -> Result<String> {
    let kernel = firewall_user::dataplane::features::check()?;
    let wanted = if kernel.tcx { "tcx" } else { "clsact" };
    let status = scene.status()?;
    let lines = status["interfaces"].as_array().cloned().unwrap_or_default();
    for name in ["lan0", "wan0"] {
        let line = lines.iter().find(|l| l["name"] == name);
        let guarded = line.is_some_and(|l| l["state"] == "guarded" && l["hook"] == wanted);
        ensure!(guarded, "{name} should be guarded by {wanted}: {line:?}");
    }
    Ok(format!("guards by {wanted}"))
}

fn tcp(scene: &Scene) -> Result<String> {
    let _server = Echo::tcp(scene.lab.host(), ([0_u16; 8], 443).into())?;
    let door = Door::tcp(scene.lab.host(), 22)?;
    for v6 in [false, true] {
        let seen = sock::tcp(scene.stranger(), at_wan(v6, 443), PATIENCE);
        ensure!(seen == Seen::Answered, "443, v6 {v6}: {seen}");
    }
    let seen = scene.knock(22);
    ensure!(seen == [Seen::Silence, Seen::Silence], "22: {seen:?}");
    ensure!(door.entered() == 0, "denied, and it got through");
    Ok("443 answers, 22 is silent and nobody came".to_owned())
}

fn udp(scene: &Scene) -> Result<String> {
    let _server = Echo::udp(scene.lab.host(), ([0_u16; 8], 443).into())?;
    let door = Door::udp(scene.lab.host(), 161)?;
    for v6 in [false, true] {
        let seen = sock::udp(scene.stranger(), at_wan(v6, 443), PATIENCE);
        ensure!(seen == Seen::Answered, "443, v6 {v6}: {seen}");
        let seen = sock::udp(scene.stranger(), at_wan(v6, 161), SHORT);
        ensure!(seen == Seen::Silence, "161, v6 {v6}: {seen}");
    }
    ensure!(door.entered() == 0, "denied, and it got through");
    Ok("443 answers, 161 is silent and nothing came".to_owned())
}

fn echo(scene: &Scene) -> Result<String> {
    for v6 in [false, true] {
        let seen = ping(scene.stranger(), at_wan(v6, 0).ip(), PATIENCE);
        ensure!(seen == Seen::Answered, "v6 {v6}: {seen}");
    }
    Ok("answered".to_owned())
}

fn reject(scene: &Scene) -> Result<String> {
    let seen = scene.knock(113);
    ensure!(seen == [Seen::Refused, Seen::Refused], "113: {seen:?}");
    Ok("113 is refused at once".to_owned())
}

fn outward(scene: &Scene) -> Result<String> {
    for ip in ["203.0.113.9", "2001:db8::9"] {
        let to = SocketAddr::new(ip.parse()?, 8080);
        let _server = Echo::tcp(scene.stranger(), to)?;
        let seen = sock::tcp(scene.lab.host(), to, PATIENCE);
        ensure!(seen == Seen::Answered, "{to}: {seen}");
    }
    Ok("answered".to_owned())
}

fn counters(scene: &Scene) -> Result<String> {
    let text = scene.host.metrics()?;
    let denied = metric(
        &text,
        "ringwall_dropped_packets_total",
        &["reason=\"default-deny\""],
    );
    let web = metric(&text, "ringwall_rule_packets_total", &["rule=\"web\""]);
    ensure!(web >= 4.0 && denied >= 4.0, "web {web}, denied {denied}");
    Ok(format!("{web} openings by in/web, {denied} packets denied"))
}
