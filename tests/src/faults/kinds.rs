//! The faults, one by one.

use std::any::Any;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::world::{Fresh, World, own};
use super::{Fault, Held};
use crate::case::packet;
use crate::net::packet::{Tap, Wire};
use crate::net::sock::{self, Echo};
use crate::net::{End, Netns};

/// Long enough for any of them to be found.
const PATIENCE: Duration = Duration::from_secs(9);

macro_rules! kinds {
    ($($name:ident: $doc:literal, $right:expr, $how:expr;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $doc] $name,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is, for people.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// The causes that are right; the first is the one that is meant.
            #[must_use]
            pub const fn right(self) -> &'static [&'static str] {
                match self { $(Self::$name => $right,)* }
            }

            fn how(self) -> fn(&World, Fresh) -> Result<Made> {
                match self { $(Self::$name => $how,)* }
            }
        }
    };
}

kinds! {
    Denied: "the policy drops it", &["policy-drop"], |w, f| knock(w, f, 1000 + f.number);
    Nobody: "nothing listens", &["no-listener"], |w, f| knock(w, f, f.port);
    Elsewhere: "it listens on loopback", &["listener-elsewhere"], |w, f| {
        let lo: IpAddr = if f.v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        listen_and_knock(w, f, lo)
    };
    Overflow: "the accept queue is full", &["listener-overflow"], overflow;
    FilterIn: "nftables drops it on the way in", &["local-filter"], |w, f| {
        w.host_filter("in", &format!("{} saddr {} drop", f.family(), f.address))?;
        listen_and_knock(w, f, own(f.v6))
    };
    FilterOut: "nftables drops the answer on the way out", &["local-filter"], |w, f| {
        w.host_filter("out", &format!("{} daddr {} drop", f.family(), f.address))?;
        listen_and_knock(w, f, own(f.v6))
    };
    FilterReset: "nftables rejects it with a RST", &["local-filter"], |w, f| {
        let rule = format!("{} saddr {} meta l4proto tcp reject with tcp reset", f.family(), f.address);
        w.host_filter("in", &rule)?;
        listen_and_knock(w, f, own(f.v6))
    };
    ReversePath: "rp_filter drops it", &["local-filter"], |w, f| {
        w.peer_route(f, 1)?;
        listen_and_knock(w, f, own(f.v6))
    };
    LostAnswer: "the answer is dropped out there", &["reply-path"], |w, f| {
        lose_answers(w, f)?;
        listen_and_knock(w, f, own(f.v6))
    };
    OtherWayBack: "the answer leaves by the other uplink and is dropped there", &["reply-path"], |w, f| {
        w.host_route(f, 1)?;
        lose_answers(w, f)?;
        listen_and_knock(w, f, own(f.v6))
    };
    UnguardedWayBack: "the answer leaves by a link that is not guarded", &["reply-path"], |w, f| {
        w.host_route(f, 2)?;
        lose_answers(w, f)?;
        listen_and_knock(w, f, own(f.v6))
    };
    DeadWayBack: "the next hop of the answer is dead", &["reply-path"], |w, f| {
        w.ns.ip(&format!("route add {} via {} dev up0\n", f.prefix(), dead(f)))?;
        listen_and_knock(w, f, own(f.v6))
    };
    Flood: "many sources that do not exist", &["syn-flood"], flood;
    Scan: "one source, many ports", &["scan"], scan;
    OutDenied: "the policy drops it on the way out", &["policy-drop"], |w, f| {
        call(w, f, SocketAddr::new(f.address, 30_000 + f.number), Vec::new())
    };
    Refused: "nothing listens there", &["refused"], |w, f| call(w, f, f.there(), Vec::new());
    Prohibited: "an ICMP error comes", &["unreachable"], |w, f| {
        let rule = format!("{} daddr {} reject with icmpx type admin-prohibited", f.family(), f.address);
        w.peer_filter("in", &rule)?;
        call(w, f, f.there(), Vec::new())
    };
    Silent: "it is dropped out there", &["silent-drop"], |w, f| {
        w.peer_filter("early", &format!("{} daddr {} drop", f.family(), f.address))?;
        serve_and_call(w, f)
    };
    DeadHop: "the next hop is dead", &["no-route"], |w, f| {
        call(w, f, SocketAddr::new(dead(f), f.port), Vec::new())
    };
    NoWay: "there is no route", &["no-route"], |w, f| {
        w.ns.ip(&format!("route add unreachable {}\n", f.prefix()))?;
        call(w, f, f.there(), Vec::new())
    };
    AnswerUnguarded: "the answer comes by a link that is not guarded", &["asymmetric-reply"], |w, f| {
        w.peer_route(f, 2)?;
        serve_and_call(w, f)
    };
    AnswerOtherUplink: "the answer comes by the other uplink, where rp_filter drops it", &["asymmetric-reply"], |w, f| {
        w.peer_route(f, 1)?;
        serve_and_call(w, f)
    };
    AskedUnguarded: "the SYN leaves by a link that is not guarded", &["asymmetric-reply"], |w, f| {
        w.host_route(f, 2)?;
        serve_and_call(w, f)
    };
    OneDirection: "only one direction of a running connection crosses", &["midstream-only"], one_direction;
    OwnOutput: "the host's own filter drops its SYN", &["unknown"], |w, f| {
        w.host_filter("out", &format!("{} daddr {} drop", f.family(), f.address))?;
        serve_and_call(w, f)
    };
    OwnInput: "the host's own filter drops the answer to its SYN", &["unknown"], |w, f| {
        w.host_filter("in", &format!("{} saddr {} drop", f.family(), f.address))?;
        serve_and_call(w, f)
    };
    TakenBack: "the opener resets it after the answer", &["unknown"], |w, f| {
        let held = listen(w, SocketAddr::new(own(f.v6), f.port))?;
        send(&w.far, &w.first, &packet::syn((f.address, 50_000), (own(f.v6), f.port)))?;
        Ok(inbound(f, f.address, f.port, held))
    };
    FilterAndNobody: "nothing listens, and nftables drops it", &["local-filter"], |w, f| {
        w.host_filter("in", &format!("{} saddr {} drop", f.family(), f.address))?;
        knock(w, f, f.port)
    };
    DeniedAndLost: "the policy drops it, and answers would be lost", &["policy-drop"], |w, f| {
        lose_answers(w, f)?;
        knock(w, f, 1000 + f.number)
    };
    OverflowAndLost: "the accept queue is full, and answers would be lost", &["listener-overflow"], |w, f| {
        lose_answers(w, f)?;
        overflow(w, f)
    };
    SilentAndOwnInput: "it is dropped out there, and answers would be dropped here", &["silent-drop"], |w, f| {
        w.host_filter("in", &format!("{} saddr {} drop", f.family(), f.address))?;
        w.peer_filter("early", &format!("{} daddr {} drop", f.family(), f.address))?;
        serve_and_call(w, f)
    };
}

