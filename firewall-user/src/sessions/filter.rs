//! FILTER: words joined by `and`, `or`, `not`, such as `peer 10.0.0.0/8 and not port 22`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use firewall_common::session::STATES;
use ipnet::IpNet;

use super::Row;
use crate::policy::services;

/// Picks sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Every session.
    All,
    /// One condition.
    Is(Term),
    /// Not.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// The opener's address.
    Source(IpNet),
    /// The responder's address.
    Destination(IpNet),
    /// The address of the end that is not this host.
    Peer(IpNet),
    /// The responder's port.
    Port(u16, u16),
    /// The protocol.
    Protocol(String),
    /// The zone of either end.
    Zone(String),
    /// The rule, or all rules of a policy.
    Rule(String),
    /// `inbound`, `outbound` or `routed`.
    Direction(String),
    /// Where it stands.
    State(String),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

const FORM: &str = "a filter is written like `peer 10.0.0.0/8 and not port 22`, with the words src, dst, peer, port, proto, zone, rule, direction, state";

fn fault<T>(message: impl fmt::Display) -> Result<T, FilterError> {
    Err(FilterError(format!("{message}; {FORM}")))
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut words = Words {
            list: spaced.split_whitespace().collect(),
            at: 0,
        };
        if words.list.is_empty() {
            return Ok(Self::All);
        }
        let filter = words.either()?;
        match words.next() {
            None => Ok(filter),
            Some(")") => fault("there is a `)` without its `(`"),
            Some(word) => fault(format!(
                "expected `and` or `or` before `{word}`, or the end"
            )),
        }
    }
}

struct Words<'t> {
    list: Vec<&'t str>,
    at: usize,
}

/// Deeper nesting than this is nobody's question.
const DEPTH: usize = 200;

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let word = self.list.get(self.at).copied();
        self.at += usize::from(word.is_some());
        word
    }

    fn take(&mut self, wanted: &str) -> bool {
        let there = self.list.get(self.at).is_some_and(|word| *word == wanted);
        self.at += usize::from(there);
        there
    }

    fn either(&mut self) -> Result<Filter, FilterError> {
        let mut left = self.both()?;
        while self.take("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, FilterError> {
        let mut left = self.one()?;
        while self.take("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Filter, FilterError> {
        if self.list.len() > DEPTH {
            return fault(format!("more than {DEPTH} words"));
        }
        if self.take("not") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.either()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                fault("there is a `(` without its `)`")
            };
        }
        let Some(word) = self.next() else {
            return fault("expected a condition, found the end");
        };
        term(word, || self.next()).map(Filter::Is)
    }
}

fn term<'t>(word: &str, mut value: impl FnMut() -> Option<&'t str>) -> Result<Term, FilterError> {
    match word {
        "verdict" | "reason" => {
            return fault(format!(
                "sessions have no `{word}`: what is live was let through"
            ));
        }
        "kill" => return fault("`sessions kill` does not work yet: nothing was ended"),
        "process" => return fault("`process` is not known of sessions yet"),
        "src" | "dst" | "peer" | "port" | "proto" | "zone" | "rule" | "direction" | "state" => {}
        _ => return fault(format!("`{word}` is not a word of filters")),
    }
    let Some(value) = value() else {
        return fault(format!("expected a value after `{word}`, found the end"));
    };
    Ok(match word {
        "src" => Term::Source(net(value)?),
        "dst" => Term::Destination(net(value)?),
        "peer" => Term::Peer(net(value)?),
        "port" => port(value)?,
        "proto" => protocol(value)?,
        "zone" => Term::Zone(value.to_owned()),
        "rule" => Term::Rule(value.to_owned()),
        "direction" => one_of(word, value, &["inbound", "outbound", "routed"])
            .map(|()| Term::Direction(value.to_owned()))?,
        _ => {
            let states: Vec<&str> = STATES.iter().map(|(_, word)| *word).collect();
            one_of(word, value, &states).map(|()| Term::State(value.to_owned()))?
        }
    })
}

fn net(text: &str) -> Result<IpNet, FilterError> {
    let whole = |address: IpAddr| IpNet::from(address);
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpNet>()
        .or_else(|_| bare.parse().map(whole))
        .or_else(|_| fault(format!("`{text}` is neither an address nor a prefix")))
}

