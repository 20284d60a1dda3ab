use std::path::{Path, PathBuf};

use firewall_common::addr::Addr;
use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::session::{Entry, State};
use firewall_common::tables::Table;

use super::candidate::{Candidate, Errand};
use super::config::AgentConfig;
use super::fake::Fake;
use super::history::{How, Outcome, Who};
use super::net::{Link, Local, LocalKind};
use super::paths::Paths;
use super::plane::{Live, Plane};
use super::revision::Allow;
use super::state::{Agent, Settings};
use crate::api::types::{ApplyReply, Problem};
use crate::policy;

/// A host with a state directory and pins that outlive its agents.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    pins: Fake,
    pub(crate) monitor: bool,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            pins: Fake::default(),
            monitor: false,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pins(&self) -> std::sync::MutexGuard<'_, super::fake::Pins> {
        self.pins.pins()
    }

    /// Rows of a listing of what the tables hold.
    pub(crate) fn rows(&self) -> usize {
        let compiled = self.pins().compiled.clone().unwrap();
        super::report::rule_rows(&compiled, &[], None, &super::clock::now()).len()
    }

    pub(crate) fn agent(&self) -> Agent {
        let paths = Paths {
            config: self.path("agent.yaml"),
            socket: self.path("socket"),
            state: self.path("state"),
            bpf: self.path("bpf"),
        };
        let settings = Settings {
            policy: self.path("policy.yaml"),
            policy_named: false,
            connected: [("eth0".to_owned(), Vec::new())].into(),
            only: vec!["eth0".to_owned()],
            monitor: self.monitor,
            paths,
            config: AgentConfig::default(),
        };
        let pins = self.pins.clone();
        let opener =
            move |_: &Settings| -> anyhow::Result<Box<dyn Plane>> { Ok(Box::new(pins.clone())) };
        let mut agent = Agent::new(settings, Box::new(opener)).unwrap();
        let net = "192.0.2.1/32".parse().unwrap();
        let kind = LocalKind::Unicast;
        agent.set_locals(vec![Local { net, kind }]);
        agent.links = vec![eth0()];
        agent.sockets = Box::new(|| Ok(Vec::new()));
        agent.published = Box::new(|| Ok(Vec::new()));
        agent.restore().unwrap();
        agent.reconcile(vec![eth0()]);
        agent.read_text();
        agent
    }
}

impl Host {
    /// Puts a small policy in force.
    pub(crate) fn apply(&self, agent: &mut Agent, revision: u64) {
        apply(self, agent, &text(revision, 443)).unwrap();
    }
}

fn eth0() -> Link {
    Link {
        index: 2,
        name: "eth0".to_owned(),
        hardware: libc::ARPHRD_ETHER,
        up: true,
        ..Link::default()
    }
}

pub(crate) fn text(revision: u64, port: u16) -> String {
    named("web", revision, port)
}

fn named(name: &str, revision: u64, port: u16) -> String {
    format!(
        "apiVersion: ringwall/v1
metadata: {{name: {name}, revision: {revision}}}
unmatched: {{inbound: deny, outbound: allow, routed: pass}}
zones: {{internet: {{default: true}}}}
policies:
  - name: public
    from: internet
    to: host
    rules:
      - {{name: web, action: allow, services: [tcp/{port}], reason: r, owner: o}}
"
    )
}

fn errand(allow: Allow, dry_run: bool) -> Errand {
    Errand {
        how: How::Apply,
        by: Who::agent(),
        source: "test".to_owned(),
        allow,
        dry_run,
        within: None,
    }
}

fn candidate(agent: &Agent, path: &Path, text: &str, errand: Errand) -> Candidate {
    std::fs::write(path, text).unwrap();
    let checked = policy::read(path, &agent.settings.host());
    let checked = checked.unwrap_or_else(|refusal| panic!("{refusal}"));
    Candidate { checked, errand }
}

pub(crate) fn apply(host: &Host, agent: &mut Agent, text: &str) -> Result<ApplyReply, Problem> {
    apply_with(host, agent, text, Allow::default())
}

