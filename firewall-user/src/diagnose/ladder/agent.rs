//! What the agent says: its policy, and what it has seen.

use std::collections::BTreeMap;

use super::{Here, Question, Step};
use crate::api::types::{ExplainRequest, Explained, OneSidedRow, Problem};
use crate::events::Flow;
use crate::events::record::{EventWord, VerdictWord};

const POLICY: &str = "policy";
const SEEN: &str = "seen";
/// Seconds that are looked back.
const BACK: u64 = 600;

/// The own policy: the opening, and what comes back where that has no session.
pub(super) fn policy(here: &Here, question: Question) -> Vec<Step> {
    let Question { peer, port, .. } = question;
    let peer = if peer.is_ipv6() {
        format!("[{peer}]")
    } else {
        peer.to_string()
    };
    let (there, back) = if question.inbound {
        (
            format!("tcp {peer}:40000 -> host:{port}"),
            format!("tcp host:{port} -> {peer}:40000"),
        )
    } else {
        (
            format!("tcp host:40000 -> {peer}:{port}"),
            format!("tcp {peer}:{port} -> host:40000"),
        )
    };
    let opening = match explain(here, &there) {
        Ok(opening) => opening,
        Err(problem) => return vec![unanswered(POLICY, &problem)],
    };
    let mut steps = vec![judged(&opening, "lets it by")];
    if opening.reason == "stateless" {
        let answer = explain(here, &back);
        steps.push(answer.map_or_else(
            |problem| unanswered(POLICY, &problem),
            |answer| judged(&answer, "lets the answer by, which has no session"),
        ));
    }
    steps
}

fn explain(here: &Here, packet: &str) -> Result<Explained, Problem> {
    let request = ExplainRequest {
        packet: packet.to_owned(),
    };
    here.client.post("/v1/explain", &request)
}

fn judged(explained: &Explained, good: &str) -> Step {
    let rule = explained.rule.as_deref().unwrap_or("no rule");
    let by = format!("{rule} ({}): {}", explained.reason, explained.packet);
    if explained.action == "allow" {
        return Step::ok(POLICY, format!("{good}, by {by}"));
    }
    let found = format!("the policy says {}, by {by}", explained.action);
    Step::fault(
        POLICY,
        found,
        "`ringwall drops` shows the line that would let it in",
    )
}

fn unanswered(layer: &'static str, problem: &Problem) -> Step {
    Step::skipped(layer, problem.brief(), "start the agent, and ask again")
}

/// What was seen of the two in the last minutes.
pub(super) fn before(here: &Here, question: Question) -> Vec<Step> {
    match records(here, question, BACK) {
        Err(problem) => vec![unanswered(SEEN, &problem)],
        Ok(flows) if flows.is_empty() => vec![Step::ok(SEEN, "nothing in the last ten minutes")],
        Ok(flows) => vec![summary(&flows)],
    }
}

fn summary(flows: &[Flow]) -> Step {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for flow in flows {
        let word = match (flow.event, flow.verdict) {
            (EventWord::Drop, VerdictWord::Audit) => "would have been dropped".to_owned(),
            (EventWord::Drop, _) => format!("dropped ({})", flow.reason.as_deref().unwrap_or("?")),
            (EventWord::OneSided, _) => {
                format!("one-sided ({})", flow.cause.as_deref().unwrap_or("?"))
            }
            (EventWord::Open, _) => "opened".to_owned(),
            (EventWord::Close, _) => {
                format!("ended ({})", flow.close_cause.as_deref().unwrap_or("?"))
            }
            (EventWord::Update, _) => {
                format!("live ({})", flow.state.as_deref().unwrap_or("?"))
            }
        };
        *counts.entry(word).or_default() += 1;
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    Step::ok(
        SEEN,
        format!("in the last ten minutes: {}", words.join(", ")),
    )
}

/// Records of the two at that port, those of live sessions included.
pub(super) fn records(here: &Here, question: Question, back: u64) -> Result<Vec<Flow>, Problem> {
    let Question { peer, port, .. } = question;
    let mut filter = format!("peer {peer} and port {port} and proto tcp");
    // What else than a word's own letters is in an address may stand in a query as it is, but for spaces.
    filter = filter.replace(' ', "%20").replace(':', "%3A");
    let path = format!("/v1/flows?follow=false&live=true&since={back}&filter={filter}");
    let mut all = Vec::new();
    here.client.lines(&path, |line| {
        if let Ok(flow) = serde_json::from_slice::<Flow>(line) {
            all.push(flow);
        }
        Ok(all.len() < 10_000)
    })?;
    let direction = if question.inbound {
        "inbound"
    } else {
        "outbound"
    };
    all.retain(|flow| {
        flow.direction
            .as_deref()
            .is_none_or(|word| word == direction)
    });
    Ok(all)
}

/// What the agent has named of these two, the last first.
pub(super) fn named(here: &Here, question: Question, back: u64) -> Vec<OneSidedRow> {
    let path = format!("/v1/one-sided?since={back}");
    let rows: Vec<OneSidedRow> = here.client.get(&path).unwrap_or_default();
    let ours = |row: &OneSidedRow| {
        let peer = if question.inbound {
            row.source
        } else {
            row.destination
        };
        let direction = if question.inbound {
            "inbound"
        } else {
            "outbound"
        };
        peer == question.peer && row.destination_port == question.port && row.direction == direction
    };
    rows.into_iter().filter(ours).collect()
}
