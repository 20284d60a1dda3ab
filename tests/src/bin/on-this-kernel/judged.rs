//! Is traffic judged on a device: what the rules allow comes through, the rest does not, and each opening
//! is counted once?

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::{Host, Netns, wait_until};
use ringwall_tests::scenario::{Door, PATIENCE, SHORT, metric};
use serde_json::Value;

/// Zones by nothing but the default one: every device is treated alike.
pub(crate) fn policy(revision: u64, rules: &str) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: devices, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: deny}}
zones:
  internet: {{default: true}}
policies:
  - name: in
    from: any
    to: host
    rules:
{rules}      - {{name: web, action: allow, services: [tcp/443], reason: a test, owner: tests}}
"
    )
}

/// A device's line in `ringwall status`, once it is in the state.
pub(crate) fn wait_for(host: &Host, name: &str, state: &str) -> Result<Value> {
    let line = || {
        let status = host.json(&["status"]).ok()?;
        let lines = status["interfaces"].as_array()?.clone();
        lines.into_iter().find(|l| l["name"] == name)
    };
    let there = wait_until(PATIENCE, || line().filter(|l| l["state"] == state));
    there.with_context(|| format!("{name} should be {state}: {:?}", line()))
}

/// `guarded (tcx): a vlan device`.
pub(crate) fn words(line: &Value) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
    format!("{} ({}): {}", text("state"), text("hook"), text("why"))
}

/// Knocks at an allowed and at a denied port of each address.
pub(crate) fn judges(host: &Host, peer: &Netns, addresses: &[IpAddr]) -> Result<()> {
    let _server = Echo::tcp(&host.ns, ([0_u16; 8], 443).into())?;
    let doors = (Door::tcp(&host.ns, 22)?, Door::udp(&host.ns, 161)?);
    let before = openings(host, "web")?;
    for address in addresses {
        let at = |port| SocketAddr::new(*address, port);
        let seen = sock::tcp(peer, at(443), PATIENCE);
        ensure!(seen == Seen::Answered, "allowed, {}: {seen}", at(443));
        let seen = sock::tcp(peer, at(22), SHORT);
        ensure!(seen == Seen::Silence, "denied, {}: {seen}", at(22));
        let seen = sock::udp(peer, at(161), SHORT);
        ensure!(seen == Seen::Silence, "denied, {} (UDP): {seen}", at(161));
    }
    let entered = doors.0.entered() + doors.1.entered();
    ensure!(entered == 0, "{entered} denied ones got through");
    let opened = openings(host, "web")? - before;
    ensure!(
        opened == addresses.len() as f64,
        "in/web counted {opened} openings of {}",
        addresses.len()
    );
    Ok(())
}

/// Packets that a rule of policy `in` decided.
pub(crate) fn openings(host: &Host, rule: &str) -> Result<f64> {
    let label = format!("rule=\"{rule}\"");
    Ok(metric(
        &host.metrics()?,
        "ringwall_rule_packets_total",
        &[&label],
    ))
}
