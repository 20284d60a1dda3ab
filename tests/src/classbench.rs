//! Rule sets of the field (ClassBench) as one policy over routed traffic, and packets at the borders of their
//! rules. See `tests/data/classbench`.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use firewall_common::addr::Addr;
use firewall_common::flow::Tuple;
use firewall_common::packet::protocol::has_ports;
use firewall_common::policy::lookup::Question;
use firewall_common::zone::Course;

use crate::scenario::Random;

/// A rule of a set: first and last value of each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Source addresses and the prefix length that they are.
    pub source: (u32, u32, u32),
    /// Destination addresses, likewise.
    pub destination: (u32, u32, u32),
    /// Source ports.
    pub source_port: (u16, u16),
    /// Destination ports.
    pub destination_port: (u16, u16),
    /// The protocol; `None` for every one.
    pub protocol: Option<u8>,
}

/// A packet, as far as such rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port; 0 for protocols without ports.
    pub source_port: u16,
    /// Destination port; 0 for protocols without ports.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: u8,
}

/// Reads a set.
pub fn read(text: &str) -> anyhow::Result<Vec<Rule>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let numbered = lines.enumerate();
    let rule = |(number, line): (usize, &str)| {
        rule(line).with_context(|| format!("rule {}: {line}", number + 1))
    };
    numbered.map(rule).collect()
}

fn rule(line: &str) -> anyhow::Result<Rule> {
    let line = line.strip_prefix('@').context("no @")?;
    let fields: Vec<&str> = line.split('\t').collect();
    let field = |place: usize| fields.get(place).copied().context("too few fields");
    let (number, mask) = field(4)?.split_once('/').context("no mask")?;
    let hex = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16);
    Ok(Rule {
        source: net(field(0)?)?,
        destination: net(field(1)?)?,
        source_port: ports(field(2)?)?,
        destination_port: ports(field(3)?)?,
        protocol: (hex(mask)? != 0).then_some(hex(number)?),
    })
}

fn net(text: &str) -> anyhow::Result<(u32, u32, u32)> {
    let (address, length) = text.split_once('/').context("no length")?;
    let length: u32 = length.parse()?;
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    let first = u32::from(address.parse::<Ipv4Addr>()?) & mask;
    Ok((first, first | !mask, length))
}

fn ports(text: &str) -> anyhow::Result<(u16, u16)> {
    let (low, high) = text.split_once(" : ").context("no range")?;
    Ok((low.trim().parse()?, high.trim().parse()?))
}

const ALL: (u16, u16) = (0, u16::MAX);
/// Protocols with ports, as the language names them.
const PORTED: [(u8, &str); 5] = [
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (132, "sctp"),
    (136, "udplite"),
];

impl Rule {
    /// Does a packet match? This is the naive truth.
    pub fn matches(&self, header: &Header) -> bool {
        let within = |(low, high): (u16, u16), port: u16| (low..=high).contains(&port);
        let ports = (self.source_port, self.destination_port) == (ALL, ALL)
            || (has_ports(header.protocol)
                && within(self.source_port, header.source_port)
                && within(self.destination_port, header.destination_port));
        (self.source.0..=self.source.1).contains(&header.source)
            && (self.destination.0..=self.destination.1).contains(&header.destination)
            && self
                .protocol
                .is_none_or(|protocol| protocol == header.protocol)
            && ports
    }

    fn services(&self) -> Option<String> {
        let (low, high) = self.destination_port;
        let ranged = (self.source_port, self.destination_port) != (ALL, ALL);
        let of = |name: &str| {
            if low == high {
                format!("{name}/{low}")
            } else {
                format!("{name}/{low}-{high}")
            }
        };
        match self.protocol {
            Some(number) => {
                let mut ported = PORTED.iter().filter(|(own, _)| *own == number);
                let ported = ported.next().map(|(_, name)| of(name));
                Some(ported.unwrap_or_else(|| format!("proto/{number}")))
            }
            None if ranged => Some(PORTED.map(|(_, name)| of(name)).join(", ")),
            None => None,
        }
    }

