//! Devices that need a kernel with modules: which are guarded by default and why, and is traffic on them
//! judged?

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::{Host, Netns, Veth};

use crate::judged::{judges, policy, wait_for, words};
use crate::report::Report;

/// Which families a device carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Both,
    V4,
    V6,
    Nothing,
}

/// A device at either end of a wire.
pub(crate) struct Device {
    pub(crate) check: &'static str,
    pub(crate) name: &'static str,
    /// How `ip` makes it. `{me4}` and the like stand for addresses on the wire below.
    lines: &'static str,
    pub(crate) carries: Carries,
    /// Guarded where nobody says anything.
    by_default: bool,
    /// The peer has a plain device instead.
    one_sided: bool,
}

const fn device(check: &'static str, name: &'static str, lines: &'static str) -> Device {
    Device {
        check,
        name,
        lines,
        carries: Carries::Both,
        by_default: true,
        one_sided: false,
    }
}

impl Device {
    const fn one_sided(mut self) -> Self {
        self.one_sided = true;
        self
    }

    const fn only(mut self, carries: Carries) -> Self {
        self.carries = carries;
        self
    }

    const fn not_by_default(mut self) -> Self {
        self.by_default = false;
        self
    }
}

pub(crate) const DEVICES: &[Device] = &[
    device(
        "VLAN",
        "eth0.100",
        "link add link eth0 name eth0.100 type vlan id 100",
    ),
    device(
        "VLAN in 802.1ad",
        "inner",
        "link add link eth0 name outer type vlan protocol 802.1ad id 10\nlink set outer up\n\
         link add link outer name inner type vlan id 20",
    ),
    device(
        "bond",
        "bond0",
        "link add bond0 type bond mode active-backup miimon 100\nlink set eth1 down\n\
         link set eth1 master bond0\nlink set eth1 up",
    ),
    device("WireGuard", "wg0", "link add wg0 type wireguard"),
    device(
        "GRE",
        "gre1",
        "link add gre1 type gre local {me4} remote {peer4} ttl 64",
    ),
    device(
        "GRE over IPv6",
        "gre61",
        "link add gre61 type ip6gre local {me6} remote {peer6}",
    ),
    device(
        "GRE tap",
        "gretap1",
        "link add gretap1 type gretap local {me4} remote {peer4} key 5",
    ),
    device(
        "IPIP",
        "ipip1",
        "link add ipip1 type ipip local {me4} remote {peer4} ttl 64",
    )
    .only(Carries::V4),
    device(
        "SIT",
        "sit1",
        "link add sit1 type sit local {me4} remote {peer4} ttl 64",
    )
    .only(Carries::V6),
    device(
        "IPv6 tunnel",
        "tnl61",
        "link add tnl61 type ip6tnl mode any local {me6} remote {peer6}",
    ),
    device(
        "VXLAN",
        "vx1",
        "link add vx1 type vxlan id 5 local {me4} remote {peer4} dstport 4789",
    ),
    device(
        "Geneve",
        "gnv1",
        "link add gnv1 type geneve id 7 remote {peer4}",
    ),
    device(
        "macvlan",
        "mac1",
        "link add link eth0 name mac1 type macvlan mode bridge",
    ),
    device(
        "ipvlan",
        "ipv1",
        "link add link eth4 name ipv1 type ipvlan mode l2",
    ),
    device(
        "bridge",
        "br0",
        "link add br0 type bridge\nlink set eth2 master br0",
    )
    .not_by_default(),
    device(
        "port of a VRF",
        "eth3",
        "link add blue type vrf table 10\nlink set blue up\nlink set eth3 master blue",
    )
    .one_sided()
    .not_by_default(),
    device("dummy", "dummy1", "link add dummy1 type dummy")
        .only(Carries::Nothing)
        .not_by_default(),
];

/// Two ends, the wires between them, and the devices on these that the kernel has.
pub(crate) struct Ends {
    pub(crate) host: Netns,
    pub(crate) peer: Netns,
    /// For each device, why there is none.
    pub(crate) refused: Vec<Option<String>>,
}

/// `10.88.N.1` and `fd88:N::1` are the host's on device N, `…2` the peer's.
fn inner(index: usize, carries: Carries, end: usize) -> Vec<String> {
    let number = index + 1;
    let v4 = format!("10.88.{number}.{end}");
    let v6 = format!("fd88:{number}::{end}");
    match carries {
        Carries::Both => vec![v4, v6],
        Carries::V4 => vec![v4],
        Carries::V6 => vec![v6],
        Carries::Nothing => Vec::new(),
    }
}

/// The host's addresses on a device.
pub(crate) fn addresses(name: &str) -> Vec<IpAddr> {
    let found = DEVICES.iter().position(|device| device.name == name);
    let index = found.expect("a device of the table");
    let texts = inner(index, DEVICES[index].carries, 1);
    texts
        .iter()
        .map(|t| t.parse().expect("an address"))
        .collect()
}

