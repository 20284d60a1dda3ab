//! What a comparison is asked for, and what comes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::causes::Cause;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What chance begins with.
    pub seed: u64,
    /// Packets, at least.
    pub packets: usize,
}

/// A difference that has no cause, or is the wrong way round.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The firewall that is not nftables.
    pub host: &'static str,
    /// The kind of packet.
    pub class: &'static str,
    /// Did Ringwall let by what nftables did not?
    pub more: bool,
    /// How many came through Ringwall, and through nftables.
    pub came: [usize; 2],
    /// Its number: is it of IPv6, and the identification or flow label.
    pub key: (bool, u32),
    /// What was sent, in hexadecimal.
    pub packets: Vec<String>,
    /// Of a TCP segment: its conversation so far.
    pub story: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets that were sent to each host, by kind.
    pub sent: BTreeMap<&'static str, u64>,
    /// Packets that came through nftables, and through Ringwall at each hook.
    pub through: BTreeMap<&'static str, u64>,
    /// Differences by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Segments of connections that a guess has cut behind nftables, which let it by, and not behind Ringwall, which
    /// did not.
    pub kept: u64,
    /// Differences that must not be.
    pub wrong: Vec<Difference>,
}

impl Report {
    /// All packets sent to each host.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sent.values().sum()
    }

    /// Packets let in that nftables drops.
    #[must_use]
    pub fn more(&self) -> usize {
        self.wrong
            .iter()
            .filter(|difference| difference.more)
            .count()
    }

    /// Joins another seed's.
    pub fn join(&mut self, other: Self) {
        other
            .sent
            .into_iter()
            .for_each(|(class, n)| *self.sent.entry(class).or_default() += n);
        other
            .through
            .into_iter()
            .for_each(|(host, n)| *self.through.entry(host).or_default() += n);
        other
            .causes
            .into_iter()
            .for_each(|(cause, n)| *self.causes.entry(cause).or_default() += n);
        self.kept += other.kept;
        self.wrong.extend(other.wrong);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} packets to each host:", self.packets());
        let _ = self
            .sent
            .iter()
            .try_for_each(|(class, n)| write!(text, " {class} {n};"));
        let _ = self
            .through
            .iter()
            .try_for_each(|(host, n)| write!(text, "\nthrough {host}: {n}"));
        let _ = self
            .causes
            .iter()
            .try_for_each(|(cause, n)| write!(text, "\ndrops more, {cause}: {n}"));
        let _ = write!(
            text,
            "\nof connections that a guess cut behind nftables alone: {}",
            self.kept
        );
        for wrong in self.wrong.iter().take(20) {
            let way = if wrong.more {
                "LETS BY MORE"
            } else {
                "drops more, without a cause"
            };
            let _ = write!(
                text,
                "
{}: {way}: {} {:?}, came {:?}
  {}",
                wrong.host,
                wrong.class,
                wrong.key,
                wrong.came,
                wrong.packets.join("\n  ")
            );
            let _ = wrong
                .story
                .iter()
                .try_for_each(|line| write!(text, "\n    {line}"));
        }
        text
    }
}
