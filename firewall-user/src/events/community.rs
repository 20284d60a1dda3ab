//! Community ID, version 1: one id for a conversation, the same in every tool that knows it
//! (<https://github.com/corelight/community-id-spec>).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A conversation, as the specification takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// IP protocol number.
    pub protocol: u8,
    /// The sender.
    pub source: IpAddr,
    /// The addressee.
    pub destination: IpAddr,
    /// Both ports, for protocols that have them; for ICMP type and code.
    pub ports: Option<(u16, u16)>,
}

/// The id, with the seed that everybody has unless told otherwise.
#[must_use]
pub fn id(of: &Conversation) -> String {
    let (ports, one_way) = mapped(of);
    let mut from = (of.source, ports.map(|p| p.0));
    let mut to = (of.destination, ports.map(|p| p.1));
    if !one_way && to < from {
        (from, to) = (to, from);
    }
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    for (address, _) in [from, to] {
        match address {
            IpAddr::V4(v4) => hash.update(v4.octets()),
            IpAddr::V6(v6) => hash.update(v6.octets()),
        }
    }
    hash.update([of.protocol, 0]);
    for port in [from.1, to.1].into_iter().flatten() {
        hash.update(port.to_be_bytes());
    }
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

/// ICMP messages that have an answer are known by both types; others go one way.
fn mapped(of: &Conversation) -> (Option<(u16, u16)>, bool) {
    let Some((kind, _)) = of.ports.filter(|_| matches!(of.protocol, 1 | 58)) else {
        return (of.ports, false);
    };
    let pairs: &[(u16, u16)] = match of.protocol {
        1 => &[(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)],
        _ => &[
            (128, 129),
            (133, 134),
            (135, 136),
            (130, 131),
            (144, 145),
            (139, 140),
        ],
    };
    let answer = pairs.iter().find_map(|(asks, answers)| match kind {
        k if k == *asks => Some(*answers),
        k if k == *answers => Some(*asks),
        _ => None,
    });
    match answer {
        Some(answer) => (Some((kind, answer)), false),
        None => (of.ports, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protocol, both ends, ports, id.
    type Vector = (
        u8,
        &'static str,
        &'static str,
        Option<(u16, u16)>,
        &'static str,
    );

    /// Of the specification's own baseline.
    #[rustfmt::skip]
    const VECTORS: &[Vector] = &[
        (6, "128.232.110.120", "66.35.250.204", Some((34855, 80)), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (6, "66.35.250.204", "128.232.110.120", Some((80, 34855)), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (17, "192.168.1.52", "8.8.8.8", Some((54585, 53)), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (132, "192.168.170.8", "192.168.170.56", Some((7, 7)), "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
        (1, "192.168.0.89", "192.168.0.1", Some((8, 0)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (1, "192.168.0.1", "192.168.0.89", Some((0, 0)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (1, "10.0.0.1", "10.0.0.2", Some((11, 0)), "1:YHxtAirCG//0OzkcVAukqKQN9xM="),
        (58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", Some((135, 0)), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
        (58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", Some((136, 0)), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
        (58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", Some((3, 0)), "1:2ObVBgIn28oZvibYZhZMBgh7WdQ="),
        (58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", Some((1, 4)), "1:hLZd0XGWojozrvxqE0dWB1iM6R0="),
        (6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", Some((63943, 25)), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="),
        (46, "10.1.12.1", "10.1.12.2", None, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="),
        (46, "10.1.12.2", "10.1.12.1", None, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="),
    ];

    #[test]
    fn the_specifications_vectors() {
        for (protocol, source, destination, ports, wanted) in VECTORS {
            let of = Conversation {
                protocol: *protocol,
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                ports: *ports,
            };
            assert_eq!(id(&of), *wanted, "{of:?}");
        }
    }
}