fn apply_with(
    host: &Host,
    agent: &mut Agent,
    text: &str,
    allow: Allow,
) -> Result<ApplyReply, Problem> {
    let candidate = candidate(agent, &host.path("p.yaml"), text, errand(allow, false));
    candidate.prove()?;
    agent.put(&candidate)
}

#[test]
fn an_apply_is_in_force_and_again_is_unchanged() {
    let host = Host::new();
    let mut agent = host.agent();
    assert_eq!(agent.status().mode, "no-policy");
    let reply = apply(&host, &mut agent, &text(7, 443)).unwrap();
    assert!(reply.applied.changed);
    assert_eq!(reply.applied.outcome, "applied");
    assert_eq!(reply.applied.previous, None);
    let status = agent.status();
    assert!(status.enforcing, "{status:?}");
    assert_eq!(status.policy.unwrap().revision, 7);
    let again = apply(&host, &mut agent, &text(7, 443)).unwrap();
    assert!(!again.applied.changed);
    assert_eq!(again.applied.outcome, "unchanged");
    assert_eq!(host.pins.pins().applies, 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let host = Host::new();
    let mut agent = host.agent();
    let errand = errand(Allow::default(), true);
    let candidate = candidate(&agent, &host.path("p.yaml"), &text(1, 443), errand);
    let reply = agent.put(&candidate).unwrap();
    assert!(
        reply
            .lines
            .iter()
            .any(|line| line.starts_with("would apply"))
    );
    assert!(reply.applied.dry_run && reply.applied.changed);
    assert_eq!(host.pins.pins().applies, 0);
    assert!(agent.history.records().is_empty());
    let problem = Problem::new(1, "a test fails");
    let _told = agent.refuse(&candidate, problem);
    assert_eq!(agent.tally.refused, 0, "a rehearsal is no refusal");
}

#[test]
fn refusals_change_nothing_and_are_recorded() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(7, 443)).unwrap();
    for (text, words) in [
        (text(6, 443), "lower than 7"),
        (text(7, 80), "other content"),
        (named("db", 1, 80), "--allow-rename"),
    ] {
        let problem = apply(&host, &mut agent, &text).unwrap_err();
        assert_eq!(problem.exit, 1);
        assert!(problem.message.contains(words), "{}", problem.message);
        let applied = problem.applied.unwrap();
        assert_eq!(
            (applied.outcome.as_str(), applied.previous),
            ("refused", Some(7))
        );
        let last = agent.history.records().last().unwrap();
        assert_eq!(last.outcome, Outcome::Refused);
    }
    assert_eq!(host.pins.pins().applies, 1);
    assert_eq!(agent.tally.refused, 3);
}

#[test]
fn a_failing_test_of_the_policy_refuses_it() {
    let host = Host::new();
    let mut agent = host.agent();
    let text = text(1, 443)
        + "tests:\n  - {packet: \"tcp 203.0.113.9:40000 -> host:22\", expect: allow}\n";
    let problem = apply(&host, &mut agent, &text).unwrap_err();
    assert_eq!(problem.exit, 1);
    assert!(!problem.diagnostics.as_array().unwrap().is_empty());
    assert_eq!(host.pins.pins().applies, 0);
}

#[test]
fn back_and_forth() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(1, 80)).unwrap();
    apply(&host, &mut agent, &text(2, 443)).unwrap();
    let back = agent.rollback(None, Who::agent()).unwrap();
    assert_eq!(
        (back.applied.revision, back.applied.previous),
        (Some(1), Some(2))
    );
    let problem = apply(&host, &mut agent, &text(2, 443)).unwrap_err();
    assert!(problem.message.contains("--again"), "{}", problem.message);
    assert!(
        agent.rollback(None, Who::agent()).is_err(),
        "nothing before the first"
    );
    let again = Allow {
        again: true,
        ..Allow::default()
    };
    apply_with(&host, &mut agent, &text(2, 443), again).unwrap();
    assert_eq!(agent.in_force().unwrap().identity.revision, 2);
    let older = Allow {
        older: true,
        ..Allow::default()
    };
    apply_with(&host, &mut agent, &text(1, 80), older).unwrap();
    assert!(agent.history.in_force().unwrap().downgrade);
    agent.rollback(Some(2), Who::agent()).unwrap();
    assert_eq!(agent.in_force().unwrap().identity.revision, 2);
    assert!(agent.rollback(Some(9), Who::agent()).is_err());
}

