//! Which interfaces are guarded, and why. Pure.
//!
//! By default the uppermost device that hands a packet to IP: hardware, bonds, VLAN devices, tunnels, and a
//! bridge only if hardware is in it; not loopback, not ports and slaves, not what container engines make.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::Link;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `--interface`: these and no others.
    pub only: Vec<String>,
    /// `interfaces.guard`, names and globs; empty: the agent chooses.
    pub guard: Vec<String>,
    /// `interfaces.ignore`, names and globs.
    pub ignore: Vec<String>,
    /// Those that are left alone because they came late, unless they are named by their plain name.
    pub late: BTreeSet<u32>,
}

/// Whether an interface is to be guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// It is to be guarded.
    pub guard: bool,
    /// Why, or why not.
    pub why: String,
}

impl Choice {
    fn yes(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { guard: true, why }
    }

    fn no(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { guard: false, why }
    }
}

/// Names that container engines and hypervisors give.
const ENGINES: &[&str] = &[
    "docker*", "br-*", "cni*", "cali*", "lxc*", "lxd*", "virbr*", "vnet*", "veth*", "podman*",
    "flannel*", "cilium*", "kube-*", "nerdctl*", "incusbr*",
];

/// Kinds of virtual devices that hand packets to IP.
const UPPERMOST: &[&str] = &[
    "bond",
    "team",
    "vlan",
    "wireguard",
    "tun",
    "ppp",
    "ipip",
    "sit",
    "gre",
    "gretap",
    "ip6tnl",
    "ip6gre",
    "vti",
    "vti6",
    "xfrm",
    "macvlan",
    "ipvlan",
    "vxlan",
    "geneve",
    "ipoib",
    "wwan",
    "dsa",
    "macsec",
];

/// Types of hardware that carry IP: Ethernet, and those whose packets begin with the IP header, or with one of
/// their own in front of it (linux/if_arp.h).
const CARRIES_IP: &[u16] = &[
    libc::ARPHRD_ETHER,
    libc::ARPHRD_IEEE1394,
    libc::ARPHRD_INFINIBAND,
    libc::ARPHRD_SLIP,
    libc::ARPHRD_CSLIP,
    libc::ARPHRD_PPP,
    libc::ARPHRD_RAWHDLC,
    ARPHRD_RAWIP,
    libc::ARPHRD_TUNNEL,
    libc::ARPHRD_TUNNEL6,
    libc::ARPHRD_SIT,
    libc::ARPHRD_IPGRE,
    ARPHRD_IP6GRE,
    libc::ARPHRD_NONE,
];
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;

/// Decides for every link, in the same order.
#[must_use]
pub fn choose(links: &[Link], wishes: &Wishes) -> Vec<Choice> {
    let only = globs(&wishes.only);
    let guard = globs(&wishes.guard);
    let ignore = globs(&wishes.ignore);
    let engines = globs(ENGINES);
    let decide = |link: &Link| {
        let name = link.name.as_str();
        if ignore.is_match(name) {
            return Choice::no("interfaces.ignore names it");
        }
        let plainly = || wishes.only.contains(&link.name) || wishes.guard.contains(&link.name);
        if wishes.late.contains(&link.index) && !plainly() {
            return Choice::no("it came while the agent ran, and interfaces.late ignores such");
        }
        if !wishes.only.is_empty() {
            return if only.is_match(name) {
                Choice::yes("--interface names it")
            } else {
                Choice::no("--interface names others")
            };
        }
        if !wishes.guard.is_empty() {
            return if guard.is_match(name) {
                Choice::yes("interfaces.guard names it")
            } else {
                Choice::no("interfaces.guard names others")
            };
        }
        by_default(link, links, &engines)
    };
    links.iter().map(decide).collect()
}

