//! Packets and statements about packets as operators write them:
//! `tcp 203.0.113.9:40000 -> host:443 in eth0`, `deny internet -> host tcp/5432`.

mod show;

use std::fmt;

use ipnet::IpNet;

use super::model::{Action, Assertion, Endpoint, NamedService, PacketSpec, Service, Span, Zone};
use super::services::{self, ICMP, ICMPV6};
use super::text::{address, services as words, walk};

pub use show::{display, endpoint_word, icmp_word};

/// Why a text is no packet or statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketError {
    /// Where in the text, in characters from 0.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for PacketError {}

const PACKET_FORM: &str = "a packet is written like `tcp 203.0.113.9:40000 -> host:443 in eth0` or `icmp 198.51.100.7 -> host echo-request`";
const STATEMENT_FORM: &str = "a statement is written like `deny internet -> host tcp/5432` or `allow trusted -> host tcp/22,ping`";

/// A word of a text and where it begins, in bytes.
type Word<'t> = (usize, &'t str);

struct Words<'t> {
    text: &'t str,
    list: std::iter::Peekable<std::vec::IntoIter<Word<'t>>>,
    form: &'static str,
}

impl<'t> Words<'t> {
    fn new(text: &'t str, form: &'static str) -> Self {
        let start = text.as_ptr() as usize;
        let words = text.split_whitespace();
        let list: Vec<Word<'t>> = words
            .map(|word| (word.as_ptr() as usize - start, word))
            .collect();
        Self {
            text,
            list: list.into_iter().peekable(),
            form,
        }
    }

    fn next(&mut self, what: &str) -> Result<Word<'t>, PacketError> {
        let end = self.text.len();
        self.list
            .next()
            .ok_or_else(|| self.fault(end, format!("expected {what}, found the end")))
    }

    fn arrow(&mut self) -> Result<(), PacketError> {
        match self.next("`->`")? {
            (_, "->") => Ok(()),
            (at, word) => Err(self.fault(
                at,
                format!("expected `->` between the two ends, found `{word}`"),
            )),
        }
    }

    fn fault(&self, at: usize, message: impl Into<String>) -> PacketError {
        self.fault_help(at, message, self.form)
    }

    fn fault_help(
        &self,
        at: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> PacketError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let (message, help) = (message.into(), help.into());
        PacketError {
            offset: before.chars().count(),
            message,
            help,
        }
    }
}

/// Reads a packet; zone names may stand for addresses.
pub fn parse(text: &str, zones: &[Zone]) -> Result<PacketSpec, PacketError> {
    let mut words = Words::new(text, PACKET_FORM);
    let (at, word) = words.next("a protocol")?;
    let protocol = protocol(&words, at, word)?;
    let source_word = words.next("the sender")?;
    let (source, source_port) = end(&words, source_word, zones)?;
    words.arrow()?;
    let target_word = words.next("the receiver")?;
    let (destination, destination_port) = end(&words, target_word, zones)?;
    let written = icmp_words(&mut words, protocol)?;
    let way = interface_words(&mut words)?;
    let spec = PacketSpec {
        protocol,
        source,
        source_port,
        destination,
        destination_port,
        icmp: written.or_else(|| implied_echo(protocol)),
        leaving: way.as_ref().is_some_and(|(leaving, _)| *leaving),
        interface: way.map(|(_, name)| name),
    };
    agree(&spec, &words, at, source_word.0, target_word.0)?;
    Ok(spec)
}

fn protocol(words: &Words<'_>, at: usize, word: &str) -> Result<u8, PacketError> {
    services::protocol(word).ok_or_else(|| {
        let ported = services::PORT_PROTOCOLS
            .iter()
            .chain(&services::BARE_PROTOCOLS);
        let known = ported.map(|(name, _)| *name).chain(["icmp", "icmpv6"]);
        let hint = walk::close(word, known).map(|best| format!("did you mean `{best}`?"));
        let help = hint.unwrap_or_else(|| PACKET_FORM.to_owned());
        words.fault_help(at, format!("`{word}` is no protocol"), help)
    })
}

/// An address, prefix, zone, `host` or `any`, with a port or not.
fn end(
    words: &Words<'_>,
    (at, word): Word<'_>,
    zones: &[Zone],
) -> Result<(Endpoint, Option<u16>), PacketError> {
    let (name, port) = split_port(word);
    let port = match port {
        None => None,
        Some(text) => Some(port_number(text).ok_or_else(|| {
            let message = format!("`{text}` is no port: a number from 0 to 65535");
            words.fault(at + word.len() - text.len(), message)
        })?),
    };
    Ok((endpoint(words, at, name, zones)?, port))
}