    fn conditions(&self) -> String {
        let mut text = String::new();
        let net =
            |(first, _, length): (u32, u32, u32)| format!("{}/{length}", Ipv4Addr::from(first));
        if self.source.2 > 0 {
            let _ = write!(text, ", sources: [{}]", net(self.source));
        }
        if self.destination.2 > 0 {
            let _ = write!(text, ", destinations: [{}]", net(self.destination));
        }
        if let Some(services) = self.services() {
            let _ = write!(text, ", services: [{services}]");
        }
        let (low, high) = self.source_port;
        if (low, high) != ALL {
            let _ = write!(text, ", source_ports: [{low}-{high}]");
        }
        text
    }
}

/// Does `nothing` match a packet that no rule can? A rule about ports of a protocol without them.
const fn is_nothing(rule: &Rule) -> bool {
    let ranged = rule.source_port.0 != 0
        || rule.source_port.1 != u16::MAX
        || rule.destination_port.0 != 0
        || rule.destination_port.1 != u16::MAX;
    match rule.protocol {
        Some(number) => ranged && !has_ports(number),
        None => false,
    }
}

/// The set as a policy over routed traffic: rule `n` is `all/r<n>`, and every other one allows.
pub fn policy(rules: &[Rule]) -> String {
    let mut text = "apiVersion: ringwall/v1
metadata: {name: classbench, revision: 1}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones: {world: {default: true}}
policies:
  - name: all
    from: world
    to: world
    rules:
"
    .to_owned();
    for (number, rule) in rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| !is_nothing(rule))
    {
        let action = if number % 2 == 0 { "deny" } else { "allow" };
        let _ = writeln!(
            text,
            "      - {{name: r{number}, action: {action}{}}}",
            rule.conditions()
        );
    }
    text
}

/// The first rule that matches, one after the other.
pub fn linear(rules: &[Rule], header: &Header) -> Option<usize> {
    rules.iter().position(|rule| rule.matches(header))
}

/// A packet in a rule of the set: at its borders, just outside, or anywhere inside.
pub fn header(rules: &[Rule], random: &mut Random) -> Header {
    let of = |random: &mut Random| rules[random.below(rules.len() as u64) as usize];
    let (one, other) = (of(random), of(random));
    // Of two rules now and then, so that their crossings are met.
    let mixed = random.below(8) == 0;
    let destination = if mixed { other } else { one };
    let protocol = match one.protocol {
        Some(number) if random.below(16) > 0 => number,
        _ => [6, 17, 1, 47, 132][random.below(5) as usize],
    };
    let ported = has_ports(protocol);
    let port = |random: &mut Random, (low, high): (u16, u16)| {
        let port = near(random, (low.into(), high.into())) as u16;
        if ported { port } else { 0 }
    };
    Header {
        source: near(random, (one.source.0, one.source.1)),
        destination: near(
            random,
            (destination.destination.0, destination.destination.1),
        ),
        source_port: port(random, one.source_port),
        destination_port: port(random, destination.destination_port),
        protocol,
    }
}

fn near(random: &mut Random, (low, high): (u32, u32)) -> u32 {
    match random.below(16) {
        0 => low.wrapping_sub(1),
        1 => high.wrapping_add(1),
        2..4 => low,
        4..6 => high,
        _ => {
            let span = u64::from(high - low) + 1;
            low + random.below(span) as u32
        }
    }
}

impl Header {
    /// What is asked of the policy: routed traffic between two interfaces.
    pub fn question(&self) -> Question {
        Question {
            tuple: Tuple {
                source: Addr::v4(self.source),
                destination: Addr::v4(self.destination),
                source_port: self.source_port,
                destination_port: self.destination_port,
                protocol: self.protocol,
                ..Tuple::default()
            },
            interface_in: 1,
            interface_out: 2,
            now: 1,
            course: Course::Routed as u8,
            ..Question::default()
        }
    }
}
