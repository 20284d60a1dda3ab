//! The Debian package, installed, upgraded and removed for real: under systemd, on a throw-away copy of this
//! machine's files, with traffic going on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ringwall_tests::machine::{self, Machine};
use ringwall_tests::net::sock::{self, Echo, Seen, connect};
use ringwall_tests::net::{Lab, wait_until};
use ringwall_tests::scenario::{
    PATIENCE, Resent, SHORT, allow, at_lan, at_wan, policy, probe, talk,
};
use ringwall_tests::{need_root, package, skip};

const CLOSED: [Seen; 2] = [Seen::Silence, Seen::Silence];
const OPEN: [Seen; 2] = [Seen::Answered, Seen::Answered];
const AGENT_FILE: &str = "/etc/ringwall/agent.yaml";

struct World {
    machine: Machine,
    lab: Lab,
    _servers: [Echo; 2],
}

impl World {
    fn new() -> Self {
        let lab = Lab::quiet().unwrap();
        let serve = |port: u16| Echo::tcp(lab.host(), ([0_u16; 8], port).into()).unwrap();
        Self {
            machine: Machine::boot(lab.host()).unwrap(),
            _servers: [serve(22), serve(443)],
            lab,
        }
    }

    fn knock(&self, port: u16) -> [Seen; 2] {
        [false, true].map(|v6| sock::tcp(&self.lab.stranger.ns, at_wan(v6, port), SHORT))
    }

    fn status(&self) -> serde_json::Value {
        let ran = self
            .machine
            .run("ringwall", &["status", "-o", "json"])
            .unwrap();
        ran.json().unwrap()
    }

    fn guarded(&self) -> usize {
        let status = self.status();
        let lines = status["interfaces"].as_array().unwrap().iter();
        lines.filter(|line| line["state"] == "guarded").count()
    }

    /// Number and name of each pin: one that was replaced has another number.
    fn pins(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        collect(&self.machine.path("/sys/fs/bpf"), &mut found);
        found
    }
}

fn collect(directory: &Path, found: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A bpffs has two files of its own.
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), found);
        } else if !name.ends_with(".debug") {
            let kind = directory.file_name().unwrap().to_string_lossy();
            found.insert(format!("{kind}/{name}"), entry.metadata().unwrap().ino());
        }
    }
}

