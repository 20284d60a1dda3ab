//! Protocols, ports and ICMP types by name: the built-in services, and how one service word is read.

mod table;

use super::model::Service;

pub use table::{BARE_PROTOCOLS, BUILT_IN, ICMP_TYPES, ICMPV6_TYPES, PORT_PROTOCOLS};

/// ICMP for IPv4 and for IPv6.
pub const ICMP: u8 = 1;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;

/// Why a word is no service, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: Option<String>,
}

impl ServiceError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (message, help) = (message.into(), None);
        Self {
            code,
            message,
            help,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The parts of a built-in service.
#[must_use]
pub fn built_in(name: &str) -> Option<Vec<Service>> {
    let (_, parts) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    parts
        .split(' ')
        .map(|part| word(part).ok().flatten())
        .collect()
}

/// The names of all built-in services.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Is this word a protocol, so that no service may take it as its name?
#[must_use]
pub fn is_protocol_word(word: &str) -> bool {
    matches!(word, "icmp" | "icmpv6" | "proto")
        || port_protocol(word).or(bare_protocol(word)).is_some()
}

/// The number of a protocol with ports.
#[must_use]
pub fn port_protocol(word: &str) -> Option<u8> {
    lookup(&PORT_PROTOCOLS, word)
}

/// The number of a protocol without ports.
#[must_use]
pub fn bare_protocol(word: &str) -> Option<u8> {
    lookup(&BARE_PROTOCOLS, word)
}

/// How a protocol is written in front of a packet: its name, or `proto/N`.
#[must_use]
pub fn protocol_word(number: u8) -> String {
    let icmp = [("icmp", ICMP), ("icmpv6", ICMPV6)];
    let mut all = PORT_PROTOCOLS.iter().chain(&BARE_PROTOCOLS).chain(&icmp);
    match all.find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("proto/{number}"),
    }
}

/// A protocol word in front of a packet, or `proto/N`.
pub fn protocol(word: &str) -> Option<u8> {
    match word {
        "icmp" => Some(ICMP),
        "icmpv6" => Some(ICMPV6),
        _ => port_protocol(word)
            .or(bare_protocol(word))
            .or_else(|| byte(word.strip_prefix("proto/")?)),
    }
}

fn lookup(table: &[(&str, u8)], word: &str) -> Option<u8> {
    table
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, number)| *number)
}

fn byte(word: &str) -> Option<u8> {
    super::text::walk::decimal(word)?.try_into().ok()
}

/// Reads `tcp/443`, `udp/8000-8100`, `icmp/3/4`, `gre`, `proto/47` …; `None` for what can only be a name.
pub fn word(word: &str) -> Result<Option<Service>, ServiceError> {
    let (head, tail) = match word.split_once('/') {
        Some((head, tail)) => (head, Some(tail)),
        None => (word, None),
    };
    match (head, tail) {
        ("icmp", tail) => icmp(word, false, tail).map(Some),
        ("icmpv6", tail) => icmp(word, true, tail).map(Some),
        ("proto", tail) => any_protocol(word, tail.unwrap_or_default()).map(Some),
        (head, tail) => match (port_protocol(head), bare_protocol(head)) {
            (Some(number), _) => ports(word, number, tail).map(Some),
            (_, Some(number)) => bare(word, number, tail).map(Some),
            _ => not_a_protocol(word, head, tail),
        },
    }
}

fn ports(word: &str, protocol: u8, tail: Option<&str>) -> Result<Service, ServiceError> {
    let Some(tail) = tail else {
        let message = format!("`{word}` alone says no port");
        let help = format!("write `{word}/443`, `{word}/8000-8100`, or `{word}/*` for all ports");
        return Err(ServiceError::new("bad-service", message).help(help));
    };
    let (low, high) = if tail == "*" {
        (0, u16::MAX)
    } else {
        port_range(tail)?
    };
    Ok(Service::Ports {
        protocol,
        low,
        high,
    })
}

/// One port or `low-high`.
pub fn port_range(text: &str) -> Result<(u16, u16), ServiceError> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        (Some(low), Some(high)) => {
            let message = format!("the port range `{text}` runs backwards");
            Err(ServiceError::new("bad-range", message).help(format!("write `{high}-{low}`")))
        }
        _ => Err(bad_port(text)),
    }
}

fn port(text: &str) -> Option<u16> {
    super::text::walk::decimal(text.trim())?.try_into().ok()
}

fn bad_port(text: &str) -> ServiceError {
    let message =
        format!("`{text}` is no port: a number from 0 to 65535, or a range such as 8000-8100");
    let error = ServiceError::new("bad-port", message);
    match text {
        _ if text.contains(',') => error.help("write one entry a port: [tcp/80, tcp/443]"),
        _ if text.contains(':') => error.help(format!("write `{}`", text.replace(':', "-"))),
        _ => error,
    }
}

fn icmp(word: &str, v6: bool, tail: Option<&str>) -> Result<Service, ServiceError> {
    let (kind, code) = match tail {
        None | Some("*") => (None, None),
        Some(tail) => {
            let (kind, code) = icmp_type(word, v6, tail)?;
            (Some(kind), code)
        }
    };
    Ok(Service::Icmp { v6, kind, code })
}

