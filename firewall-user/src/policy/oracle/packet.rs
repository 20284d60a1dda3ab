//! Reading a packet, by this module's own hand: whole packets without options that matter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall_common::reason::Reason;

use super::world::Way;

/// What a packet does to sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It may open one.
    Opens,
    /// It opens none.
    Continues,
    /// An ICMP error.
    Error,
    /// An ICMP message without sessions.
    Stateless,
}

/// An address with a port.
pub(super) type End = (IpAddr, u16);
/// The key of a session: protocol, smaller end, greater end.
pub(super) type Conversation = (u8, End, End);

/// A packet as read.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Sender.
    pub source: IpAddr,
    /// Addressee.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port, where the protocol has them.
    pub ports: Option<(u16, u16)>,
    /// ICMP type and code, of ICMP in its own family.
    pub icmp: Option<(u8, u8)>,
    /// Identifier of ICMP queries.
    pub id: u16,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// What it does to sessions.
    pub part: Part,
    /// The packet that an ICMP error quotes.
    pub quoted: Option<Box<Parsed>>,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// Reads a frame.
///
/// # Errors
/// The reason it is dropped for before anything is asked.
pub fn parse(frame: &[u8]) -> Result<Parsed, Reason> {
    let ethertype = be16(frame, 12).ok_or(Reason::Truncated)?;
    let packet = frame.get(14..).unwrap_or_default();
    match ethertype {
        0x0800 | 0x86dd => network(packet, ethertype == 0x86dd, false),
        _ => Err(Reason::UnsupportedEthertype),
    }
}

/// Reads from the IP header on; of a quoted packet only the beginning need be there.
fn network(packet: &[u8], v6: bool, quoted: bool) -> Result<Parsed, Reason> {
    if v6 {
        six(packet, quoted)
    } else {
        four(packet, quoted)
    }
}

fn four(packet: &[u8], quoted: bool) -> Result<Parsed, Reason> {
    let header: &[u8; 20] = packet.first_chunk().ok_or(Reason::Truncated)?;
    let start = usize::from(header[0] & 15) * 4;
    let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || start < 20 || end < start {
        return Err(Reason::Malformed);
    }
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let ends = (address(12).into(), address(16).into());
    let end = if quoted { end.min(packet.len()) } else { end };
    let rest = packet.get(start..end).ok_or(Reason::Truncated)?;
    transport(ends, header[9], header[8], rest, quoted)
}

fn six(packet: &[u8], quoted: bool) -> Result<Parsed, Reason> {
    let header: &[u8; 40] = packet.first_chunk().ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Malformed);
    }
    let address = |at: usize| {
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(&header[at..])
            .for_each(|(to, from)| *to = *from);
        Ipv6Addr::from(bytes)
    };
    let ends = (address(8).into(), address(24).into());
    let end = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let end = if quoted { end.min(packet.len()) } else { end };
    let rest = packet.get(40..end).ok_or(Reason::Truncated)?;
    transport(ends, header[6], header[7], rest, quoted)
}

fn transport(
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    hop_limit: u8,
    rest: &[u8],
    quoted: bool,
) -> Result<Parsed, Reason> {
    let v6 = source.is_ipv6();
    let mut parsed = Parsed {
        source,
        destination,
        protocol,
        ports: None,
        icmp: None,
        id: 0,
        hop_limit,
        part: Part::Opens,
        quoted: None,
    };
    match protocol {
        6 | 17 | 33 | 132 | 136 => {
            let ports = be16(rest, 0).zip(be16(rest, 2));
            parsed.ports = Some(ports.ok_or(Reason::Truncated)?);
            parsed.part = opens(protocol, rest, quoted)?;
        }
        1 if !v6 => icmp(&mut parsed, rest)?,
        58 if v6 => icmp(&mut parsed, rest)?,
        // "impossible values": no host takes the other family's.
        1 | 58 => return Err(Reason::Malformed),
        _ => {}
    }
    if let Part::Error = parsed.part {
        let inner = network(rest.get(8..).unwrap_or_default(), v6, true).ok();
        let speaks = |inner: &Parsed| !matches!(inner.part, Part::Error | Part::Stateless);
        parsed.quoted = inner.filter(speaks).map(Box::new);
    }
    Ok(parsed)
}

