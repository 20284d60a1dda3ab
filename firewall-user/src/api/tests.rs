use std::sync::Arc;

use tokio::sync::Notify;

use super::client::Client;
use super::types::{
    ApplyReply, ApplyRequest, ExplainRequest, Explained, HistoryRow, InterfaceLine, Problem,
    RollbackRequest, RuleRow, Status, exit,
};
use super::{App, bind, serve};
use crate::agent::owner::Owner;
use crate::agent::tests::{Host, text};
use crate::sessions::Row;

fn request(host: &Host, text: &str) -> ApplyRequest {
    ApplyRequest {
        files: vec![(host.path("p.yaml"), text.to_owned())],
        source: "p.yaml".to_owned(),
        ..ApplyRequest::default()
    }
}

fn apply(client: &Client, request: &ApplyRequest) -> Result<ApplyReply, Problem> {
    client.post("/v1/apply", request)
}

/// A whole conversation over the socket, as the command line leads it; run by root, as the tests of CI are.
fn conversation(host: &Host, client: &Client) {
    let status: Status = client.get("/v1/status").unwrap();
    assert_eq!(status.mode, "no-policy");
    assert!(status.agent.is_some());

    let reply = apply(client, &request(host, &text(1, 443))).unwrap();
    assert!(reply.applied.changed && !reply.lines.is_empty());
    let problem = apply(client, &request(host, "{")).unwrap_err();
    assert_eq!(problem.exit, exit::INPUT);
    assert!(problem.coloured.is_some());
    let applied = problem.applied.unwrap();
    assert_eq!(
        (applied.outcome.as_str(), applied.previous),
        ("refused", Some(1))
    );
    let others = text(2, 443) + "hosts: {names: [elsewhere]}\n";
    let reply = apply(client, &request(host, &others)).unwrap();
    assert_eq!(reply.applied.outcome, "not-for-this-host");
    let problem = apply(client, &request(host, &text(0, 443)));
    assert!(problem.is_err());

    apply(client, &request(host, &text(2, 80))).unwrap();
    let back: ApplyReply = client
        .post("/v1/rollback", &RollbackRequest { revision: None })
        .unwrap();
    assert_eq!(back.applied.revision, Some(1));
    let history: Vec<HistoryRow> = client.get("/v1/history").unwrap();
    let outcomes: Vec<&str> = history.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes.first(), Some(&"in-force"));
    assert!(outcomes.contains(&"rolled-back"), "{outcomes:?}");
    assert_eq!(history[0].uid, 0);

    let rules: Vec<RuleRow> = client.get("/v1/policy").unwrap();
    assert!(rules.iter().any(|rule| rule.id == "public/web"));
    assert!(rules.iter().any(|rule| rule.id == "essentials/arp"));
    let interfaces: Vec<InterfaceLine> = client.get("/v1/interfaces").unwrap();
    assert_eq!(interfaces[0].state, "guarded");
    let sessions: Vec<Row> = client.get("/v1/sessions").unwrap();
    assert!(sessions.is_empty());
    let packet = "tcp 203.0.113.9:40000 -> host:443".to_owned();
    let said: Explained = client
        .post("/v1/explain", &ExplainRequest { packet })
        .unwrap();
    assert_eq!(said.rule.as_deref(), Some("public/web"));

    let problem = client.get::<Status>("/v1/nonsense").unwrap_err();
    assert_eq!(problem.exit, exit::INPUT);
    let ended: bool = client.post("/v1/detach", &()).unwrap();
    assert!(ended);
    let status: Status = client.get("/v1/status").unwrap();
    assert!(!status.enforcing && !status.warnings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_answers_and_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return; // changes are for root alone
    }
    let host = Host::new();
    let path = host.path("socket");
    let socket = bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let (owner, _gone) = Owner::start(host.agent()).unwrap();
    let app = App {
        owner,
        changed: Arc::new(Notify::new()),
    };
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let served = tokio::spawn(serve(socket, app, async move { stopped.notified().await }));
    let client = Client::new(&path);
    let asked = client.clone();
    let talk = tokio::task::spawn_blocking(move || conversation(&host, &asked));
    talk.await.unwrap();
    stop.notify_one();
    served.await.unwrap().unwrap();
    assert!(!path.exists());
    let gone = tokio::task::spawn_blocking(move || client.get::<Status>("/v1/status"));
    let problem = gone.await.unwrap().unwrap_err();
    assert_eq!(problem.exit, exit::AGENT);
    assert!(problem.message.contains("ringwall run"));
}

#[test]
fn a_brief_problem_is_one_line_that_steers_nothing() {
    let listed = Problem::new(exit::NO, "it cuts:\n  this\n  that\n\nsay so");
    assert_eq!(listed.brief(), "it cuts: this; that; say so");
    let mut problem = Problem::new(exit::INPUT, "one\n\u{1b}[2Jtwo");
    assert_eq!(problem.brief(), "one; \u{fffd}[2Jtwo");
    problem.diagnostics = serde_json::json!([
        {"severity": "error", "file": "a\nb", "line": 1, "column": 2, "message": "x\r\ny"}
    ]);
    assert_eq!(problem.brief(), "a\u{fffd}b:1:2: x\u{fffd}\u{fffd}y");
}
