//! FILTER: words joined by `and`, `or`, `not`, such as `peer 10.0.0.0/8 and not port 22`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use firewall_common::reason::Reason;
use firewall_common::session::STATES;
use ipnet::IpNet;

use super::Row;
use crate::events::record::Process;
use crate::policy::services;

/// What a filter picks among: sessions, or flow records. What is not known is empty.
#[expect(missing_docs, reason = "the names are the filter's words")]
pub trait Subject {
    fn source(&self) -> Option<IpAddr>;
    fn destination(&self) -> Option<IpAddr>;
    fn port(&self) -> Option<u16>;
    fn protocol(&self) -> &str;
    fn zones(&self) -> [&str; 2];
    fn rule(&self) -> Option<String>;
    fn direction(&self) -> &str;
    fn state(&self) -> &str;
    fn verdict(&self) -> &str;
    fn reason(&self) -> &str;
    fn process(&self) -> Option<&Process>;
}

impl Subject for Row {
    fn source(&self) -> Option<IpAddr> {
        Some(self.source)
    }

    fn destination(&self) -> Option<IpAddr> {
        Some(self.destination)
    }

    fn port(&self) -> Option<u16> {
        self.destination_port
    }

    fn protocol(&self) -> &str {
        &self.protocol
    }

    fn zones(&self) -> [&str; 2] {
        [&self.zone.source, &self.zone.destination]
    }

    fn rule(&self) -> Option<String> {
        self.rule.clone()
    }

    fn direction(&self) -> &str {
        &self.direction
    }

    fn state(&self) -> &str {
        &self.state
    }

    fn verdict(&self) -> &str {
        ""
    }

    fn reason(&self) -> &str {
        ""
    }

    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// Picks sessions or flow records.
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
    /// `FORWARDED`, `DROPPED` or `AUDIT`.
    Verdict(String),
    /// The reason's word.
    Reason(String),
    /// The process at this host's end: its name, unit, or number.
    Process(String),
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

const FORM: &str = "a filter is written like `peer 10.0.0.0/8 and not port 22`, with the words src, dst, peer, port, proto, zone, rule, direction, state, process (and of flows verdict, reason)";

fn fault<T>(message: impl fmt::Display) -> Result<T, FilterError> {
    Err(FilterError(format!("{message}; {FORM}")))
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::read(text, Of::Sessions)
    }
}

/// What is to be picked among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Sessions,
    Flows,
}

impl Filter {
    /// A filter of flow records, which have a verdict and a reason too.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn of_flows(text: &str) -> Result<Self, FilterError> {
        Self::read(text, Of::Flows)
    }

    fn read(text: &str, of: Of) -> Result<Self, FilterError> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut words = Words {
            list: spaced.split_whitespace().collect(),
            at: 0,
            of,
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
    of: Of,
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
        let of = self.of;
        term(word, of, || self.next()).map(Filter::Is)
    }
}

fn term<'t>(
    word: &str,
    of: Of,
    mut value: impl FnMut() -> Option<&'t str>,
) -> Result<Term, FilterError> {
    match word {
        "verdict" | "reason" if of == Of::Sessions => {
            return fault(format!(
                "sessions have no `{word}`: what is live was let through"
            ));
        }
        "verdict" | "reason" | "src" | "dst" | "peer" | "port" | "proto" | "zone" | "rule"
        | "direction" | "state" | "process" => {}
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
        "process" => Term::Process(value.to_owned()),
        "direction" => one_of(word, value, &["inbound", "outbound", "routed"])
            .map(|()| Term::Direction(value.to_owned()))?,
        "verdict" => {
            let value = value.to_uppercase();
            one_of(word, &value, &["FORWARDED", "DROPPED", "AUDIT"])
                .map(|()| Term::Verdict(value))?
        }
        "reason" => {
            let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
            one_of(word, value, &reasons).map(|()| Term::Reason(value.to_owned()))?
        }
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
    /// Does it pick this one?
    #[must_use]
    pub fn picks<S: Subject + ?Sized>(&self, one: &S) -> bool {
        match self {
            Self::All => true,
            Self::Is(term) => term.holds(one),
            Self::Not(inner) => !inner.picks(one),
            Self::And(a, b) => a.picks(one) && b.picks(one),
            Self::Or(a, b) => a.picks(one) || b.picks(one),
        }
    }
}

impl Term {
    fn holds<S: Subject + ?Sized>(&self, one: &S) -> bool {
        let within = |net: &IpNet, address: Option<IpAddr>| {
            address.is_some_and(|address| net.contains(&address))
        };
        match self {
            Self::Source(net) => within(net, one.source()),
            Self::Destination(net) => within(net, one.destination()),
            Self::Peer(net) => {
                let source = one.direction() != "outbound" && within(net, one.source());
                let destination = one.direction() != "inbound" && within(net, one.destination());
                source || destination
            }
            Self::Port(low, high) => one
                .port()
                .is_some_and(|port| (*low..=*high).contains(&port)),
            Self::Protocol(word) => one.protocol() == word,
            Self::Zone(zone) => one.zones().contains(&zone.as_str()),
            Self::Rule(rule) => one.rule().is_some_and(|id| {
                let policy = id.split_once('/').map(|(policy, _)| policy);
                id == *rule || policy == Some(rule.as_str())
            }),
            Self::Direction(word) => one.direction() == word,
            Self::State(word) => one.state() == word,
            Self::Verdict(word) => one.verdict() == word,
            Self::Reason(word) => one.reason() == word,
            Self::Process(wanted) => one.process().is_some_and(|process| {
                process.comm == *wanted
                    || process.unit.as_ref() == Some(wanted)
                    || process.pid.to_string() == *wanted
            }),
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
            process: Some(Process {
                pid: 4711,
                comm: "sshd".into(),
                unit: Some("ssh.service".into()),
                uid: 0,
            }),
        }
    }

    #[test]
    fn a_process_is_picked_by_name_unit_or_number() {
        for (text, picked) in [
            ("process sshd", true),
            ("process ssh.service", true),
            ("process 4711", true),
            ("process ssh", false),
            ("not process sshd", false),
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.picks(&session()), picked, "{text}");
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