/// What was made of a fault.
struct Made {
    source: IpAddr,
    destination: SocketAddr,
    begun: Instant,
    held: Held,
}

impl Kind {
    /// Does this family have it? The kernel checks the reverse path of IPv4 only, and where the next hop of an IPv6
    /// route is dead it takes the next less specific one.
    #[must_use]
    pub const fn knows(self, v6: bool) -> bool {
        !v6 || !matches!(
            self,
            Self::ReversePath | Self::AnswerOtherUplink | Self::DeadWayBack
        )
    }

    /// Makes one with addresses of its own.
    pub fn make(self, world: &World, v6: bool) -> Result<Fault> {
        let made = self.how()(world, world.fresh(v6)?)?;
        Ok(Fault {
            kind: self,
            v6,
            source: made.source,
            destination: made.destination,
            begun: made.begun,
            right: self.right(),
            _held: made.held,
        })
    }
}

/// An address on the first link that nobody has.
fn dead(fresh: Fresh) -> IpAddr {
    let [high, low] = fresh.number.to_be_bytes();
    if fresh.v6 {
        [0xfd90, 0, 0, 0, 0, 0, 0xdead, fresh.number].into()
    } else {
        [10, 90, 128 | high, low].into()
    }
}

/// A connection attempt in the background.
fn attempt(ns: &Netns, from: IpAddr, to: SocketAddr) -> Box<dyn Any + Send + Sync> {
    let ns = ns.clone();
    let work = move || sock::connect_from(&ns, Some(from), to, PATIENCE);
    Box::new(std::thread::spawn(work))
}

fn inbound(fresh: Fresh, source: IpAddr, port: u16, held: Held) -> Made {
    Made {
        source,
        destination: SocketAddr::new(own(fresh.v6), port),
        begun: Instant::now(),
        held,
    }
}

