//! Dashboards and alerts are put to a real Prometheus over real agents: every query finds data, and panels show
//! what was sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringwall_tests::net::{Command, wait_until};
use ringwall_tests::wall::{Board, Fleet, Kind, Prometheus, Query, Sent, asked, find};
use ringwall_tests::{need_program, need_root, skip};

/// How often is scraped, and the shortest window for rates that has enough scrapes in it.
const EVERY: Duration = Duration::from_secs(1);
const WINDOW: &str = "5s";
/// A handshake has some four seconds to complete, and is looked at once a second.
const FOUND: Duration = Duration::from_secs(40);
/// Rates are estimates: at both ends of a window Prometheus goes on beyond its samples.
const ROUGHLY: f64 = 0.15;

#[test]
fn every_query_finds_data_and_panels_show_what_was_sent() {
    need_root!();
    need_program!("prometheus");
    need_program!("promtool");
    let fleet = Fleet::new().unwrap();
    let prometheus = fleet.watched(EVERY).unwrap();
    fleet.mishaps().unwrap();
    // What new counters and new interfaces have to say at first is over, and was scraped.
    std::thread::sleep(4 * EVERY);
    let begin = now();
    let sent = traffic(&fleet);
    let wall = Wall::new(&prometheus, begin);
    wall.wait_for_one_sided();
    // Until the last rates have gone by.
    std::thread::sleep(Duration::from_secs(6));
    let wall = Wall { end: now(), ..wall };
    wall.every_query_finds_data();
    wall.every_alert_can_be_asked();
    wall.host_shows(&sent);
    wall.fleet_shows(&sent);
}