fn by_default(link: &Link, links: &[Link], engines: &GlobSet) -> Choice {
    if link.loopback {
        return Choice::no("loopback is never filtered");
    }
    if !CARRIES_IP.contains(&link.hardware) {
        return Choice::no(format!("hardware of type {} carries no IP", link.hardware));
    }
    if let Some(master) = link.master {
        let upper = links.iter().find(|other| other.index == master);
        // A VRF only gathers devices: they still hand packets to IP themselves.
        if upper.is_none_or(|upper| upper.kind.as_deref() != Some("vrf")) {
            let name = upper.map_or("another device", |upper| upper.name.as_str());
            return Choice::no(format!("a port of {name}, which is judged instead"));
        }
    }
    if engines.is_match(&link.name) {
        return Choice::no("its name is one that container engines and hypervisors give");
    }
    match link.kind.as_deref() {
        None => Choice::yes("hardware"),
        Some("bridge") => bridge(link, links),
        Some(kind) if UPPERMOST.contains(&kind) => Choice::yes(format!("a {kind} device")),
        Some(kind) => Choice::no(format!("{kind} devices are not guarded unless named")),
    }
}

fn bridge(link: &Link, links: &[Link]) -> Choice {
    let hardware = |port: &&Link| {
        port.master == Some(link.index)
            && matches!(port.kind.as_deref(), None | Some("bond" | "team" | "vlan"))
    };
    match links.iter().find(hardware) {
        Some(port) => Choice::yes(format!("a bridge with the hardware port {}", port.name)),
        None => Choice::no("a bridge without a hardware port"),
    }
}

/// Names and globs as one matcher; what is no glob matches nothing.
fn globs<T: AsRef<str>>(patterns: &[T]) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        if let Ok(glob) = Glob::new(pattern.as_ref()) {
            builder.add(glob);
        }
    }
    builder.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: Option<&str>, master: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            master,
            hardware: libc::ARPHRD_ETHER,
            vlan: None,
            loopback: name == "lo",
            up: true,
            ..Link::default()
        }
    }

    fn bare(index: u32, name: &str, kind: Option<&str>, hardware: u16) -> Link {
        Link {
            hardware,
            ..link(index, name, kind, None)
        }
    }

    fn guarded(links: &[Link], wishes: &Wishes) -> Vec<String> {
        let chosen = choose(links, wishes);
        let pairs = links.iter().zip(chosen).filter(|(_, c)| c.guard);
        pairs.map(|(link, _)| link.name.clone()).collect()
    }

    fn machine() -> Vec<Link> {
        vec![
            link(1, "lo", None, None),
            link(2, "eth0", None, None),
            link(3, "eth1", None, Some(5)),
            link(4, "eth0.100", Some("vlan"), None),
            link(5, "bond0", Some("bond"), None),
            link(6, "br0", Some("bridge"), None),
            link(7, "eth2", None, Some(6)),
            link(8, "br1", Some("bridge"), None),
            link(9, "docker0", Some("bridge"), None),
            link(10, "veth12", Some("veth"), None),
            bare(11, "wg0", Some("wireguard"), libc::ARPHRD_NONE),
            link(12, "dummy0", Some("dummy"), None),
            link(13, "vrf-blue", Some("vrf"), None),
            link(14, "eth3", None, Some(13)),
            link(15, "hostside", Some("veth"), None),
            bare(16, "can0", None, libc::ARPHRD_CAN),
        ]
    }

    #[test]
    fn the_uppermost_hardware_like_devices_by_default() {
        let expected = ["eth0", "eth0.100", "bond0", "br0", "wg0", "eth3"];
        assert_eq!(guarded(&machine(), &Wishes::default()), expected);
    }

    #[test]
    fn wishes_come_first_and_ignore_before_all() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let wishes = Wishes {
            only: words(&["veth12"]),
            guard: words(&["eth*"]),
            ..Wishes::default()
        };
        assert_eq!(guarded(&machine(), &wishes), ["veth12"]);
        let wishes = Wishes {
            late: [2, 11].into(),
            guard: words(&["eth0", "*"]),
            ..Wishes::default()
        };
        let late = guarded(&machine(), &wishes);
        assert!(late.contains(&"eth0".to_owned()) && !late.contains(&"wg0".to_owned()));
        let wishes = Wishes {
            only: Vec::new(),
            guard: words(&["eth*", "veth12"]),
            ignore: words(&["eth1"]),
            ..Wishes::default()
        };
        let expected = ["eth0", "eth0.100", "eth2", "veth12", "eth3"];
        assert_eq!(guarded(&machine(), &wishes), expected);
    }
}
