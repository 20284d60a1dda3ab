//! Wires between namespaces.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::process::wait_until;
use super::{Netns, process};

/// One end of a wire.
#[derive(Clone)]
pub struct End {
    /// The namespace it is in.
    pub ns: Netns,
    /// Its interface name there.
    pub interface: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its kernel number.
    pub ifindex: u32,
}

/// A virtual wire. It has no drop: it goes with either of its namespaces.
pub struct Veth {
    ends: [Spec; 2],
    mtu: u32,
    queues: u32,
    neighbours: bool,
}

struct Spec {
    ns: Netns,
    interface: String,
    addresses: Vec<String>,
    mac: [u8; 6],
    number: u16,
}

impl Veth {
    /// A wire from an interface of `a` to one of `b`, each with its addresses (`10.77.0.1/25`,
    /// `fd77::1/64`). Hardware addresses are chosen here, locally administered.
    pub fn between(a: (&Netns, &str, &[&str]), b: (&Netns, &str, &[&str])) -> Self {
        Self {
            ends: [Spec::new(a), Spec::new(b)],
            mtu: 1500,
            queues: 1,
            neighbours: false,
        }
    }

    /// Another MTU than 1500.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// So many queues each way; the kernel spreads flows over them by a hash.
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Hardware addresses of the two ends.
    pub fn macs(mut self, a: [u8; 6], b: [u8; 6]) -> Self {
        (self.ends[0].mac, self.ends[1].mac) = (a, b);
        self
    }

    /// Each end knows the other's hardware address: no ARP and no neighbour discovery on the wire.
    pub fn static_neighbours(mut self) -> Self {
        self.neighbours = true;
        self
    }

    /// Makes it and waits until both ends carry.
    pub fn create(self) -> Result<(End, End)> {
        let [a, b] = &self.ends;
        let (one, other) = (a.device(&self), b.device(&self));
        let add = format!(
            "link add {one} type veth peer {other} netns {}\n",
            b.ns.name()
        );
        process::ip_batch(Some(&a.ns), &(add + &a.lines()))?;
        process::ip_batch(Some(&b.ns), &(b.lines() + &self.neighbours_of(b, a)))?;
        if self.neighbours {
            process::ip_batch(Some(&a.ns), &self.neighbours_of(a, b))?;
        }
        Ok((a.end()?, b.end()?))
    }

    fn neighbours_of(&self, at: &Spec, of: &Spec) -> String {
        let mut lines = String::new();
        for address in of.addresses.iter().filter(|_| self.neighbours) {
            let ip = address.split('/').next().unwrap_or_default();
            let (mac, dev) = (mac_text(of.mac), &at.interface);
            let _ = writeln!(
                lines,
                "neigh replace {ip} lladdr {mac} dev {dev} nud permanent"
            );
        }
        lines
    }
}

impl Spec {
    fn new((ns, interface, addresses): (&Netns, &str, &[&str])) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.to_be_bytes();
        let addresses = addresses.iter().map(|&a| a.to_owned()).collect();
        let mac = [0x02, 0x77, 0, 0, high, low];
        Self {
            ns: ns.clone(),
            interface: interface.to_owned(),
            addresses,
            mac,
            number,
        }
    }

    /// With equal numbers at both ends (the first device in each of two namespaces) the kernel takes a
    /// second to notice the carrier; so each end gets its own.
    fn device(&self, veth: &Veth) -> String {
        let index = 100 + u32::from(self.number);
        let (mtu, queues) = (veth.mtu, veth.queues);
        format!(
            "name {} index {index} address {} mtu {mtu} numtxqueues {queues} numrxqueues {queues}",
            self.interface,
            mac_text(self.mac)
        )
    }

    fn lines(&self) -> String {
        let mut lines = String::new();
        for address in &self.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            let _ = writeln!(lines, "addr add {address} dev {}{nodad}", self.interface);
        }
        let _ = writeln!(lines, "link set {} up", self.interface);
        lines
    }

    fn end(&self) -> Result<End> {
        let running = || is_running(&self.interface).then_some(());
        let up = self.ns.run(|| wait_until(Duration::from_secs(5), running));
        up.with_context(|| format!("{} in {} does not come up", self.interface, self.ns.name()))?;
        let ifindex = self.ns.ifindex(&self.interface)?;
        Ok(End {
            ns: self.ns.clone(),
            interface: self.interface.clone(),
            mac: self.mac,
            ifindex,
        })
    }
}

/// Whether the interface, in the calling thread's namespace, has its carrier.
fn is_running(interface: &str) -> bool {
    // SAFETY: ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(interface.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    let Ok(socket) = std::net::UdpSocket::bind(("0.0.0.0", 0)) else {
        return false;
    };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the descriptor is open and the request is a terminated name with room for the answer;
    // flags are what this call writes into the union.
    unsafe {
        libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request) == 0
            && i32::from(request.ifr_ifru.ifru_flags) & libc::IFF_RUNNING != 0
    }
}

/// `02:77:00:00:00:01`.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_carries_both_families_at_once() {
        crate::need_root!();
        let (a, b) = (Netns::new("a").unwrap(), Netns::new("b").unwrap());
        let wire = Veth::between(
            (&a, "eth0", &["10.77.0.1/25", "fd77::1/64"]),
            (&b, "eth7", &["10.77.0.9/25", "fd77::9/64"]),
        );
        let begin = std::time::Instant::now();
        let (left, right) = wire.mtu(1400).static_neighbours().create().unwrap();
        println!("a wire in {:?}", begin.elapsed());
        assert_ne!(left.mac, right.mac);
        for address in ["10.77.0.9:7000", "[fd77::9]:7000"] {
            let at = b.run(|| std::net::UdpSocket::bind(address).unwrap());
            at.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            a.run(|| {
                let any = if address.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                std::net::UdpSocket::bind(any)
                    .unwrap()
                    .send_to(b"hello", address)
                    .unwrap();
            });
            let mut buffer = [0; 16];
            assert_eq!(at.recv_from(&mut buffer).unwrap().0, 5);
        }
    }
}
