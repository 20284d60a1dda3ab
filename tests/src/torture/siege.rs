//! What goes on while a host is flooded, and what came of it: live sessions that talk, and connections that the
//! trusted peer opens, and what the receiving side pays for it. The same for a host behind Ringwall and for one behind
//! nftables.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Figure;
use crate::net::receiver::{Receiver, busy, received};
use crate::net::sock::{Echo, Seen, connect, exchange};
use crate::net::{Lab, Netns};
use crate::scenario::flood::way_back_to_anybody;
use crate::scenario::{Called, PATIENCE, Scene, Worker, allow, at_lan, at_wan, call, policy};

/// Who filters.
pub(super) enum Guard {
    /// Ringwall, with YAML for the agent's file.
    Ringwall(Scene),
    /// nftables: what Ringwall's policy says, in its words.
    Nftables(Lab),
}

/// `443` and `53` for everybody, replies, and neighbour discovery.
const RULES: &str = "table inet siege {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    tcp dport 443 accept
    udp dport 53 accept
  }
}
";

impl Guard {
    pub(super) fn ringwall(config: &str) -> Result<Self> {
        let scene = Scene::configured(config)?;
        let rules = [allow("web", "tcp/443"), allow("names", "udp/53")];
        scene.put(&policy(1, &rules))?;
        way_back_to_anybody(&scene)?;
        Ok(Self::Ringwall(scene))
    }

    pub(super) fn nftables() -> Result<Self> {
        let lab = Lab::quiet()?;
        lab.host()
            .ip("route add default via 203.0.113.9\nroute add ::/0 via 2001:db8::9\n")?;
        let ran = lab
            .host()
            .command("nft")
            .args(["-f", "-"])
            .run_with(RULES)?;
        ensure!(ran.ok(), "nft: {}", ran.err);
        Ok(Self::Nftables(lab))
    }

    /// How long its agent has run so far.
    fn agent_busy(&self) -> Duration {
        match self {
            Self::Ringwall(scene) => scene.host.last_pid().map(busy).unwrap_or_default(),
            Self::Nftables(_) => Duration::ZERO,
        }
    }

    pub(super) fn lab(&self) -> &Lab {
        match self {
            Self::Ringwall(scene) => &scene.lab,
            Self::Nftables(lab) => lab,
        }
    }
}

/// What the receiving side pays for packets: the time of the kernel thread that receives for the host, with all that they
/// cause in it, that of the server which answers them, with all that its answers cause, and that of the agent.
pub(super) struct Bill {
    receiver: Receiver,
    _sender: Receiver,
    before: ([Duration; 3], u64),
}

/// What it came to, in nanoseconds for each packet received: the kernel's thread, the server, the agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paid([u64; 3]);

impl Bill {
    /// Both ends of the wire get a receiver each, so that neither pays for the other.
    pub(super) fn prepare(guard: &Guard) -> Result<Self> {
        let lab = guard.lab();
        Ok(Self {
            receiver: Receiver::start(&lab.wan, &lab.stranger)?,
            _sender: Receiver::start(&lab.stranger, &lab.wan)?,
            before: Default::default(),
        })
    }

    /// From now on.
    pub(super) fn open(&mut self, guard: &Guard, siege: &Siege) -> Result<()> {
        self.before = self.read(guard, siege)?;
        Ok(())
    }

    fn read(&self, guard: &Guard, siege: &Siege) -> Result<([Duration; 3], u64)> {
        let [_, server] = &siege.servers;
        let busy = [self.receiver.busy(), server.busy(), guard.agent_busy()];
        Ok((busy, received(&guard.lab().wan)?))
    }

    /// Until now.
    pub(super) fn close(&self, guard: &Guard, siege: &Siege) -> Result<Paid> {
        let (now, packets) = self.read(guard, siege)?;
        let packets = u128::from(packets.saturating_sub(self.before.1).max(1));
        let spent = [0, 1, 2].map(|i| now[i].saturating_sub(self.before.0[i]));
        Ok(Paid(spent.map(|time| (time.as_nanos() / packets) as u64)))
    }
}

