//! What listens for TCP on this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Listening TCP sockets: address and port. An unspecified address stands for all of its family, that of
/// IPv6 for IPv4 too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    sockets: Option<Vec<(IpAddr, u16)>>,
}

/// Who listens on a port, as seen from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A socket that takes what comes to this address.
    Here(IpAddr),
    /// Only at other addresses.
    Elsewhere(Vec<IpAddr>),
    /// None.
    Nobody,
    /// It could not be found out.
    Unknown,
}

impl Listeners {
    /// Of a list.
    #[must_use]
    pub const fn of(sockets: Vec<(IpAddr, u16)>) -> Self {
        Self {
            sockets: Some(sockets),
        }
    }

    /// As the kernel lists them for this network namespace.
    #[must_use]
    pub fn now() -> Self {
        let mut sockets = Vec::new();
        for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            match std::fs::read_to_string(path) {
                Ok(text) => sockets.extend(text.lines().skip(1).filter_map(listening)),
                // Without IPv6 there is no such file, and nothing listens.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => return Self::default(),
            }
        }
        Self::of(sockets)
    }

    /// Who takes what comes to an address and port?
    #[must_use]
    pub fn at(&self, address: IpAddr, port: u16) -> Heard {
        let Some(sockets) = &self.sockets else {
            return Heard::Unknown;
        };
        let on_port = sockets.iter().filter(|socket| socket.1 == port);
        let all: Vec<IpAddr> = on_port.map(|socket| socket.0).collect();
        let takes = |own: &&IpAddr| match own {
            IpAddr::V6(v6) if v6.is_unspecified() => true,
            IpAddr::V4(v4) if v4.is_unspecified() => address.is_ipv4(),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4).unwrap_or(**own) == address,
            IpAddr::V4(_) => **own == address,
        };
        match all.iter().find(takes) {
            Some(own) => Heard::Here(*own),
            None if all.is_empty() => Heard::Nobody,
            None => Heard::Elsewhere(all),
        }
    }
}

/// A line of the kernel's list, if its socket listens (state 0A).
fn listening(line: &str) -> Option<(IpAddr, u16)> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    let state = words.nth(1)?;
    if state != "0A" {
        return None;
    }
    Some((hex_address(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// Words of four bytes, each in host byte order as read from the network.
fn hex_address(text: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    let words = text.as_bytes().chunks(8);
    for (to, word) in bytes.chunks_mut(4).zip(words) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        to.copy_from_slice(&word.to_ne_bytes());
    }
    match text.len() {
        8 => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        32 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line = "   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1";
        assert_eq!(listening(line), Some(("127.0.0.1".parse().unwrap(), 631)));
        let line = "   1: 000080FE00000000FF005450B6AD1DFE:0050 00000000000000000000000000000000:0000 0A 0";
        let address = "fe80::5054:ff:fe1d:adb6".parse().unwrap();
        assert_eq!(listening(line), Some((address, 80)));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("nonsense"), None);
    }

    #[test]
    fn what_listens_for_all_takes_all_of_its_family_and_ipv6_both() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = Listeners::of(vec![
            (at("0.0.0.0"), 22),
            (at("::"), 80),
            (at("127.0.0.1"), 631),
            (at("::ffff:10.0.0.1"), 25),
        ]);
        assert_eq!(all.at(at("10.0.0.1"), 22), Heard::Here(at("0.0.0.0")));
        assert_eq!(
            all.at(at("2001:db8::1"), 22),
            Heard::Elsewhere(vec![at("0.0.0.0")])
        );
        assert_eq!(all.at(at("10.0.0.1"), 80), Heard::Here(at("::")));
        assert_eq!(
            all.at(at("10.0.0.1"), 25),
            Heard::Here(at("::ffff:10.0.0.1"))
        );
        assert_eq!(
            all.at(at("10.0.0.1"), 631),
            Heard::Elsewhere(vec![at("127.0.0.1")])
        );
        assert_eq!(all.at(at("10.0.0.1"), 443), Heard::Nobody);
        assert_eq!(Listeners::default().at(at("10.0.0.1"), 443), Heard::Unknown);
    }
}
