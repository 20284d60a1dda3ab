//! The connection itself: tried from here, or waited for from there, while the agent looks on.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::agent::{named, records};
use super::{Here, Question, Step};
use crate::events::record::EventWord;

const LAYER: &str = "probe";
/// Whether it came about, and what was seen.
pub(super) fn try_it(here: &Here, question: Question) -> (bool, Vec<Step>) {
    if question.inbound {
        (false, wait(here, question))
    } else {
        call(here, question)
    }
}

fn call(here: &Here, question: Question) -> (bool, Vec<Step>) {
    let to = SocketAddr::new(question.peer, question.port);
    let begun = Instant::now();
    let patience = question.wait.max(Duration::from_millis(1));
    match TcpStream::connect_timeout(&to, patience) {
        Ok(_) => {
            let found = format!("connected to {to} in {} ms", begun.elapsed().as_millis());
            (true, vec![Step::ok(LAYER, found)])
        }
        Err(error) => (false, vec![failed(here, question, to, &error)]),
    }
}

fn failed(here: &Here, question: Question, to: SocketAddr, error: &std::io::Error) -> Step {
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            format!("nothing came within {:?}", question.wait)
        }
        _ => error.to_string(),
    };
    let found = format!("connecting to {to}: {why}");
    let since = question.wait.as_secs() + 2;
    match named(here, question, since).into_iter().next() {
        Some(row) => {
            let evidence = row.evidence.join("; ");
            Step::fault(
                LAYER,
                format!("{found}; {}: {evidence}", row.cause),
                row.advice,
            )
        }
        None => Step::fault(LAYER, found, capture(question)),
    }
}

/// The peer has to try; what comes meanwhile is told.
fn wait(here: &Here, question: Question) -> Vec<Step> {
    let known = match records(here, question, 0) {
        Ok(_) => Instant::now(),
        Err(problem) => {
            let takes = "the agent, which sees what comes";
            return vec![Step::skipped(LAYER, problem.brief(), takes)];
        }
    };
    std::thread::sleep(question.wait);
    let since = known.elapsed().as_secs() + 1;
    let seen = records(here, question, since).unwrap_or_default();
    if let Some(row) = named(here, question, since).into_iter().next() {
        let evidence = row.evidence.join("; ");
        let found = format!("the peer tried; {}: {evidence}", row.cause);
        return vec![Step::fault(LAYER, found, row.advice)];
    }
    let live = |state: &str| {
        seen.iter()
            .any(|flow| flow.event == EventWord::Update && flow.tcp_state.as_deref() == Some(state))
    };
    if live("established") {
        return vec![Step::ok(LAYER, "a connection of the peer is established")];
    }
    let dropped = seen.iter().find(|flow| flow.event == EventWord::Drop);
    if let Some(reason) = dropped.and_then(|flow| flow.reason.clone()) {
        let found = format!("the peer tried, and was dropped: {reason}");
        return vec![Step::fault(LAYER, found, "ringwall drops")];
    }
    vec![nothing(question)]
}

fn nothing(question: Question) -> Step {
    let found = format!(
        "nothing came from {} within {:?}",
        question.peer, question.wait
    );
    let next = format!(
        "try it from the peer meanwhile (--wait 30s); {}",
        capture(question)
    );
    Step::warn(LAYER, found, next)
}

fn capture(question: Question) -> String {
    format!(
        "tcpdump -ni any host {} and tcp port {}",
        question.peer, question.port
    )
}
