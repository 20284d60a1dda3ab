//! What a rule compares: a field of the packet with what stands on the right.

use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::{Expression, MetaKey, NamedExpression, Payload, SetItem};
use nftables::stmt::{Match, Operator};

use super::packet::Packet;

/// Yes, no, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tri {
    Yes,
    No,
    Maybe,
}

impl Tri {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }

    /// Does one of them hold?
    fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut found = Self::No;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::Maybe => found = Self::Maybe,
                Self::No => {}
            }
        }
        found
    }
}

/// A field of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Number(u64),
    Protocol(u8),
    Address(IpAddr),
    Word(String),
    /// The packet has no such header.
    Absent,
}

/// Does a match hold?
pub(super) fn matches(condition: &Match<'_>, packet: &Packet) -> Tri {
    let Some(field) = field(&condition.left, packet) else {
        return Tri::Maybe;
    };
    if field == Field::Absent {
        return Tri::No;
    }
    let same = compare(&field, &condition.right);
    match condition.op {
        Operator::EQ | Operator::IN => same,
        Operator::NEQ => same.not(),
        _ => Tri::Maybe,
    }
}

/// Is the packet's field this value? For the keys of verdict maps.
pub(super) fn is(left: &Expression<'_>, right: &Expression<'_>, packet: &Packet) -> Tri {
    match field(left, packet) {
        None => Tri::Maybe,
        Some(Field::Absent) => Tri::No,
        Some(field) => compare(&field, right),
    }
}

fn field(left: &Expression<'_>, packet: &Packet) -> Option<Field> {
    let Expression::Named(named) = left else {
        return None;
    };
    match named {
        NamedExpression::Meta(meta) => of_meta(meta.key, packet),
        // A new connection.
        NamedExpression::CT(ct) if ct.key == "state" => Some(Field::Word("new".to_owned())),
        NamedExpression::Payload(Payload::PayloadField(at)) => {
            of_header(&at.protocol, &at.field, packet)
        }
        _ => None,
    }
}

fn of_meta(key: MetaKey, packet: &Packet) -> Option<Field> {
    let v6 = packet.source.is_ipv6();
    let word = |word: &str| Some(Field::Word(word.to_owned()));
    match key {
        MetaKey::L4proto => Some(Field::Protocol(packet.protocol)),
        MetaKey::Nfproto => word(if v6 { "ipv6" } else { "ipv4" }),
        MetaKey::Protocol => word(if v6 { "ip6" } else { "ip" }),
        MetaKey::Iifname | MetaKey::Iif if !packet.leaving => word(&packet.interface),
        MetaKey::Oifname | MetaKey::Oif if packet.leaving => word(&packet.interface),
        _ => None,
    }
}

fn of_header(header: &str, name: &str, packet: &Packet) -> Option<Field> {
    let v6 = packet.source.is_ipv6();
    let ports = matches!(header, "tcp" | "udp" | "sctp" | "dccp" | "udplite" | "th");
    match (header, name) {
        ("ip", _) if v6 => Some(Field::Absent),
        ("ip6", _) if !v6 => Some(Field::Absent),
        ("ip" | "ip6", "saddr") => Some(Field::Address(packet.source)),
        ("ip" | "ip6", "daddr") => Some(Field::Address(packet.destination)),
        ("ip", "protocol") | ("ip6", "nexthdr") => Some(Field::Protocol(packet.protocol)),
        _ if ports && header != "th" && protocol(header) != Some(packet.protocol) => {
            Some(Field::Absent)
        }
        (_, "dport") if ports => Some(
            packet
                .port
                .map_or(Field::Absent, |p| Field::Number(p.into())),
        ),
        ("icmp", _) if packet.protocol != 1 => Some(Field::Absent),
        ("icmpv6", _) if packet.protocol != 58 => Some(Field::Absent),
        ("icmp" | "icmpv6", "type") => Some(Field::Word("echo-request".to_owned())),
        _ => None,
    }
}

fn compare(field: &Field, right: &Expression<'_>) -> Tri {
    match right {
        Expression::List(all) => Tri::any(all.iter().map(|one| compare(field, one))),
        Expression::Named(NamedExpression::Set(items)) => {
            Tri::any(items.iter().map(|item| match item {
                SetItem::Element(one) => compare(field, one),
                _ => Tri::Maybe,
            }))
        }
        Expression::Named(NamedExpression::Elem(element)) => compare(field, &element.val),
        Expression::Named(NamedExpression::Prefix(prefix)) => {
            in_prefix(field, &prefix.addr, prefix.len)
        }
        Expression::Range(range) => {
            let [low, high] = &range.range;
            in_range(field, low, high)
        }
        Expression::String(text) => is_word(field, text),
        Expression::Number(number) => match field {
            Field::Number(here) => Tri::of(*here == u64::from(*number)),
            Field::Protocol(here) => Tri::of(u32::from(*here) == *number),
            // Words also have numbers, which we do not look up.
            _ => Tri::Maybe,
        },
        _ => Tri::Maybe,
    }
}

fn is_word(field: &Field, text: &str) -> Tri {
    if text.starts_with('@') {
        return Tri::Maybe;
    }
    match field {
        Field::Word(here) => Tri::of(match text.strip_suffix('*') {
            Some(start) => here.starts_with(start),
            None => here == text,
        }),
        Field::Protocol(here) => protocol(text).map_or(Tri::Maybe, |p| Tri::of(p == *here)),
        Field::Address(here) => text
            .parse::<IpAddr>()
            .map_or(Tri::Maybe, |a| Tri::of(a == *here)),
        _ => Tri::Maybe,
    }
}

fn in_prefix(field: &Field, address: &Expression<'_>, length: u32) -> Tri {
    let (Field::Address(here), Expression::String(text)) = (field, address) else {
        return Tri::Maybe;
    };
    let length = u8::try_from(length).ok();
    let net = text
        .parse()
        .ok()
        .zip(length)
        .and_then(|(a, l)| IpNet::new(a, l).ok());
    net.map_or(Tri::Maybe, |net| Tri::of(net.contains(here)))
}

fn in_range(field: &Field, low: &Expression<'_>, high: &Expression<'_>) -> Tri {
    match (field, low, high) {
        (Field::Number(here), Expression::Number(low), Expression::Number(high)) => {
            Tri::of((u64::from(*low)..=u64::from(*high)).contains(here))
        }
        (Field::Address(here), Expression::String(low), Expression::String(high)) => {
            let ends = low.parse::<IpAddr>().ok().zip(high.parse::<IpAddr>().ok());
            ends.map_or(Tri::Maybe, |(low, high)| {
                Tri::of((low..=high).contains(here))
            })
        }
        _ => Tri::Maybe,
    }
}

fn protocol(word: &str) -> Option<u8> {
    Some(match word {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        "udplite" => 136,
        _ => return word.parse().ok(),
    })
}