fn port(text: &str) -> Result<Term, FilterError> {
    match services::port_range(text) {
        Ok((low, high)) => Ok(Term::Port(low, high)),
        Err(_) => fault(format!(
            "`{text}` is neither a port nor a range such as 8000-8100"
        )),
    }
}

fn protocol(text: &str) -> Result<Term, FilterError> {
    match services::protocol(text) {
        Some(number) => Ok(Term::Protocol(services::protocol_word(number))),
        None => fault(format!("`{text}` is not a protocol")),
    }
}

fn one_of(word: &str, value: &str, known: &[&str]) -> Result<(), FilterError> {
    if known.contains(&value) {
        return Ok(());
    }
    fault(format!(
        "`{value}` is not a {word}: it is one of {}",
        known.join(", ")
    ))
}

impl Filter {
    /// Does it pick this session?
    #[must_use]
    pub fn picks(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Is(term) => term.holds(row),
            Self::Not(inner) => !inner.picks(row),
            Self::And(a, b) => a.picks(row) && b.picks(row),
            Self::Or(a, b) => a.picks(row) || b.picks(row),
        }
    }
}

impl Term {
    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Source(net) => net.contains(&row.source),
            Self::Destination(net) => net.contains(&row.destination),
            Self::Peer(net) => {
                let source = row.direction != "outbound" && net.contains(&row.source);
                let destination = row.direction != "inbound" && net.contains(&row.destination);
                source || destination
            }
            Self::Port(low, high) => row
                .destination_port
                .is_some_and(|port| (*low..=*high).contains(&port)),
            Self::Protocol(word) => row.protocol == *word,
            Self::Zone(zone) => row.zone.source == *zone || row.zone.destination == *zone,
            Self::Rule(rule) => row.rule.as_deref().is_some_and(|id| {
                let policy = id.split_once('/').map(|(policy, _)| policy);
                id == rule || policy == Some(rule.as_str())
            }),
            Self::Direction(word) => row.direction == *word,
            Self::State(word) => row.state == *word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Traffic, Zones};
    use super::*;

    fn session() -> Row {
        Row {
            protocol: "tcp".into(),
            source: "10.1.2.3".parse().unwrap(),
            source_port: Some(40000),
            destination: "192.0.2.1".parse().unwrap(),
            destination_port: Some(22),
            direction: "inbound".into(),
            state: "established".into(),
            rule: Some("admin/ssh".into()),
            translated: false,
            zone: Zones {
                source: "trusted".into(),
                destination: "host".into(),
            },
            packets: Traffic::default(),
            bytes: Traffic::default(),
            age_s: 1,
            idle_s: 1,
            interface: Some("eth0".into()),
        }
    }

    #[test]
    fn conditions_and_their_joints() {
        for (text, picked) in [
            ("", true),
            ("src 10.0.0.0/8", true),
            ("dst 10.0.0.0/8", false),
            ("peer 10.1.2.3", true),
            ("peer 192.0.2.1", false),
            ("port 22", true),
            ("port 1-21", false),
            ("proto tcp and zone trusted", true),
            ("proto udp or rule admin", true),
            ("rule admin/ssh", true),
            ("rule admin/s", false),
            ("not direction inbound", false),
            ("not not state established", true),
            // `and` binds more tightly than `or`.
            ("port 22 or port 80 and proto udp", true),
            ("(port 22 or port 80) and proto udp", false),
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.picks(&session()), picked, "{text}");
        }
    }

    #[test]
    fn faults_say_what_was_expected() {
        for (text, words) in [
            ("prot tcp", "`prot` is not a word"),
            ("port", "expected a value after `port`"),
            ("port x", "neither a port nor a range"),
            ("src foo", "neither an address nor a prefix"),
            ("proto foo", "not a protocol"),
            ("state open", "it is one of syn-sent"),
            ("direction in", "inbound, outbound, routed"),
            ("port 22 proto tcp", "expected `and` or `or` before `proto`"),
            ("not", "found the end"),
            ("(port 22", "`(` without"),
            ("port 22)", "`)` without"),
            ("verdict dropped", "sessions have no `verdict`"),
        ] {
            let error = text.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(error.contains("a filter is written like"));
        }
    }
}