fn port_number(text: &str) -> Option<u16> {
    walk::decimal(text)?.try_into().ok()
}

/// `[2001:db8::1]:53`, `2001:db8::1`, `203.0.113.9:40000`, `internet:443` into end and port.
fn split_port(word: &str) -> (&str, Option<&str>) {
    if let Some((inner, rest)) = word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => (inner, Some(port)),
            None if rest.is_empty() => (inner, None),
            None => (word, None),
        };
    }
    match word.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (word, None),
    }
}

fn endpoint(
    words: &Words<'_>,
    at: usize,
    name: &str,
    zones: &[Zone],
) -> Result<Endpoint, PacketError> {
    match name {
        "host" => return Ok(Endpoint::Host),
        "any" => return Ok(Endpoint::Any),
        "multicast" => return Ok(Endpoint::Multicast),
        _ => {}
    }
    if let Some(index) = zones.iter().position(|zone| zone.name == name) {
        return Ok(Endpoint::Zone(index));
    }
    if !address::looks_like_address(name) {
        let known = zones
            .iter()
            .map(|zone| zone.name.as_str())
            .chain(["host", "any"]);
        let help = walk::suggestion(name, known);
        return Err(words.fault_help(at, format!("`{name}` is no zone and no address"), help));
    }
    let net = address::prefix(name).map_err(|e| {
        let help = e.help.unwrap_or_else(|| PACKET_FORM.to_owned());
        words.fault_help(at, e.message, help)
    })?;
    if net != net.trunc() {
        let help = format!("write the network `{}` or one address", net.trunc());
        return Err(words.fault_help(at, format!("`{name}` has host bits set"), help));
    }
    Ok(Endpoint::Net(net))
}

/// `echo-request`, `3/4`: only behind an ICMP packet.
fn icmp_words(words: &mut Words<'_>, protocol: u8) -> Result<Option<(u8, u8)>, PacketError> {
    let Some((at, word)) = words.list.peek().copied().filter(|(_, word)| !is_way(word)) else {
        return Ok(None);
    };
    words.list.next();
    if !matches!(protocol, ICMP | ICMPV6) {
        return Err(words.fault(at, format!("nothing is expected at `{word}`")));
    }
    match services::icmp_type(word, protocol == ICMPV6, word) {
        Ok((kind, code)) => Ok(Some((kind, code.unwrap_or(0)))),
        Err(error) => {
            let help = error.help.unwrap_or_else(|| PACKET_FORM.to_owned());
            Err(words.fault_help(at, error.message, help))
        }
    }
}

fn implied_echo(protocol: u8) -> Option<(u8, u8)> {
    match protocol {
        ICMP => Some((8, 0)),
        ICMPV6 => Some((128, 0)),
        _ => None,
    }
}

fn is_way(word: &str) -> bool {
    matches!(word, "in" | "out")
}

/// `in eth0` or `out eth0`.
fn interface_words(words: &mut Words<'_>) -> Result<Option<(bool, String)>, PacketError> {
    let Some((at, word)) = words.list.next() else {
        return Ok(None);
    };
    let leaving = word == "out";
    if !is_way(word) {
        return Err(words.fault(
            at,
            format!("expected `in` or `out` and an interface, found `{word}`"),
        ));
    }
    let (_, name) = words.next("the name of an interface")?;
    match words.list.next() {
        None => Ok(Some((leaving, name.to_owned()))),
        Some((at, word)) => Err(words.fault(at, format!("nothing is expected at `{word}`"))),
    }
}

