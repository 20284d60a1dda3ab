//! A server behind one of the peers, and a client, each in a namespace of its own.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::{End, Host, Netns, Veth};

use super::host::{HERE, PEER, policy};
use super::raw::{self, Place};

/// What stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nothing.
    Nothing,
    /// The emptiest program, which lets by or drops.
    Floor(Place, bool),
    /// nftables with conntrack, one rule after the other.
    Nft,
    /// nftables with conntrack and a verdict map.
    NftMap,
    /// iptables with conntrack.
    Iptables,
    /// xdp-filter, which knows ports and addresses and no sessions.
    XdpFilter,
    /// Ringwall, with its agent, at a hook.
    Ringwall(&'static str),
}

impl Peer {
    /// As rows name it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Nothing => "no firewall".to_owned(),
            Self::Floor(Place::Tc | Place::TcEgress, _) => "empty TC program".to_owned(),
            Self::Floor(Place::Xdp, _) => "empty XDP program".to_owned(),
            Self::Nft => "nftables, conntrack, linear".to_owned(),
            Self::NftMap => "nftables, conntrack, verdict map".to_owned(),
            Self::Iptables => "iptables, conntrack".to_owned(),
            Self::XdpFilter => "xdp-filter".to_owned(),
            Self::Ringwall(hook) => format!("ringwall, {hook}"),
        }
    }
}

/// What must live as long as the peer stands.
enum Held {
    Nothing,
    /// A program, by its link.
    Link {
        _link: OwnedFd,
    },
    Agent(Box<Host>),
    /// What xdp-filter has pinned.
    Filter {
        _unloads: Filter,
    },
}

/// An interface with xdp-filter.
struct Filter(Netns, String);

impl Drop for Filter {
    fn drop(&mut self) {
        let _done = self.0.exec("xdp-filter", &["unload", &self.1]);
    }
}

/// A client and a server.
pub(crate) struct Lab {
    held: Held,
    /// Where requests come from.
    pub(crate) client: Netns,
    /// Where they go to.
    pub(crate) server: Netns,
    /// The client's end of the wire.
    pub(crate) far: End,
    /// The server's.
    pub(crate) near: End,
}

/// Kernel settings of both sides: room for as many connections as come, which do not stay when they are closed.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/tcp_max_tw_buckets", "500"),
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/tcp_tw_reuse", "1"),
    ("core/somaxconn", "8192"),
];

impl Lab {
    /// With so many rules ahead of the one that allows port 443.
    pub(crate) fn new(peer: Peer, rules: usize) -> Result<Self> {
        let (client, server) = (Netns::new("bc")?, Netns::new("bs")?);
        let (own, other) = (format!("{HERE}/24"), format!("{PEER}/24"));
        let wire = Veth::between((&server, "s0", &[&own]), (&client, "c0", &[&other]));
        let (near, far) = wire.static_neighbours().create()?;
        for ns in [&client, &server] {
            for (key, value) in SETTINGS {
                ns.sysctl(key, value)?;
            }
        }
        let lab = Self {
            held: Held::Nothing,
            client,
            server,
            far,
            near,
        };
        lab.with(peer, rules)
    }

    /// With a peer in place of what stands there.
    pub(crate) fn with(mut self, peer: Peer, rules: usize) -> Result<Self> {
        self.held = self.stand(peer, rules)?;
        Ok(self)
    }

    fn stand(&self, peer: Peer, rules: usize) -> Result<Held> {
        match peer {
            Peer::Nothing => {}
            Peer::Floor(place, drops) => {
                let index = self.near.ifindex;
                let link = self.server.run(|| raw::attach(place, drops, index))?;
                return Ok(Held::Link { _link: link });
            }
            Peer::Nft => self.load("nft", &["-f", "-"], &nft(rules, false))?,
            Peer::NftMap => self.load("nft", &["-f", "-"], &nft(rules, true))?,
            Peer::Iptables => self.load("iptables-legacy-restore", &[], &iptables(rules))?,
            Peer::XdpFilter => {
                self.load("xdp-filter", &["load", &self.near.interface], "")?;
                let port = ["port", "9", "-m", "dst", "-p", "tcp,udp"];
                let filter = Filter(self.server.clone(), self.near.interface.clone());
                self.load("xdp-filter", &port, "")?;
                return Ok(Held::Filter { _unloads: filter });
            }
            Peer::Ringwall(hook) => return self.ringwall(hook, rules),
        }
        Ok(Held::Nothing)
    }

    fn load(&self, program: &str, args: &[&str], text: &str) -> Result<()> {
        let ran = self.server.command(program).args(args).run_with(text)?;
        ensure!(ran.ok(), "{program}: {}", ran.err.trim());
        Ok(())
    }