fn knock(world: &World, fresh: Fresh, port: u16) -> Result<Made> {
    let mut made = inbound(fresh, fresh.address, port, Vec::new());
    let going = attempt(&world.peer, fresh.address, made.destination);
    made.held.push(going);
    Ok(made)
}

fn listen(world: &World, at: SocketAddr) -> Result<Held> {
    Ok(vec![Box::new(Echo::tcp(&world.ns, at)?)])
}

fn listen_and_knock(world: &World, fresh: Fresh, at: IpAddr) -> Result<Made> {
    let held = listen(world, SocketAddr::new(at, fresh.port))?;
    let mut made = knock(world, fresh, fresh.port)?;
    made.held.extend(held);
    Ok(made)
}

/// A listener with room for one, and one in it.
fn overflow(world: &World, fresh: Fresh) -> Result<Made> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let at = fresh.here();
    let full = world.ns.run(|| -> Result<Held> {
        let family = if at.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let listener = socket(family, SocketType::STREAM, None)?;
        bind(&listener, &at)?;
        listen(&listener, 0)?;
        let one = std::net::TcpStream::connect(at)?;
        Ok(vec![Box::new(listener), Box::new(one)])
    })?;
    let mut made = knock(world, fresh, fresh.port)?;
    made.held.extend(full);
    Ok(made)
}

fn lose_answers(world: &World, fresh: Fresh) -> Result<()> {
    let (family, address) = (fresh.family(), fresh.address);
    world.peer_filter("early", &format!("{family} daddr {address} drop"))
}

fn send(from: &End, to: &End, packet: &packet::Packet) -> Result<()> {
    let wire = Wire::open(from, Tap::Wire)?;
    wire.send(&packet.clone().to_mac(to.mac).frame())
}

fn flood(world: &World, fresh: Fresh) -> Result<Made> {
    let held = listen(world, fresh.here())?;
    let wire = Wire::open(&world.far, Tap::Wire)?;
    let source = |n: u8| -> IpAddr {
        let [high, low] = fresh.number.to_be_bytes();
        match fresh.v6 {
            true => [0x2001, 0xdb8, 0xe, fresh.number, 0, 0, 0, n.into()].into(),
            false => [198, 19 ^ high, low, n].into(),
        }
    };
    for n in 1..=80 {
        let syn = packet::syn((source(n), 50_000), (own(fresh.v6), fresh.port));
        wire.send(&syn.to_mac(world.first.mac).frame())?;
    }
    Ok(inbound(fresh, source(40), fresh.port, held))
}

fn scan(world: &World, fresh: Fresh) -> Result<Made> {
    let wire = Wire::open(&world.far, Tap::Wire)?;
    for port in 5000..5030 {
        let syn = packet::syn((fresh.address, 50_000), (own(fresh.v6), port));
        wire.send(&syn.to_mac(world.first.mac).frame())?;
    }
    Ok(inbound(fresh, fresh.address, 5020, Vec::new()))
}

/// The host opens to a place.
fn call(world: &World, fresh: Fresh, to: SocketAddr, mut held: Held) -> Result<Made> {
    let begun = Instant::now();
    held.push(attempt(&world.ns, own(fresh.v6), to));
    Ok(Made {
        source: own(fresh.v6),
        destination: to,
        begun,
        held,
    })
}

fn serve_and_call(world: &World, fresh: Fresh) -> Result<Made> {
    let server = Echo::tcp(&world.peer, fresh.there())?;
    call(world, fresh, fresh.there(), vec![Box::new(server)])
}

/// A connection over the link that is not guarded, whose one direction then takes the first.
fn one_direction(world: &World, fresh: Fresh) -> Result<Made> {
    world.host_route(fresh, 2)?;
    world.peer_route(fresh, 2)?;
    let server = Echo::tcp(&world.peer, fresh.there())?;
    let stream = sock::connect_from(&world.ns, Some(own(fresh.v6)), fresh.there(), PATIENCE);
    let mut stream = stream.map_err(|seen| anyhow!("connecting: {seen}"))?;
    world.host_route(fresh, 0)?;
    let begun = Instant::now();
    stream.write_all(b"ringwall")?;
    Ok(Made {
        source: own(fresh.v6),
        destination: fresh.there(),
        begun,
        held: vec![Box::new(server), Box::new(stream)],
    })
}