#[test]
fn a_restart_keeps_the_pinned_tables_and_a_reboot_fills_them_again() {
    let host = Host::new();
    apply(&host, &mut host.agent(), &text(7, 443)).unwrap();
    std::fs::remove_file(host.path("p.yaml")).unwrap();
    let agent = host.agent();
    assert_eq!(host.pins.pins().applies, 1, "the pins were good");
    assert_eq!(agent.in_force().unwrap().identity.revision, 7);
    drop(agent);
    *host.pins.pins() = super::fake::Pins::default();
    let agent = host.agent();
    assert_eq!(host.pins.pins().applies, 1, "filled again");
    assert_eq!(agent.in_force().unwrap().identity.revision, 7);
    assert!(agent.warnings.is_empty(), "{:?}", agent.warnings);
}

#[test]
fn monitor_is_an_agents_own_mind() {
    let mut host = Host::new();
    apply(&host, &mut host.agent(), &text(7, 443)).unwrap();
    host.monitor = true;
    let agent = host.agent();
    assert_eq!(agent.status().mode, "monitor");
    drop(agent);
    host.monitor = false;
    assert_eq!(host.agent().status().mode, "enforce");
}

#[test]
fn full_tables_leave_the_old_policy() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(1, 80)).unwrap();
    host.pins.pins().full = true;
    let problem = apply(&host, &mut agent, &text(2, 443)).unwrap_err();
    assert!(problem.message.contains("no room"));
    assert_eq!(agent.in_force().unwrap().identity.revision, 1);
    host.pins.pins().full = false;
    // It never was in force, so the next try is no repetition.
    apply(&host, &mut agent, &text(2, 443)).unwrap();
}

#[test]
fn a_state_that_cannot_be_written_refuses_and_goes_on() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(1, 80)).unwrap();
    let revisions = host.path("state/revisions");
    std::fs::remove_dir_all(&revisions).unwrap();
    std::fs::write(&revisions, "in the way").unwrap();
    let problem = apply(&host, &mut agent, &text(2, 443)).unwrap_err();
    assert!(
        problem.message.contains("cannot be written"),
        "{}",
        problem.message
    );
    assert_eq!(agent.in_force().unwrap().identity.revision, 1);
    assert!(agent.status().enforcing);
}

#[test]
fn detach_ends_it_and_the_next_start_begins_again() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(7, 443)).unwrap();
    agent.detach().unwrap();
    let status = agent.status();
    assert!(!status.enforcing && status.policy.is_none());
    assert!(host.pins.pins().attached.is_empty());
    let reply = apply(&host, &mut agent, &text(7, 443)).unwrap();
    assert!(reply.applied.changed);
    assert_eq!(host.pins.pins().attached.len(), 1);
    agent.detach().unwrap();
    drop(agent);
    assert!(host.agent().status().enforcing);
}

#[test]
fn a_list_file_is_read_again_and_a_bad_one_is_not_taken() {
    let host = Host::new();
    let mut agent = host.agent();
    let list = host.path("l.txt");
    std::fs::write(&list, "198.51.100.0/24\n").unwrap();
    let text = text(1, 443)
        .replace("zones:", "sets: {banned: {file: l.txt}}\nzones:")
        .replace("    rules:\n", "    rules:\n      - {name: no, action: deny, sources: [banned], reason: r, owner: o}\n");
    apply(&host, &mut agent, &text).unwrap();
    assert_eq!(agent.list_files(), std::slice::from_ref(&list));
    let members = |agent: &Agent| agent.in_force().unwrap().sets[0].entries;
    agent.reload_lists();
    assert_eq!(host.pins.pins().applies, 1, "nothing changed");
    std::fs::write(&list, "198.51.100.0/24\n203.0.113.0/24\n").unwrap();
    agent.reload_lists();
    assert_eq!((host.pins.pins().applies, members(&agent)), (2, 2));
    std::fs::write(&list, "198.51.100.0/24\nnonsense\n").unwrap();
    agent.reload_lists();
    assert_eq!((host.pins.pins().applies, members(&agent)), (2, 2));
    assert!(agent.warnings["lists"].contains("keep their old members"));
    // At a restart the members are those last taken, whatever the file says now.
    drop(agent);
    *host.pins.pins() = super::fake::Pins::default();
    assert_eq!(members(&host.agent()), 2);
}

