//! What listens for TCP on this host.

use std::net::IpAddr;

/// A listening TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Its address; an unspecified one stands for all of its family, that of IPv6 for IPv4 too.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// It takes no IPv4.
    pub only_v6: bool,
    /// Connections that the service has not accepted yet.
    pub waiting: u32,
    /// How many there may be; the kernel lets one more in.
    pub most: u32,
}

impl Listener {
    fn takes(&self, to: IpAddr) -> bool {
        match self.address {
            IpAddr::V6(v6) if v6.is_unspecified() => to.is_ipv6() || !self.only_v6,
            IpAddr::V4(v4) if v4.is_unspecified() => to.is_ipv4(),
            own => own.to_canonical() == to,
        }
    }

    /// Is there no room for another connection? The kernel's own condition (`sk_acceptq_is_full`).
    const fn is_full(&self) -> bool {
        self.waiting > self.most
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners(Option<Vec<Listener>>);

/// Who listens on a port, as seen from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A socket that takes what comes to this address.
    Here(IpAddr),
    /// Such a socket, with so many connections that wait to be accepted, more than the number behind.
    Full(IpAddr, u32, u32),
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
    pub const fn of(sockets: Vec<Listener>) -> Self {
        Self(Some(sockets))
    }

    /// Who takes what comes to an address and port?
    #[must_use]
    pub fn at(&self, address: IpAddr, port: u16) -> Heard {
        let Some(sockets) = &self.0 else {
            return Heard::Unknown;
        };
        let on_port = sockets.iter().filter(|socket| socket.port == port);
        let (here, elsewhere): (Vec<&Listener>, Vec<&Listener>) =
            on_port.partition(|socket| socket.takes(address));
        if let Some(full) = here.iter().find(|socket| socket.is_full()) {
            return Heard::Full(full.address, full.waiting, full.most);
        }
        match here.first() {
            Some(own) => Heard::Here(own.address),
            None if elsewhere.is_empty() => Heard::Nobody,
            None => Heard::Elsewhere(elsewhere.iter().map(|socket| socket.address).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn socket(address: &str, port: u16) -> Listener {
        Listener {
            address: at(address),
            port,
            only_v6: false,
            waiting: 0,
            most: 8,
        }
    }

    #[test]
    fn what_listens_for_all_takes_all_of_its_family_and_ipv6_both() {
        let all = Listeners::of(vec![
            socket("0.0.0.0", 22),
            socket("::", 80),
            Listener {
                only_v6: true,
                ..socket("::", 81)
            },
            socket("127.0.0.1", 631),
            socket("::ffff:10.0.0.1", 25),
        ]);
        let (v4, v6) = (at("10.0.0.1"), at("2001:db8::1"));
        assert_eq!(all.at(v4, 22), Heard::Here(at("0.0.0.0")));
        assert_eq!(all.at(v6, 22), Heard::Elsewhere(vec![at("0.0.0.0")]));
        assert_eq!(all.at(v4, 80), Heard::Here(at("::")));
        assert_eq!(all.at(v6, 80), Heard::Here(at("::")));
        assert_eq!(all.at(v4, 81), Heard::Elsewhere(vec![at("::")]));
        assert_eq!(all.at(v4, 631), Heard::Elsewhere(vec![at("127.0.0.1")]));
        assert_eq!(all.at(v4, 25), Heard::Here(at("::ffff:10.0.0.1")));
        assert_eq!(all.at(v4, 443), Heard::Nobody);
        assert_eq!(Listeners::default().at(v4, 22), Heard::Unknown);
    }

    #[test]
    fn a_queue_is_full_when_the_kernel_says_so() {
        let with = |waiting| {
            let one = Listener {
                waiting,
                ..socket("::", 80)
            };
            Listeners::of(vec![one]).at(at("10.0.0.1"), 80)
        };
        assert_eq!(with(8), Heard::Here(at("::")));
        assert_eq!(with(9), Heard::Full(at("::"), 9, 8));
    }
}