impl Paid {
    /// In all, and by who. Judged at length only.
    pub(super) fn figures(self, theirs: Self, long: bool) -> Vec<Figure> {
        let all = |paid: Self| paid.0.iter().sum::<u64>();
        let goal = format!("less than {}", all(theirs));
        let held = !long || all(self) < all(theirs);
        let what = "CPU of the receiving side for a packet, ns";
        let mut figures = vec![Figure::new(what, goal, all(self), held).beside(all(theirs))];
        let names = ["receiving", "answering", "the agent"];
        for (name, (ours, theirs)) in names.into_iter().zip(self.0.into_iter().zip(theirs.0)) {
            let what = format!("of it, {name}");
            figures.push(Figure::new(what, "-", ours, true).beside(theirs));
        }
        figures
    }
}

/// What goes on meanwhile.
pub(super) struct Siege {
    servers: [Echo; 2],
    idle: Vec<TcpStream>,
    talks: Vec<Worker<Paced>>,
    calls: Worker<Called>,
}

/// What came of it.
pub(super) struct Withstood {
    exchanges: usize,
    cut: usize,
    p99: Duration,
    opened: u64,
    refused: usize,
    lost: usize,
}

#[derive(Default)]
struct Paced {
    times: Vec<Duration>,
    error: Option<Seen>,
}

impl Siege {
    pub(super) fn begin(lab: &Lab) -> Result<Self> {
        let host = lab.host();
        let any = |port| ([0_u16; 8], port).into();
        let servers = [Echo::tcp(host, any(443))?, Echo::udp(host, any(53))?];
        let open = |ns: &Netns, to| connect(ns, to, PATIENCE).ok().context("no session");
        let idle: Result<Vec<_>> = (0..20)
            .map(|n| open(&lab.stranger.ns, at_wan(n % 2 == 1, 443)))
            .collect();
        let talks: Result<Vec<_>> = [false, true]
            .map(|v6| open(&lab.trusted.ns, at_lan(v6, 443)).map(pace))
            .into_iter()
            .collect();
        Ok(Self {
            servers,
            idle: idle?,
            talks: talks?,
            calls: call(&lab.trusted.ns, vec![at_lan(false, 443), at_lan(true, 443)]),
        })
    }

    pub(super) fn end(mut self) -> Withstood {
        let talked: Vec<Paced> = self.talks.drain(..).map(Worker::finish).collect();
        let called = self.calls.finish();
        let alive = |stream: &mut TcpStream| exchange(stream, PATIENCE) == Seen::Answered;
        let lost = self
            .idle
            .iter_mut()
            .filter_map(|s| (!alive(s)).then_some(()))
            .count();
        let mut times: Vec<Duration> = talked.iter().flat_map(|t| t.times.clone()).collect();
        times.sort_unstable();
        Withstood {
            exchanges: times.len(),
            cut: talked.iter().filter(|t| t.error.is_some()).count(),
            p99: times
                .get(times.len() * 99 / 100)
                .copied()
                .unwrap_or_default(),
            opened: called.answered,
            refused: called.failed.len(),
            lost,
        }
    }
}

/// An exchange every few milliseconds.
fn pace(mut stream: TcpStream) -> Worker<Paced> {
    Worker::start(move |stop| {
        let mut paced = Paced::default();
        while !stop.load(Ordering::Relaxed) && paced.error.is_none() {
            let begin = Instant::now();
            match exchange(&mut stream, PATIENCE) {
                Seen::Answered => paced.times.push(begin.elapsed()),
                other => paced.error = Some(other),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        paced
    })
}

/// The figures of both, side by side. How long exchanges take is judged at length only: in seconds on a busy machine it
/// says nothing.
pub(super) fn figures(ours: &Withstood, theirs: &Withstood, long: bool) -> Vec<Figure> {
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let p99 = Figure::new(
        "exchange p99, ms",
        "at most 20",
        ms(ours.p99),
        !long || ours.p99 <= Duration::from_millis(20),
    );
    vec![
        Figure::at_least("exchanges on live sessions", 1, ours.exchanges).beside(theirs.exchanges),
        Figure::exactly("talking sessions cut", 0, ours.cut).beside(theirs.cut),
        Figure::exactly("idle sessions lost, of 20", 0, ours.lost).beside(theirs.lost),
        p99.beside(ms(theirs.p99)),
        Figure::at_least("trusted connections opened", 1, ours.opened).beside(theirs.opened),
        Figure::exactly("of them refused", 0, ours.refused).beside(theirs.refused),
    ]
}
