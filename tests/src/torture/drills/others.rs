//! What others do to a host that is guarded: they clean up, unmount, and take interfaces away and bring them again.

use std::path::Path;

use anyhow::{Result, ensure};
use rustix::mount::{UnmountFlags, unmount};

use super::super::{Effort, Figure};
use super::{Drill, NOTICED, OPEN, held};
use crate::net::{Veth, wait_until};
use crate::scenario::Scene;

/// Somebody removes the qdisc that our programs are in, and every nftables table.
pub(super) fn cleaned_up() -> Result<Vec<Figure>> {
    let mut drill = Drill::begin(&[("RINGWALL_TEST_CLSACT", "1")], |_| Ok(()))?;
    let host = drill.scene.lab.host();
    let flushed = host.exec("nft", &["flush", "ruleset"])?;
    ensure!(flushed.ok(), "nft: {}", flushed.err);
    let unmoved = drill.holds() && drill.counts()?;
    let removed = drill
        .scene
        .lab
        .host()
        .exec("tc", &["qdisc", "del", "dev", "wan0", "clsact"])?;
    ensure!(removed.ok(), "tc: {}", removed.err);
    let told = wait_until(NOTICED, || {
        told(&drill.scene, "took Ringwall's programs off")
    });
    Ok(vec![
        held(
            "nftables flushed: policy, sessions and counters stay",
            unmoved,
        ),
        held("our qdisc removed: put back and told", told.is_some()),
        held(
            "our qdisc removed: policy, sessions and counters hold again",
            drill.holds() && drill.counts()?,
        ),
    ])
}

fn told(scene: &Scene, words: &str) -> Option<()> {
    let warnings = scene.status().ok()?["warnings"].to_string();
    warnings.contains(words).then_some(())
}

/// The interface that live sessions go by is deleted, and comes again under its name.
pub(super) fn interface_returns() -> Result<Vec<Figure>> {
    let mut drill = Drill::begin(&[], |_| Ok(()))?;
    let (host, stranger) = (
        drill.scene.lab.host().clone(),
        drill.scene.stranger().clone(),
    );
    host.ip("link del wan0\n")?;
    let is = |state: bool| {
        let scene = &drill.scene;
        wait_until(NOTICED, || (guards(scene, "wan0")? == state).then_some(()))
    };
    let gone = is(false).is_some();
    let here = (&host, "wan0", &["203.0.113.1/24", "2001:db8::1/64"][..]);
    let there = (&stranger, "eth0", &["203.0.113.9/24", "2001:db8::9/64"][..]);
    Veth::between(here, there).create()?;
    let back = is(true).is_some();
    // Its addresses are this host's once the agent has heard of them.
    let open = wait_until(NOTICED, || (drill.scene.knock(443) == OPEN).then_some(()));
    Ok(vec![
        held("interface deleted: told", gone),
        held("interface returned: guarded again", back && open.is_some()),
        held(
            "interface returned: policy and sessions hold",
            drill.holds(),
        ),
        held("interface returned: counters are right", drill.counts()?),
        held(
            "interface returned: the next apply holds",
            drill.apply(2)?.ok() && drill.in_force(2)?,
        ),
    ])
}

/// Is an interface guarded, by what `status` says?
fn guards(scene: &Scene, name: &str) -> Option<bool> {
    let status = scene.status().ok()?;
    let mut lines = status["interfaces"].as_array()?.iter();
    Some(lines.any(|line| line["name"] == name && line["state"] == "guarded"))
}

/// Takes pins away.
type Lose = fn(&Path) -> Result<()>;

/// The BPF file system is unmounted, or the pins are removed from it. The agent holds what was pinned, so packets do not
/// notice; and it pins it again, so that packets do not notice either when the agent goes.
pub(super) fn pins_gone(effort: &Effort) -> Result<Vec<Figure>> {
    let unmounted = |bpf: &Path| Ok(unmount(bpf, UnmountFlags::DETACH)?);
    let removed = |bpf: &Path| -> Result<()> {
        for entry in std::fs::read_dir(bpf)?.flatten() {
            // The kernel's own files are none of these.
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    let ways: [(&str, Lose); 2] = [("bpffs unmounted", unmounted), ("pins removed", removed)];
    let mut all = Vec::new();
    for (what, lose) in &ways[..effort.pick(2, 1)] {
        let mut drill = Drill::begin(&[], |_| Ok(()))?;
        lose(&drill.scene.host.dir.bpf())?;
        let at_once = drill.holds();
        let told = wait_until(NOTICED, || told(&drill.scene, "the pins were put back"));
        let stays = drill.holds() && drill.in_force(1)? && drill.counts()?;
        drill.scene.host.kill9();
        let alone = drill.holds();
        drill.scene.host.restart()?;
        let again = drill.holds() && drill.in_force(1)? && drill.counts()?;
        let next = drill.apply(2)?.ok() && drill.in_force(2)? && drill.holds();
        all.extend(
            [
                (": policy and sessions stay all the time", at_once),
                (": the pins are put back, and it is told", told.is_some()),
                (": policy, sessions and counters stay", stays),
                (
                    ": policy and sessions hold when the agent is killed then",
                    alone,
                ),
                (": so they do, and the counters, after its start", again),
                (": the next apply holds", next),
            ]
            .map(|(more, is)| held(&format!("{what}{more}"), is)),
        );
    }
    Ok(all)
}

/// The BPF file system goes while there is no agent, and with it every pin: nobody holds anything then, and nothing is
/// enforced. An agent that starts makes everything anew by the policy that was in force.
pub(super) fn no_bpffs_and_no_agent() -> Result<Vec<Figure>> {
    let mut drill = Drill::begin(&[], |_| Ok(()))?;
    drill.scene.reboot(22);
    drill.scene.host.restart()?;
    let back = drill.judges() && drill.in_force(1)?;
    Ok(vec![held(
        "bpffs unmounted without an agent: a start brings the policy back",
        back,
    )])
}