/// `echo-request`, `3`, `3/4`: type and code.
pub fn icmp_type(word: &str, v6: bool, text: &str) -> Result<(u8, Option<u8>), ServiceError> {
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind, Some(code)),
        None => (text, None),
    };
    let table = if v6 { ICMPV6_TYPES } else { ICMP_TYPES };
    let number = lookup(table, kind).or_else(|| byte(kind));
    let number = number.ok_or_else(|| bad_icmp_type(word, v6, kind, table))?;
    let Some(code) = code else {
        return Ok((number, None));
    };
    let code = byte(code).ok_or_else(|| {
        ServiceError::new(
            "bad-service",
            format!("`{word}`: an ICMP code is a number from 0 to 255"),
        )
    })?;
    Ok((number, Some(code)))
}

fn bad_icmp_type(word: &str, v6: bool, kind: &str, table: &[(&str, u8)]) -> ServiceError {
    let family = if v6 { "ICMPv6" } else { "ICMPv4" };
    let message = format!("`{word}`: `{kind}` is no type of {family}");
    let help = super::text::walk::suggestion(kind, table.iter().map(|(name, _)| *name));
    ServiceError::new("bad-service", message).help(help)
}

fn any_protocol(word: &str, number: &str) -> Result<Service, ServiceError> {
    let message = format!("`{word}`: a protocol is a number from 0 to 255, such as proto/47");
    let number = byte(number).ok_or_else(|| ServiceError::new("bad-service", message))?;
    Ok(whole_protocol(number))
}

/// All of a protocol, in the form its named words give.
#[must_use]
pub fn whole_protocol(number: u8) -> Service {
    match number {
        ICMP | ICMPV6 => Service::Icmp {
            v6: number == ICMPV6,
            kind: None,
            code: None,
        },
        _ if PORT_PROTOCOLS.iter().any(|(_, known)| *known == number) => Service::Ports {
            protocol: number,
            low: 0,
            high: u16::MAX,
        },
        _ => Service::Protocol(number),
    }
}

fn bare(word: &str, number: u8, tail: Option<&str>) -> Result<Service, ServiceError> {
    if tail.is_some_and(|tail| tail != "*") {
        let message = format!("`{word}`: this protocol has no ports");
        return Err(ServiceError::new("bad-service", message));
    }
    Ok(Service::Protocol(number))
}

fn not_a_protocol(
    word: &str,
    head: &str,
    tail: Option<&str>,
) -> Result<Option<Service>, ServiceError> {
    let error = ServiceError::new("bad-service", format!("`{word}` is no service"));
    if head.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        let protocol = tail
            .filter(|tail| port_protocol(tail).is_some())
            .unwrap_or("tcp");
        return Err(error.help(format!(
            "the protocol comes first: write `{protocol}/{head}`"
        )));
    }
    if let Some((protocol, port)) = word.split_once(':') {
        return Err(error.help(format!("write `{protocol}/{port}`")));
    }
    if tail.is_some() {
        let known = PORT_PROTOCOLS
            .iter()
            .map(|(name, _)| *name)
            .chain(["icmp", "icmpv6", "proto"]);
        let help = super::text::walk::suggestion(head, known);
        return Err(error.help(help));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_service_reads_and_the_table_is_in_order() {
        let names: Vec<&str> = built_in_names().collect();
        assert!(
            names.windows(2).all(|pair| pair[0] < pair[1]),
            "sorted, none twice"
        );
        for name in names {
            assert!(
                built_in(name).is_some_and(|parts| !parts.is_empty()),
                "{name}"
            );
            assert!(crate::policy::text::walk::is_name(name), "{name}");
            assert!(!is_protocol_word(name), "{name}");
        }
    }

    #[test]
    fn the_services_the_language_names_are_there() {
        for name in "ssh dns http https http3 ntp postgres mysql redis kube-apiserver etcd vrrp wireguard smtp \
            submission imap imaps ldap ldaps kerberos smb nfs syslog snmp prometheus node-exporter grafana ping"
            .split_whitespace()
        {
            assert!(built_in(name).is_some(), "{name}");
        }
        let echo = [(false, 8), (true, 128)];
        let echo = echo.map(|(v6, kind)| Service::Icmp {
            v6,
            kind: Some(kind),
            code: None,
        });
        assert_eq!(built_in("ping").unwrap(), echo);
    }

    #[test]
    fn words_of_the_language() {
        let ports = |protocol, low, high| Service::Ports {
            protocol,
            low,
            high,
        };
        let icmp = |v6, kind, code| Service::Icmp { v6, kind, code };
        for (text, service) in [
            ("tcp/443", ports(6, 443, 443)),
            ("udp/8000-8100", ports(17, 8000, 8100)),
            ("tcp/*", ports(6, 0, 65535)),
            ("sctp/2905", ports(132, 2905, 2905)),
            ("dccp/1", ports(33, 1, 1)),
            ("icmp/echo-request", icmp(false, Some(8), None)),
            ("icmp/3/4", icmp(false, Some(3), Some(4))),
            (
                "icmp/destination-unreachable/4",
                icmp(false, Some(3), Some(4)),
            ),
            ("icmpv6/128", icmp(true, Some(128), None)),
            ("icmpv6/packet-too-big", icmp(true, Some(2), None)),
            ("icmp", icmp(false, None, None)),
            ("icmpv6/*", icmp(true, None, None)),
            ("gre", Service::Protocol(47)),
            ("proto/47", Service::Protocol(47)),
            ("proto/112", Service::Protocol(112)),
            ("proto/6", ports(6, 0, 65535)),
            ("proto/58", icmp(true, None, None)),
        ] {
            assert_eq!(word(text), Ok(Some(service)), "{text}");
        }
        assert_eq!(word("ssh"), Ok(None), "can only be a name");
    }

    #[test]
    fn protocols_have_words_both_ways() {
        for number in 0..=255 {
            assert_eq!(protocol(&protocol_word(number)), Some(number));
        }
    }
}
