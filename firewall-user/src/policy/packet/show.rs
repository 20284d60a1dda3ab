//! Packets and their ends as text again.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::model::{Endpoint, PacketSpec, Zone};
use crate::policy::services::{self, ICMPV6};

/// The packet as text again; `zones` are those it was read with.
#[must_use]
pub fn display<'a>(spec: &'a PacketSpec, zones: &'a [Zone]) -> impl fmt::Display + 'a {
    Shown { spec, zones }
}

struct Shown<'a> {
    spec: &'a PacketSpec,
    zones: &'a [Zone],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.spec;
        write!(f, "{} ", services::protocol_word(spec.protocol))?;
        self.end(f, &spec.source, spec.source_port)?;
        f.write_str(" -> ")?;
        self.end(f, &spec.destination, spec.destination_port)?;
        if let Some((kind, code)) = spec.icmp {
            write!(f, " {}", icmp_word(spec.protocol == ICMPV6, kind, code))?;
        }
        match &spec.interface {
            Some(name) if spec.leaving => write!(f, " out {name}"),
            Some(name) => write!(f, " in {name}"),
            None => Ok(()),
        }
    }
}

impl Shown<'_> {
    fn end(&self, f: &mut fmt::Formatter<'_>, end: &Endpoint, port: Option<u16>) -> fmt::Result {
        let name = endpoint_word(end, self.zones);
        match port {
            Some(port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Some(port) => write!(f, "{name}:{port}"),
            None => f.write_str(&name),
        }
    }
}

/// An end as text; `zones` are those it was read with.
#[must_use]
pub fn endpoint_word(end: &Endpoint, zones: &[Zone]) -> String {
    match end {
        Endpoint::Host => "host".to_owned(),
        Endpoint::Any => "any".to_owned(),
        Endpoint::Multicast => "multicast".to_owned(),
        Endpoint::Zone(index) => zones
            .get(*index)
            .map_or_else(|| "?".to_owned(), |zone| zone.name.clone()),
        Endpoint::Net(net) => net_word(*net),
    }
}

fn net_word(net: IpNet) -> String {
    let whole = match net.addr() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    if net.prefix_len() == whole {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// An ICMP type and code as a packet's text names them.
#[must_use]
pub fn icmp_word(v6: bool, kind: u8, code: u8) -> String {
    let table = if v6 {
        services::ICMPV6_TYPES
    } else {
        services::ICMP_TYPES
    };
    match table.iter().find(|(_, number)| *number == kind) {
        Some((name, _)) if code == 0 => (*name).to_owned(),
        Some((name, _)) => format!("{name}/{code}"),
        None if code == 0 => kind.to_string(),
        None => format!("{kind}/{code}"),
    }
}