impl Ends {
    pub(crate) fn new() -> Result<Self> {
        let (host, peer) = (Netns::new("host")?, Netns::new("peer")?);
        for n in 0..5 {
            let address = |end| [format!("10.9.{n}.{end}/24"), format!("fd09:{n}::{end}/64")];
            let (one, two, name) = (address(1), address(2), format!("eth{n}"));
            let (one, two) = ([&*one[0], &one[1]], [&*two[0], &two[1]]);
            Veth::between((&host, &name, &one), (&peer, &name, &two)).create()?;
        }
        // A socket of the default table takes what comes through a VRF.
        for key in ["ipv4/tcp_l3mdev_accept", "ipv4/udp_l3mdev_accept"] {
            for ns in [&host, &peer] {
                // Not there where the kernel has no VRF.
                let _ = ns.sysctl(key, "1");
            }
        }
        let mut ends = Self {
            host,
            peer,
            refused: Vec::new(),
        };
        for (index, device) in DEVICES.iter().enumerate() {
            let made = ends.make(index, device);
            ends.refused.push(match made {
                Ok(()) => None,
                Err(error) => Some(unknown(error)?),
            });
        }
        wireguard(&ends).context("setting up WireGuard")?;
        Ok(ends)
    }

    fn make(&self, index: usize, device: &Device) -> Result<()> {
        for (ns, me, peer) in [(&self.host, 1, 2), (&self.peer, 2, 1)] {
            let made = if device.one_sided && me == 2 {
                ""
            } else {
                device.lines
            };
            let mut lines = made
                .replace("{me4}", &format!("10.9.0.{me}"))
                .replace("{peer4}", &format!("10.9.0.{peer}"))
                .replace("{me6}", &format!("fd09:0::{me}"))
                .replace("{peer6}", &format!("fd09:0::{peer}"));
            lines += &format!("\nlink set {} up\n", device.name);
            for address in inner(index, device.carries, me) {
                let (length, more) = if address.contains(':') {
                    (64, " nodad")
                } else {
                    (24, "")
                };
                lines += &format!("addr add {address}/{length} dev {}{more}\n", device.name);
            }
            ns.ip(&lines)?;
        }
        Ok(())
    }

    /// Why the kernel has no such device.
    pub(crate) fn refusal(&self, name: &str) -> Option<&str> {
        let index = DEVICES.iter().position(|device| device.name == name)?;
        self.refused[index].as_deref()
    }
}

/// What `ip` says of a kind of device that the kernel does not have. Whatever else goes wrong is an error.
fn unknown(error: anyhow::Error) -> Result<String> {
    let text = format!("{error:#}");
    match text
        .lines()
        .find(|line| line.contains("Unknown device type"))
    {
        Some(_) => Ok("this kernel has no such devices".to_owned()),
        None => Err(error),
    }
}

/// A key for each end, each end known to the other.
fn wireguard(ends: &Ends) -> Result<()> {
    if ends.refusal("wg0").is_some() {
        return Ok(());
    }
    let run = |ns: &Netns, line: &str, input: &str| -> Result<String> {
        let ran = ns.command("wg").args(line.split(' ')).run_with(input)?;
        ensure!(ran.ok(), "wg {line}: {}", ran.err);
        Ok(ran.out.trim().to_owned())
    };
    let keys = [
        run(&ends.host, "genkey", "")?,
        run(&ends.peer, "genkey", "")?,
    ];
    for (ns, own, other, at) in [
        (&ends.host, &keys[0], &keys[1], "10.9.0.2"),
        (&ends.peer, &keys[1], &keys[0], "10.9.0.1"),
    ] {
        run(ns, "set wg0 listen-port 51820 private-key /dev/stdin", own)?;
        let public = run(ns, "pubkey", other)?;
        let peer = format!("set wg0 peer {public} endpoint {at}:51820 allowed-ips 0.0.0.0/0,::/0");
        run(ns, &peer, "")?;
    }
    Ok(())
}

pub(crate) fn check(report: &mut Report) {
    let started = Ends::new().and_then(|ends| {
        let host = Host::start(&ends.host, &[], "")?;
        let ran = host.apply(&policy(1, ""))?;
        ensure!(ran.ok(), "{ran:?}");
        Ok((ends, host))
    });
    let (ends, host) = match started {
        Ok(started) => started,
        Err(error) => return report.say("devices", Err(error)),
    };
    for device in DEVICES {
        match ends.refusal(device.name) {
            Some(why) => report.left_out(device.check, why),
            None => report.check(device.check, || by_default(&ends, &host, device)),
        }
    }
    if ends.refusal("eth0.100").is_none() {
        report.check("VLAN that comes late", || late(&ends, &host));
    }
}

fn by_default(ends: &Ends, host: &Host, device: &Device) -> Result<String> {
    let state = if device.by_default {
        "guarded"
    } else {
        "not-guarded"
    };
    let line = wait_for(host, device.name, state)?;
    if device.by_default {
        judges(host, &ends.peer, &addresses(device.name))
            .with_context(|| format!("it is {}", words(&line)))?;
    }
    Ok(words(&line))
}

fn late(ends: &Ends, host: &Host) -> Result<String> {
    for (ns, end) in [(&ends.host, 1), (&ends.peer, 2)] {
        ns.ip(&format!(
            "link add link eth0 name eth0.200 type vlan id 200\nlink set eth0.200 up\n\
             addr add 10.89.0.{end}/24 dev eth0.200\naddr add fd89::{end}/64 dev eth0.200 nodad\n"
        ))?;
    }
    let line = wait_for(host, "eth0.200", "guarded")?;
    judges(
        host,
        &ends.peer,
        &["10.89.0.1".parse()?, "fd89::1".parse()?],
    )?;
    Ok(words(&line))
}