/// Rounds spread over some seconds, as an even stream.
fn traffic(fleet: &Fleet) -> Sent {
    fleet.one_sided().unwrap();
    fleet.fill().unwrap();
    let mut all = Sent::default();
    for _ in 0..8 {
        let next = Instant::now() + Duration::from_millis(600);
        let sent = fleet.round().unwrap();
        all.default_deny += sent.default_deny;
        all.rule_deny += sent.rule_deny;
        all.rule_reject += sent.rule_reject;
        all.sessions += sent.sessions;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    all
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

/// The dashboards over one stretch of time.
struct Wall<'p> {
    prometheus: &'p Prometheus,
    begin: f64,
    end: f64,
}

impl<'p> Wall<'p> {
    const fn new(prometheus: &'p Prometheus, begin: f64) -> Self {
        Self {
            prometheus,
            begin,
            end: begin,
        }
    }

    /// A dashboard as somebody sees it who has chosen a host, or all of them.
    fn board(&self, name: &str, instance: &str) -> Board {
        let range = format!("{}s", (self.end - self.begin).ceil().max(1.0));
        let variables = [
            ("job", ".*"),
            ("instance", instance),
            ("zone", ".*"),
            ("__rate_interval", WINDOW),
            ("__range", &range),
        ];
        Board::read(name, &variables).unwrap()
    }

    fn wait_for_one_sided(&self) {
        let query = "sum by (cause) (ringwall_one_sided_syn_total) > 1.5";
        let all = || {
            let causes = self.prometheus.query(query).ok()?;
            (causes.len() >= 3).then_some(())
        };
        let came = wait_until(FOUND, all);
        let found = self.prometheus.query(query);
        assert!(came.is_some(), "not three causes: {found:?}");
    }

    fn every_query_finds_data(&self) {
        let mut empty = Vec::new();
        let mut seen = 0;
        for board in [self.board("host", "web-1"), self.board("fleet", ".*")] {
            for query in board.queries() {
                assert!(!query.text.contains('$'), "{query:?}");
                seen += 1;
                if self.found(&query) == 0 {
                    empty.push(query);
                }
            }
        }
        assert!(empty.is_empty(), "no data: {empty:#?}");
        assert!(seen > 50, "{seen} queries");
    }

    /// How many series or values a query gives.
    fn found(&self, query: &Query) -> usize {
        let text = &query.text;
        match query.kind {
            Kind::Variable => {
                let inner = text.strip_prefix("label_values(").unwrap();
                let (series, label) = inner.trim_end_matches(')').rsplit_once(", ").unwrap();
                self.prometheus.label_values(series, label).unwrap().len()
            }
            Kind::Instant => self.prometheus.query(text).unwrap().len(),
            Kind::Range | Kind::Annotation => self.range(text).len(),
        }
    }

    fn range(&self, query: &str) -> Vec<ringwall_tests::wall::Series> {
        let step = EVERY.as_secs_f64();
        let span = (self.begin, self.end);
        self.prometheus.range(query, span, step).unwrap()
    }

    /// These are true of this fleet; of all others, each part can be asked.
    fn every_alert_can_be_asked(&self) {
        const TRUE: [&str; 7] = [
            "RingwallAgentDown",
            "RingwallNotEnforcing",
            "RingwallPolicyRefused",
            "RingwallPolicyRolledBack",
            "RingwallRevisionDrift",
            "RingwallTableNearlyFull",
            "RingwallRuleExpiring",
        ];
        let alerts = self.prometheus.alerts().unwrap();
        assert_eq!(alerts.len(), 12);
        for [name, query, state] in alerts {
            let is_true = TRUE.contains(&name.as_str());
            assert_eq!(state != "inactive", is_true, "{name} is {state}");
            let parts = query
                .split(" unless ")
                .map(|part| match part.strip_prefix("on (") {
                    Some(rest) => rest.split_once(')').unwrap().1.to_owned(),
                    None => part.to_owned(),
                });
            for part in parts.filter(|_| !is_true) {
                let found = self.prometheus.query(&asked(&part)).unwrap();
                assert!(!found.is_empty(), "{name}: {part}");
            }
        }
    }

    fn panel(&self, board: &Board, title: &str) -> Query {
        let mut queries = board.queries().into_iter();
        let found = queries.find(|query| query.title == title);
        found.unwrap_or_else(|| panic!("no panel {title}"))
    }

    /// What a panel shows, by a label: a moment's values, or the area under a course.
    fn shown(&self, board: &Board, title: &str, label: &str) -> BTreeMap<String, f64> {
        let query = self.panel(board, title);
        let by = |labels: &BTreeMap<String, String>| labels.get(label).cloned().unwrap_or_default();
        let mut shown = BTreeMap::new();
        if query.kind == Kind::Instant {
            for sample in self.prometheus.query(&query.text).unwrap() {
                *shown.entry(by(&sample.labels)).or_default() += sample.value;
            }
            return shown;
        }
        for series in self.range(&query.text) {
            let area: f64 = series.points.iter().map(|(_, value)| value).sum();
            *shown.entry(by(&series.labels)).or_default() += area * EVERY.as_secs_f64();
        }
        shown
    }

    fn host_shows(&self, sent: &Sent) {
        let board = self.board("host", "web-1");
        let reasons = self.shown(&board, "Dropped by reason", "reason");
        about(&reasons, "rule-deny", sent.rule_deny);
        about(&reasons, "rule-reject", sent.rule_reject);
        let rules = self.shown(&board, "Dropped by rule", "rule");
        about(&rules, "telnet", sent.rule_deny);
        about(&rules, "proxy", sent.rule_reject);
        let whole = self.shown(&board, "Dropped in this time by reason", "reason");
        about(&whole, "rule-deny", sent.rule_deny);
        let opened = self.shown(&board, "Sessions opened", "zone");
        // The attempts at the closed port are sessions, too: the policy lets them in.
        about(&opened, "trusted", sent.sessions);
        let unused = self.shown(&board, "Unused rules", "rule");
        let unused: Vec<&str> = unused.keys().map(String::as_str).collect();
        assert_eq!(unused, ["guest", "legacy", "scanners", "silent"]);
    }

    fn fleet_shows(&self, sent: &Sent) {
        let board = self.board("fleet", ".*");
        let revisions = self.shown(&board, "Revision of each host", "revision");
        assert_eq!(revisions, [("1".into(), 1.0), ("3".into(), 1.0)].into());
        let came = self.shown(&board, "Policies that came", "outcome");
        for (outcome, times) in [("applied", 4.0), ("refused", 1.0), ("rolled-back", 1.0)] {
            assert_eq!(came.get(outcome), Some(&times), "{outcome}: {came:?}");
        }
        let dropped = self.shown(&board, "Dropped in this time", "reason");
        about(&dropped, "rule-deny", sent.rule_deny);
        about(&dropped, "rule-reject", sent.rule_reject);
        let rules = self.shown(&board, "Dropped by rule", "rule");
        about(&rules, "telnet", sent.rule_deny);
        let unused = self.shown(&board, "Rules unused everywhere", "rule");
        let unused: Vec<&str> = unused.keys().map(String::as_str).collect();
        assert_eq!(unused, ["guest", "legacy", "scanners"]);
    }
}

/// What is shown is what was sent, as far as rates can tell.
fn about(shown: &BTreeMap<String, f64>, label: &str, sent: u64) {
    let (shown_here, sent) = (shown.get(label).copied().unwrap_or(0.0), sent as f64);
    let near = (shown_here - sent).abs() <= ROUGHLY * sent;
    assert!(near, "{label}: {shown_here} and not {sent} in {shown:?}");
}

#[test]
fn each_alert_fires_and_does_not() {
    let Some(promtool) = find("promtool") else {
        skip!("promtool is not installed");
    };
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (command, file) in [
        (["check", "rules"], "dashboards/ringwall-alerts.yml"),
        (["test", "rules"], "dashboards/ringwall-alerts-test.yml"),
        (["check", "config"], "examples/observability/prometheus.yml"),
    ] {
        let file = here.parent().unwrap().join(file);
        let ran = Command::outside(&promtool)
            .args(command)
            .args([file])
            .run()
            .unwrap();
        assert!(ran.ok(), "{ran:?}");
    }
}
