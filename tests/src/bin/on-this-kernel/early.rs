//! Arriving packets judged at XDP, in the driver and in the stack.

use anyhow::{Result, ensure};
use ringwall_tests::net::sock::{self, Seen};
use ringwall_tests::net::xdp::PassAll;
use ringwall_tests::scenario::{PATIENCE, Scene, at_wan, policy};

use crate::judged::{judges, wait_for, words};
use crate::report::Report;
use crate::traffic::rules;

pub(crate) fn check(report: &mut Report) {
    report.check("xdp", || at("xdp", "native"));
    report.check("xdp-generic", || at("xdp-generic", "generic"));
}

fn at(hook: &str, mode: &str) -> Result<String> {
    let scene = Scene::configured(&format!("hook: {hook}\n"))?;
    scene.put(&policy(1, &rules()))?;
    // Without it a veth loses the answers of the near end's driver.
    let _far = PassAll::attach(&scene.lab.stranger)?;
    let line = wait_for(&scene.host, "wan0", "guarded")?;
    ensure!(line["hook"] == "xdp" && line["mode"] == mode, "{line}");
    let own = [false, true].map(|v6| at_wan(v6, 0).ip());
    judges(&scene.host, scene.stranger(), &own)?;
    for v6 in [false, true] {
        let seen = sock::tcp(scene.stranger(), at_wan(v6, 113), PATIENCE);
        ensure!(seen == Seen::Refused, "113, v6 {v6}: {seen}");
    }
    Ok(words(&line))
}