    fn ringwall(&self, hook: &str, rules: usize) -> Result<Held> {
        // Connections by the hundred thousand need room; else the tables are those that everybody has.
        let room = match hook {
            "auto" => "sessions: {max: 1048576, half_open_max: 262144}\n",
            _ => "",
        };
        let config = format!("hook: {hook}\n{room}");
        let host = Host::start(&self.server, &[&self.near.interface], &config)?;
        let ran = host.apply(&policy(rules, None))?;
        ensure!(ran.ok(), "apply: {} {}", ran.out, ran.err);
        Ok(Held::Agent(Box::new(host)))
    }

    /// The agent, where there is one.
    pub(crate) fn agent(&mut self) -> Option<&mut Host> {
        match &mut self.held {
            Held::Agent(host) => Some(host),
            _ => None,
        }
    }

    /// Process time of the agent so far, in nanoseconds.
    pub(crate) fn agent_time(&mut self) -> u64 {
        let pid = self.agent().and_then(Host::agent).map(|agent| agent.pid());
        pid.map_or(0, process_time)
    }
}

/// Time on a processor of all threads of a process, ended ones too, in nanoseconds.
pub(crate) fn process_time(pid: u32) -> u64 {
    let mut clock = 0;
    // SAFETY: timespec is plain data, for which all zeros is a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that outlive the calls.
    let done = unsafe {
        libc::clock_getcpuclockid(pid as i32, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if done {
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    } else {
        0
    }
}

/// The first number of a `schedstat`: nanoseconds on a processor (Documentation/scheduler/sched-stats.rst).
pub(crate) fn on_processor(path: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Kernel threads whose names begin so.
pub(crate) fn kernel_threads(prefix: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with(prefix)
    })
    .collect()
}

/// Binds a thread (0: the caller) to a processor, as far as there are several.
pub(crate) fn bind(thread: u32, processor: usize) {
    // SAFETY: cpu_set_t is plain data, for which all zeros is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the processor is below the size of the set, and the set outlives the call.
    unsafe {
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(thread as i32, size_of_val(&set), &raw const set);
    }
}

/// Waits until what was sent has been handled: a number that rises meanwhile stays the same.
pub(crate) fn settle(mut handled: impl FnMut() -> Result<u64>) -> Result<()> {
    let mut last = handled()?;
    // On a busy machine the receiver may wait for a processor, and a slow peer takes 0.5 s for what it gets.
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(150));
        let now = handled()?;
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    Ok(())
}

fn address(n: usize) -> String {
    let [a, b, c, _] = (n as u32).to_le_bytes();
    format!("10.{c}.{b}.{a}")
}

/// The same policy as ours, for nftables.
fn nft(rules: usize, map: bool) -> String {
    let mut text = "table inet bench {\n".to_owned();
    let verdict = |n: usize| if n % 3 == 1 { "accept" } else { "drop" };
    if map && rules > 0 {
        text += " map known { type ipv4_addr . inet_service : verdict; elements = {";
        for n in 0..rules {
            let _ = write!(
                text,
                "{} . {} : {},",
                address(n),
                1 + n % 60_000,
                verdict(n)
            );
        }
        text += "} }\n";
    }
    text += " chain in { type filter hook input priority 0; policy drop;\n  iifname lo accept\n  ct state established,related accept\n  ct state invalid drop\n";
    if map && rules > 0 {
        text += "  ip saddr . th dport vmap @known\n";
    } else if !map {
        for n in 0..rules {
            let port = 1 + n % 60_000;
            let _ = writeln!(
                text,
                "  ip saddr {} tcp dport {port} {}",
                address(n),
                verdict(n)
            );
        }
    }
    text + "  tcp dport 443 accept\n  udp dport 443 accept\n }\n}\n"
}

/// The same, for iptables.
fn iptables(rules: usize) -> String {
    let mut text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n".to_owned();
    for n in 0..rules {
        let verdict = if n % 3 == 1 { "ACCEPT" } else { "DROP" };
        let port = 1 + n % 60_000;
        let _ = writeln!(
            text,
            "-A INPUT -s {} -p tcp --dport {port} -j {verdict}",
            address(n)
        );
    }
    text + "-A INPUT -p tcp --dport 443 -j ACCEPT\n-A INPUT -p udp --dport 443 -j ACCEPT\nCOMMIT\n"
}

/// A line for a peer that cannot be set up here, with the reason.
pub(crate) fn why(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().to_owned()
}

/// Packets that an interface has received.
pub(crate) fn packets(ns: &Netns, interface: &str) -> Result<u64> {
    let text = ns.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
    let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, numbers) = lines
        .find(|(name, _)| *name == interface)
        .with_context(|| format!("no {interface}"))?;
    let count = numbers.split_whitespace().nth(1).context("no count")?;
    Ok(count.parse()?)
}