/// Ports only where the protocol has them, one family at both ends.
fn agree(
    spec: &PacketSpec,
    words: &Words<'_>,
    at: usize,
    from: usize,
    to: usize,
) -> Result<(), PacketError> {
    let ported = matches!(
        services::whole_protocol(spec.protocol),
        Service::Ports { .. }
    );
    for (port, place) in [(spec.source_port, from), (spec.destination_port, to)] {
        if port.is_some() && !ported {
            return Err(words.fault(place, "this protocol has no ports"));
        }
    }
    if spec.source == Endpoint::Multicast {
        return Err(words.fault(from, "`multicast` is only a destination"));
    }
    if (&spec.source, &spec.destination) == (&Endpoint::Host, &Endpoint::Host) {
        return Err(words.fault(
            to,
            "from this machine to itself: that packet crosses no guarded interface",
        ));
    }
    way_agrees(spec, words)?;
    let (a, b) = (family(&spec.source), family(&spec.destination));
    if matches!((a, b), (Some(a), Some(b)) if a != b) {
        return Err(words.fault(to, "one end is IPv4, the other IPv6"));
    }
    match (spec.protocol, a.or(b)) {
        (ICMP, Some(true)) => Err(words.fault_help(at, "`icmp` is of IPv4", "write `icmpv6`")),
        (ICMPV6, Some(false)) => Err(words.fault_help(at, "`icmpv6` is of IPv6", "write `icmp`")),
        _ => Ok(()),
    }
}

/// What this machine sends does not come `in`, and what it receives does not go `out`.
fn way_agrees(spec: &PacketSpec, words: &Words<'_>) -> Result<(), PacketError> {
    let end = words.text.len();
    match (
        &spec.interface,
        spec.leaving,
        &spec.source,
        &spec.destination,
    ) {
        (Some(_), false, Endpoint::Host, _) => Err(words.fault_help(
            end,
            "a packet from host goes `out`",
            "write `out` and the interface",
        )),
        (Some(_), true, _, Endpoint::Host) => Err(words.fault_help(
            end,
            "a packet to host comes `in`",
            "write `in` and the interface",
        )),
        _ => Ok(()),
    }
}

/// Is an end IPv6, where that is known?
fn family(end: &Endpoint) -> Option<bool> {
    match end {
        Endpoint::Net(net) => Some(matches!(net, IpNet::V6(_))),
        _ => None,
    }
}

/// Reads an assertion.
pub fn parse_assertion(
    text: &str,
    span: Span,
    zones: &[Zone],
    own: &[NamedService],
) -> Result<Assertion, PacketError> {
    let mut words = Words::new(text, STATEMENT_FORM);
    let (at, word) = words.next("`allow` or `deny`")?;
    let expect = statement_action(&words, at, word)?;
    let source = statement_end(&mut words, zones, "the sender")?;
    words.arrow()?;
    let destination = statement_end(&mut words, zones, "the receiver")?;
    let services = statement_services(&mut words, own)?;
    if source == Endpoint::Multicast || (source == Endpoint::Host && destination == Endpoint::Host)
    {
        return Err(words.fault(0, "no packet of that kind is judged"));
    }
    Ok(Assertion {
        span,
        text: text.to_owned(),
        expect,
        source,
        destination,
        services,
    })
}

fn statement_action(words: &Words<'_>, at: usize, word: &str) -> Result<Action, PacketError> {
    match word {
        "allow" => Ok(Action::Allow),
        "deny" => Ok(Action::Deny),
        "reject" => Err(words.fault_help(
            at,
            "a statement says `allow` or `deny`",
            "`deny` holds for `reject` too",
        )),
        _ => {
            let message = format!("expected `allow` or `deny`, found `{word}`");
            let help = super::text::rules::action_word(word)
                .err()
                .unwrap_or_else(|| STATEMENT_FORM.to_owned());
            Err(words.fault_help(at, message, help))
        }
    }
}

fn statement_end(
    words: &mut Words<'_>,
    zones: &[Zone],
    what: &str,
) -> Result<Endpoint, PacketError> {
    let (at, word) = words.next(what)?;
    let (name, port) = split_port(word);
    if port.is_some() {
        let help = "name the port as a service behind the ends: `tcp/443`";
        return Err(words.fault_help(at, "an end of a statement has no port", help));
    }
    endpoint(words, at, name, zones)
}

fn statement_services(
    words: &mut Words<'_>,
    own: &[NamedService],
) -> Result<Option<Vec<Service>>, PacketError> {
    let mut all = Vec::new();
    let mut any = false;
    while let Some((at, word)) = words.list.next() {
        for part in word.split(',').filter(|part| !part.is_empty()) {
            any = true;
            let parts = words::parts(part, own).map_err(|error| {
                let help = error.help.unwrap_or_else(|| STATEMENT_FORM.to_owned());
                words.fault_help(at, error.message, help)
            })?;
            all.extend(parts);
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(any.then_some(all))
}

#[cfg(test)]
mod tests;