#[test]
fn sessions_that_a_policy_cuts_are_counted() {
    let host = Host::new();
    let mut agent = host.agent();
    apply(&host, &mut agent, &text(1, 443)).unwrap();
    host.pins.pins().sessions = vec![session(443), session(80)];
    let reply = apply(&host, &mut agent, &text(2, 80)).unwrap();
    assert_eq!(reply.applied.sessions_cut, 1);
}

fn session(port: u16) -> Live {
    let tuple = Tuple {
        source: Addr::v4(0xcb00_7109),
        destination: Addr::v4(0xc000_0201),
        source_port: 40000,
        destination_port: port,
        protocol: 6,
        pad: [0; 3],
    };
    let mut key = FlowKey::default();
    let opener = tuple.key(&mut key) as u8;
    let mut entry = Entry {
        opener,
        interface_in: 2,
        ..Entry::default()
    };
    entry.track.state = State::Established as u8;
    let table = Table::Sessions;
    Live { key, entry, table }
}

#[test]
fn the_live_tables_explain() {
    let host = Host::new();
    let mut agent = host.agent();
    let before = agent.explain("tcp 203.0.113.9:40000 -> host:443").unwrap();
    assert_eq!(before.reason, "no-policy-loaded");
    apply(&host, &mut agent, &text(1, 443)).unwrap();
    let said = agent.explain("tcp 203.0.113.9:40000 -> host:443").unwrap();
    assert_eq!(said.action, "allow");
    assert_eq!(said.rule.as_deref(), Some("public/web"));
    assert_eq!(
        (said.source_zone.as_str(), said.destination_zone.as_str()),
        ("internet", "host")
    );
    assert!(said.packet.ends_with("in eth0"), "{}", said.packet);
    let said = agent.explain("tcp internet -> host:22").unwrap();
    assert_eq!(
        (said.action.as_str(), said.reason.as_str()),
        ("deny", "no-policy")
    );
    assert_eq!(agent.explain("tcp nonsense").unwrap_err().exit, 2);
    assert_eq!(
        agent
            .explain("tcp 203.0.113.9 -> host:1 in eth9")
            .unwrap_err()
            .exit,
        2
    );
}

#[test]
fn the_shapes_that_scripts_depend_on() {
    let host = Host::new();
    let mut agent = host.agent();
    let reply = apply(&host, &mut agent, &text(1, 443)).unwrap();
    host.pins.pins().sessions = vec![session(443)];
    assert_eq!(
        keys(&reply.applied),
        "changed digest outcome previous revision sessions_cut"
    );
    assert_eq!(
        keys(&agent.status()),
        "agent enforcing interfaces lost mode offered policy sessions sets warnings"
    );
    assert_eq!(
        keys(&agent.session_rows().unwrap()[0]),
        "age_s bytes destination destination_port direction idle_s interface packets protocol rule source source_port state translated zone"
    );
    assert_eq!(
        keys(&agent.rule_rows().unwrap()[0]),
        "action active bytes conditions expires from id last_hit monitor owner packets reason review_by state ticket to would_bytes would_packets"
    );
    let said = agent.explain("tcp 203.0.113.9:40000 -> host:443").unwrap();
    assert_eq!(
        keys(&said),
        "action destination_zone host_address packet reason rule source_zone verdict"
    );
}

fn keys(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap();
    let object = value.as_object().unwrap();
    object.keys().cloned().collect::<Vec<_>>().join(" ")
}