/// "A SYN without ACK, RST or FIN; any UDP, SCTP INIT, DCCP Request."
fn opens(protocol: u8, rest: &[u8], quoted: bool) -> Result<Part, Reason> {
    let at = |offset: usize| rest.get(offset).copied().ok_or(Reason::Truncated);
    let opens = match protocol {
        _ if quoted => true,
        6 => at(13)? & 0x17 == 0x02,
        132 => at(12)? == 1,
        33 => at(8)? >> 1 & 15 == 0,
        _ => true,
    };
    Ok(if opens { Part::Opens } else { Part::Continues })
}

fn icmp(parsed: &mut Parsed, rest: &[u8]) -> Result<(), Reason> {
    let header: &[u8; 8] = rest.first_chunk().ok_or(Reason::Truncated)?;
    parsed.icmp = Some((header[0], header[1]));
    parsed.part = match (parsed.source.is_ipv6(), header[0]) {
        (false, 8 | 13) | (true, 128) => Part::Opens,
        (false, 0 | 14) | (true, 129) => Part::Continues,
        (false, 3 | 4 | 5 | 11 | 12) | (true, 0..=127) => Part::Error,
        _ => Part::Stateless,
    };
    if matches!(parsed.part, Part::Opens | Part::Continues) {
        parsed.id = u16::from_be_bytes([header[4], header[5]]);
    }
    Ok(())
}

impl Parsed {
    /// Who sends and who is addressed, as sessions tell them apart. A query's sender goes by the
    /// identifier, its addressee by what is asked.
    pub(super) fn ends(&self) -> (End, End) {
        let (from, to) = match (self.ports, self.icmp) {
            (Some(ports), _) => ports,
            (None, Some((kind, _))) => self.query(kind),
            (None, None) => (0, 0),
        };
        ((self.source, from), (self.destination, to))
    }

    fn query(&self, kind: u8) -> (u16, u16) {
        let asks = |request: u8| u16::from(request) + 1;
        match (self.source.is_ipv6(), kind) {
            (false, 0) => (asks(8), self.id),
            (false, 14) => (asks(13), self.id),
            (true, 129) => (asks(128), self.id),
            _ => (self.id, asks(kind)),
        }
    }

    /// The key of its session; `None` where it can have none.
    pub(super) fn conversation(&self) -> Option<Conversation> {
        if matches!(self.part, Part::Error | Part::Stateless) {
            return None;
        }
        let (a, b) = self.ends();
        Some((self.protocol, a.min(b), a.max(b)))
    }

    /// "`::` in neighbour discovery, 0.0.0.0 in DHCP and IGMP."
    pub(super) fn may_be_unspecified(&self) -> bool {
        let zero = self.source.is_unspecified();
        let dhcp = self.protocol == 17 && matches!(self.ports, Some((67, 68) | (68, 67)));
        let v4 = self.source.is_ipv4() && zero && (dhcp || self.protocol == 2);
        v4 || matches!(self.icmp, Some((130..=133 | 135 | 143, _)) if self.source.is_ipv6())
    }

    /// The essential that a packet is, if one.
    pub(super) fn essential(&self, way: &Way) -> Result<Option<&'static str>, Reason> {
        let v6 = self.source.is_ipv6();
        let ours = self.ports.map(|(from, to)| {
            if way.arrives() {
                (to, from)
            } else {
                (from, to)
            }
        });
        match (self.protocol, ours) {
            (17, Some((68, 67))) if !v6 => return Ok(Some("dhcp")),
            (17, Some((546, 547))) if v6 => return Ok(Some("dhcpv6")),
            (2, _) if !v6 => return Ok(Some("igmp")),
            _ => {}
        }
        let Some((kind, code)) = self.icmp.filter(|_| v6) else {
            return Ok(None);
        };
        let link_local = matches!(self.source, IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80);
        let (word, believed) = match kind {
            133 => ("ra", true),
            134 => ("ra", link_local),
            135 | 136 => ("nd", true),
            137 => ("nd", link_local),
            130..=132 | 143 => {
                let local = link_local || self.source.is_unspecified();
                return Ok((self.hop_limit == 1 && local).then_some("mld"));
            }
            _ => return Ok(None),
        };
        if believed && self.hop_limit == 255 && code == 0 {
            Ok(Some(word))
        } else {
            Err(Reason::NdInvalid)
        }
    }
}
