//! A host with containers, as a container engine sets it up: a bridge, a pair of devices for each container,
//! masquerading on the way out and published ports on the way in.
//!
//! ```text
//!   outside eth0 203.0.113.9/24 2001:db8::9/64 ---- wan0 203.0.113.1/24 2001:db8::1/64   host
//!   one     eth0 172.17.0.2/24 2001:db8:17::2/64 --\
//!   two     eth0 172.17.0.3/24 2001:db8:17::3/64 ---- docker0 172.17.0.1/24 2001:db8:17::1/64   host
//! ```
//!
//! IPv4 is translated on the way out, IPv6 is routed as it is. Ports are published in both, and a container
//! that comes to one by the host's address is masqueraded, so that the answer takes the same way back.

use anyhow::{Result, ensure};

use super::{End, Netns, Veth};

/// The host, who is outside, and two containers. A published port 8080 leads to port 80 of `one`, 8081 to
/// its port 81, over TCP and UDP.
pub struct Site {
    /// The host's end of the wire to the outside, `wan0`.
    pub wan: End,
    /// The end outside.
    pub outside: End,
    /// A container.
    pub one: Netns,
    /// Another one.
    pub two: Netns,
}

const NAT: &str = "\
table inet engine {
  chain published {
    ip daddr { 203.0.113.1, 172.17.0.1 } tcp dport { 8080, 8081 } dnat ip to 172.17.0.2:tcp dport map { 8080: 80, 8081: 81 }
    ip daddr { 203.0.113.1, 172.17.0.1 } udp dport { 8080, 8081 } dnat ip to 172.17.0.2:udp dport map { 8080: 80, 8081: 81 }
    ip6 daddr { 2001:db8::1, 2001:db8:17::1 } tcp dport { 8080, 8081 } dnat ip6 to [2001:db8:17::2]:tcp dport map { 8080: 80, 8081: 81 }
    ip6 daddr { 2001:db8::1, 2001:db8:17::1 } udp dport { 8080, 8081 } dnat ip6 to [2001:db8:17::2]:udp dport map { 8080: 80, 8081: 81 }
  }
  chain in {
    type nat hook prerouting priority -100;
    jump published
  }
  chain out {
    type nat hook postrouting priority 100;
    ip saddr 172.17.0.0/24 oifname != \"docker0\" masquerade
    ip saddr 172.17.0.0/24 oifname \"docker0\" masquerade
    ip6 saddr 2001:db8:17::/64 oifname \"docker0\" masquerade
  }
}
";

impl Site {
    /// Makes it, with all neighbours known where a wire is judged.
    pub fn new() -> Result<Self> {
        let [host, outside, one, two] = ["host", "outside", "one", "two"].map(Netns::new);
        let (host, outside, one, two) = (host?, outside?, one?, two?);
        let wan = Veth::between(
            (&host, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
            (&outside, "eth0", &["203.0.113.9/24", "2001:db8::9/64"]),
        );
        let (wan, outside) = wan.static_neighbours().create()?;
        host.ip("link add docker0 type bridge\nlink set docker0 up\n\
                 addr add 172.17.0.1/24 dev docker0\n\
                 addr add 2001:db8:17::1/64 dev docker0 nodad\n")?;
        for (ns, port, number) in [(&one, "veth1", 2), (&two, "veth2", 3)] {
            let (v4, v6) = (
                format!("172.17.0.{number}/24"),
                format!("2001:db8:17::{number}/64"),
            );
            Veth::between((&host, port, &[]), (ns, "eth0", &[&v4, &v6])).create()?;
            host.ip(&format!("link set {port} master docker0\n"))?;
            ns.ip("route add default via 172.17.0.1\nroute add ::/0 via 2001:db8:17::1\n")?;
        }
        outside
            .ns
            .ip("route add 2001:db8:17::/64 via 2001:db8::1\n")?;
        // Not there where the kernel has no br_netfilter. With it, what one container sends another is
        // translated inside the bridge and never handed to IP: then there is nothing to judge.
        for key in ["iptables", "ip6tables"] {
            let _ = host.sysctl(&format!("bridge/bridge-nf-call-{key}"), "0");
        }
        host.sysctl("ipv4/ip_forward", "1")?;
        host.sysctl("ipv6/conf/all/forwarding", "1")?;
        let ran = host.command("nft").args(["-f", "-"]).run_with(NAT)?;
        ensure!(ran.ok(), "nft: {}", ran.err);
        Ok(Self {
            wan,
            outside,
            one,
            two,
        })
    }

    /// The host's namespace.
    pub fn host(&self) -> &Netns {
        &self.wan.ns
    }
}