fn of<'a>(pins: &'a BTreeMap<String, u64>, kind: &str) -> Vec<(&'a str, u64)> {
    let all = pins.iter().filter(|(name, _)| name.starts_with(kind));
    all.map(|(name, number)| (name.as_str(), *number)).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_life_from_installation_to_removal() {
    need_root!();
    if let Some(why) = machine::missing().or_else(package::missing) {
        skip!("{why}");
    }
    let into = tempfile::tempdir().unwrap();
    let [old, new] =
        ["0.1.0-1", "0.1.1-1"].map(|version| package::build(version, into.path()).unwrap());
    let world = World::new();

    world.machine.install(&old).unwrap();
    it_runs_and_judges_nothing(&world);
    configure(&world);
    assert_eq!((world.knock(22), world.knock(443)), (CLOSED, OPEN));

    upgrade_with_traffic(&world, &new);
    neither_stopping_nor_a_crash_ends_enforcement(&world);
    a_boot_brings_back_what_was_confirmed(&world);
    removal_ends_enforcement(&world);
}

fn it_runs_and_judges_nothing(world: &World) {
    let machine = &world.machine;
    assert_eq!(
        machine.unit("ActiveState").unwrap(),
        "active",
        "{}",
        machine.journal()
    );
    assert_eq!(machine.unit("UnitFileState").unwrap(), "enabled");
    let status = world.status();
    assert_eq!(
        (&status["mode"], &status["enforcing"]),
        (&"no-policy".into(), &false.into())
    );
    assert_eq!((world.knock(22), world.knock(443)), (OPEN, OPEN));
    assert_eq!(mode(&machine.path("/var/lib/ringwall")), 0o700);
    assert_eq!(mode(&machine.path("/etc/ringwall")), 0o755);
    let socket = machine.path("/run/ringwall/ringwall.sock");
    assert_eq!(mode(&socket), 0o660);
    let group = machine.must("getent", &["group", "ringwall"]).unwrap();
    let gid = std::fs::metadata(&socket).unwrap().gid().to_string();
    assert_eq!(group.split(':').nth(2), Some(gid.as_str()));
    for page in ["ringwall", "ringwall-apply", "ringwall-policy-check"] {
        assert!(
            machine
                .path(&format!("/usr/share/man/man8/{page}.8.gz"))
                .exists()
        );
    }
    assert!(
        machine
            .path("/usr/share/bash-completion/completions/ringwall")
            .exists()
    );
}

/// The operator names the interfaces, reloads, and applies the first policy.
fn configure(world: &World) {
    let machine = &world.machine;
    assert_eq!(
        world.guarded(),
        0,
        "veth devices are not guarded unless named"
    );
    std::fs::write(
        machine.path(AGENT_FILE),
        "interfaces: {guard: [lan0, wan0]}\n",
    )
    .unwrap();
    machine.must("systemctl", &["reload", "ringwall"]).unwrap();
    let guarded = wait_until(PATIENCE, || (world.guarded() == 2).then_some(()));
    assert!(guarded.is_some(), "{}", machine.journal());
    assert_eq!(world.knock(22), OPEN, "still no policy");
    let text = policy(1, &[allow("web", "tcp/443")]);
    std::fs::write(machine.path("/etc/ringwall/policy.yaml"), text).unwrap();
    machine
        .must("ringwall", &["apply", "/etc/ringwall/policy.yaml"])
        .unwrap();
}

fn upgrade_with_traffic(world: &World, new: &Path) {
    let machine = &world.machine;
    let (before, pid) = (world.pins(), machine.unit("MainPID").unwrap());
    let resent = || Resent::read(&world.lab.trusted.ns).unwrap().syns;
    let lost = resent();
    let stream = connect(&world.lab.trusted.ns, at_lan(true, 443), PATIENCE).unwrap();
    let (talking, stranger) = (talk(stream), &world.lab.stranger.ns);
    let knocking = probe(
        stranger,
        vec![at_wan(false, 22), at_wan(true, 22)],
        Vec::new(),
    );
    machine.install(new).unwrap();
    let (talked, knocked) = (talking.finish(), knocking.finish());
    assert!(talked.error.is_none() && talked.bytes > 0, "{talked:?}");
    assert!(
        knocked.answered.is_empty() && knocked.sent > 0,
        "{knocked:?}"
    );
    assert_eq!(resent(), lost);

    assert_eq!(
        machine.unit("ActiveState").unwrap(),
        "active",
        "{}",
        machine.journal()
    );
    assert_ne!(
        machine.unit("MainPID").unwrap(),
        pid,
        "the agent is a new one"
    );
    let version = machine
        .must("dpkg-query", &["-W", "-f", "${Version}", "ringwall"])
        .unwrap();
    assert_eq!(version, "0.1.1-1");
    let after = world.pins();
    assert_eq!(
        of(&before, "links"),
        of(&after, "links"),
        "no link was ever let go"
    );
    assert_eq!(of(&before, "links").len(), 4);
    let (old, new) = (of(&before, "programs"), of(&after, "programs"));
    assert!(!old.is_empty());
    assert_eq!(old, new, "both hold the same programs, which are taken up");
    let kept = std::fs::read_to_string(machine.path(AGENT_FILE)).unwrap();
    assert!(kept.contains("lan0"), "the operator's settings stay");
}

fn neither_stopping_nor_a_crash_ends_enforcement(world: &World) {
    let machine = &world.machine;
    machine.must("systemctl", &["stop", "ringwall"]).unwrap();
    assert_eq!((world.knock(22), world.knock(443)), (CLOSED, OPEN));
    machine.must("systemctl", &["start", "ringwall"]).unwrap();
    let pid = machine.unit("MainPID").unwrap();
    machine.must("kill", &["-9", &pid]).unwrap();
    let back = || {
        let now = machine.unit("MainPID").ok()?;
        let active = machine.unit("ActiveState").ok()? == "active";
        (active && now != pid && now != "0").then_some(())
    };
    assert!(
        wait_until(2 * PATIENCE, back).is_some(),
        "{}",
        machine.journal()
    );
    assert_eq!((world.knock(22), world.knock(443)), (CLOSED, OPEN));
}

/// As after a reboot: nothing is pinned, and the state directory knows what was in force. The start is done
/// when it is in force again.
fn a_boot_brings_back_what_was_confirmed(world: &World) {
    let machine = &world.machine;
    machine.must("systemctl", &["stop", "ringwall"]).unwrap();
    machine.must("ringwall", &["detach"]).unwrap();
    assert_eq!(world.knock(22), OPEN);
    machine.must("systemctl", &["start", "ringwall"]).unwrap();
    assert_eq!((world.knock(22), world.knock(443)), (CLOSED, OPEN));
    let ordered = machine.unit("Before").unwrap();
    assert!(ordered.contains("network-pre.target"), "{ordered}");
}

fn removal_ends_enforcement(world: &World) {
    let machine = &world.machine;
    let stream = connect(&world.lab.trusted.ns, at_lan(false, 443), PATIENCE).unwrap();
    let talking = talk(stream);
    machine
        .must(
            "dpkg",
            &["--force-unsafe-io", "--no-triggers", "-r", "ringwall"],
        )
        .unwrap();
    let talked = talking.finish();
    assert!(talked.error.is_none() && talked.bytes > 0, "{talked:?}");
    assert_eq!(world.pins(), BTreeMap::new());
    assert_eq!((world.knock(22), world.knock(443)), (OPEN, OPEN));
    assert_eq!(machine.unit("ActiveState").unwrap(), "inactive");
    assert!(
        machine.path("/var/lib/ringwall").exists(),
        "what was applied is still known"
    );
    machine
        .must(
            "dpkg",
            &["--force-unsafe-io", "--no-triggers", "-P", "ringwall"],
        )
        .unwrap();
    for gone in ["/var/lib/ringwall", AGENT_FILE, "/run/ringwall"] {
        assert!(!machine.path(gone).exists(), "{gone}");
    }
    assert!(
        machine.path("/etc/ringwall/policy.yaml").exists(),
        "the operator's own file stays"
    );
}
