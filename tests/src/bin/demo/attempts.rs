//! The first part: who may do what, tried one after another.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use ringwall_tests::net::packet::{Capture, Tap};
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::net::{End, Host, Lab, Netns};

use super::SCANNER;
use super::score::Score;
use super::wire::{About, Summary};
use ringwall_tests::scenario::Counters;

/// Long enough to tell silence, with one SYN sent again after a second.
const PATIENCE: Duration = Duration::from_millis(1200);

/// Who tries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Trusted,
    Stranger,
    Scanner,
    /// The host itself, towards the stranger.
    Host,
}

/// What is tried.
#[derive(Clone, Copy)]
enum How {
    Tcp(u16),
    Udp(u16),
    Ping,
}

struct Attempt {
    who: Who,
    how: How,
    expected: Seen,
    rule: &'static str,
    why: &'static str,
}

const fn attempt(
    who: Who,
    how: How,
    expected: Seen,
    rule: &'static str,
    why: &'static str,
) -> Attempt {
    Attempt {
        who,
        how,
        expected,
        rule,
        why,
    }
}

use How::{Ping, Tcp, Udp};
use Seen::{Answered, Refused, Silence};

const ATTEMPTS: [Attempt; 12] = [
    attempt(Who::Trusted, Tcp(22), Answered, "admin/ssh", "ssh"),
    attempt(Who::Stranger, Tcp(22), Silence, "public/default", "ssh"),
    attempt(Who::Stranger, Tcp(443), Answered, "public/web", "https"),
    attempt(Who::Scanner, Tcp(443), Silence, "blocked/scanners", "https"),
    attempt(Who::Stranger, Tcp(113), Refused, "public/ident", "ident"),
    attempt(Who::Trusted, Udp(161), Answered, "admin/monitoring", "snmp"),
    attempt(Who::Stranger, Udp(161), Silence, "public/default", "snmp"),
    attempt(Who::Stranger, Udp(443), Answered, "public/web", "http3"),
    attempt(Who::Trusted, Ping, Answered, "admin/monitoring", "ping"),
    attempt(Who::Stranger, Ping, Silence, "public/default", "ping"),
    attempt(
        Who::Host,
        Tcp(25),
        Refused,
        "outbound/no-smtp",
        "smtp, going out",
    ),
    attempt(
        Who::Host,
        Tcp(8080),
        Answered,
        "outbound/default",
        "http, going out",
    ),
];

/// Everyone's services: open at every address, so that only the firewall can say no.
pub(crate) struct Services(#[expect(dead_code, reason = "they serve until dropped")] Vec<Echo>);

impl Services {
    pub(crate) fn start(ns: &Netns, tcp: &[u16], udp: &[u16]) -> Result<Self> {
        let at = |port: u16| SocketAddr::from(([0_u16; 8], port));
        let tcp = tcp.iter().map(|&port| Echo::tcp(ns, at(port)));
        let udp = udp.iter().map(|&port| Echo::udp(ns, at(port)));
        Ok(Self(tcp.chain(udp).collect::<Result<_>>()?))
    }
}

/// Tries everything over both families.
pub(crate) fn run(lab: &Lab, host: &Host, score: &mut Score) -> Result<()> {
    let _here = Services::start(lab.host(), &[22, 113, 443], &[161, 443])?;
    let _there = Services::start(&lab.stranger.ns, &[25, 8080], &[])?;
    println!("\nEvery service listens, so only the firewall can say no:");
    println!(
        "      {:<46} {:<9} {:<9} {:<38} decided by",
        "attempt", "expected", "seen", "capture at the other end"
    );
    for attempt in &ATTEMPTS {
        for v6 in [false, true] {
            attempt.run(lab, host, v6, score)?;
        }
    }
    Ok(())
}

impl Attempt {
    fn run(&self, lab: &Lab, host: &Host, v6: bool, score: &mut Score) -> Result<()> {
        let (client, other) = self.ends(lab);
        let to = self.target(v6)?;
        let before = Counters::read(host)?;
        let capture = Capture::start(other, Tap::Wire)?;
        let seen = self.try_it(client, to, v6)?;
        let wire = Summary::of(&capture.finish(), self.about());
        let moved = before.moved_to(&Counters::read(host)?);
        let good = seen == self.expected && self.fits(&wire) && moved == [self.rule];
        let what = self.text(to);
        let rules = if moved.is_empty() {
            "no rule".to_owned()
        } else {
            moved.join(", ")
        };
        let instead = if moved == [self.rule] {
            String::new()
        } else {
            format!(" (expected {})", self.rule)
        };
        let line = format!(
            "{what:<46} {:<9} {seen:<9} {wire:<38} {rules}{instead}",
            self.expected
        );
        score.note(good, &what, &line);
        Ok(())
    }

    /// The client's end, and the other end of its wire.
    fn ends<'a>(&self, lab: &'a Lab) -> (&'a End, &'a End) {
        match self.who {
            Who::Trusted => (&lab.trusted, &lab.lan),
            Who::Stranger | Who::Scanner => (&lab.stranger, &lab.wan),
            Who::Host => (&lab.wan, &lab.stranger),
        }
    }

    fn target(&self, v6: bool) -> Result<SocketAddr> {
        let [v4_text, v6_text] = match self.who {
            Who::Trusted => ["10.77.0.1", "fd77::1"],
            Who::Stranger | Who::Scanner => ["203.0.113.1", "2001:db8::1"],
            Who::Host => ["203.0.113.9", "2001:db8::9"],
        };
        let ip: IpAddr = if v6 { v6_text } else { v4_text }.parse()?;
        Ok(SocketAddr::new(ip, self.port()))
    }

    fn port(&self) -> u16 {
        match self.how {
            Tcp(port) | Udp(port) => port,
            Ping => 0,
        }
    }

    fn about(&self) -> About {
        match self.how {
            Tcp(port) | Udp(port) => About::Port(port),
            Ping => About::Ping,
        }
    }

    fn try_it(&self, client: &End, to: SocketAddr, v6: bool) -> Result<Seen> {
        let from = if self.who == Who::Scanner {
            Some(SCANNER[usize::from(v6)].parse()?)
        } else {
            None
        };
        Ok(match self.how {
            Tcp(_) => sock::tcp_from(&client.ns, from, to, PATIENCE),
            Udp(_) => sock::udp(&client.ns, to, PATIENCE),
            Ping => sock::ping(&client.ns, to.ip(), PATIENCE),
        })
    }

    /// The capture must tell the same story as the socket. What the host may not send never arrives.
    fn fits(&self, wire: &Summary) -> bool {
        match (&self.expected, self.who) {
            (Answered, _) => wire.arrived() && wire.answered(),
            (_, Who::Host) => !wire.arrived() && !wire.something_left(),
            (Refused, _) => wire.arrived() && wire.refused(),
            _ => wire.arrived() && !wire.something_left(),
        }
    }

    fn text(&self, to: SocketAddr) -> String {
        let who = match self.who {
            Who::Trusted => "trusted",
            Who::Stranger => "stranger",
            Who::Scanner => "scanner",
            Who::Host => "host",
        };
        let to = match self.how {
            Tcp(_) => format!("tcp {to}"),
            Udp(_) => format!("udp {to}"),
            Ping => format!("icmp {}", to.ip()),
        };
        format!("{who} -> {to} {}", self.why)
    }
}
