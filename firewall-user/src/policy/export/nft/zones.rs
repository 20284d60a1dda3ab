//! Zones as conditions: which interfaces, and which ranges of addresses there.
//!
//! nftables has no longest match, so the address space is cut into the pieces that each zone has, once for each
//! way in which interfaces can matter to zones.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nftables::expr::MetaKey;

use super::Builder;
use super::rules::Case;
use super::say::{Say, Value, field, ip, is, is_not, meta, range, word};
use crate::policy::check::globs::could_meet;
use crate::policy::compiled::{is_glob, pattern_matches};
use crate::policy::model::{Policy, Zone};

/// More ways than this are not written down.
const MAX_WAYS: usize = 256;

/// Which interface of a packet is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

impl End {
    const fn interface(self) -> MetaKey {
        match self {
            Self::Source => MetaKey::Iifname,
            Self::Destination => MetaKey::Oifname,
        }
    }

    const fn address(self) -> &'static str {
        match self {
            Self::Source => "saddr",
            Self::Destination => "daddr",
        }
    }
}

/// One way in which an interface can matter: the patterns that its name matches, and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    matching: Vec<String>,
    /// What its name must not match besides.
    others: Vec<String>,
}

/// Every piece of every zone.
#[derive(Debug)]
pub(super) struct Zones {
    ways: Vec<Way>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    zone: usize,
    way: usize,
    v6: bool,
    ranges: Vec<(u128, u128)>,
}

/// Can nftables match this name or glob? It knows one star, at the end.
pub(super) fn sayable(pattern: &str) -> bool {
    !is_glob(pattern.strip_suffix('*').unwrap_or(pattern))
}

impl Zones {
    /// `None` where interfaces matter in ways that cannot be written down.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let ways = ways(policy)?;
        let mut pieces = Vec::new();
        for (way, names) in ways.iter().enumerate() {
            for v6 in [false, true] {
                pieces.extend(
                    cut(policy, names, v6)
                        .into_iter()
                        .map(|(zone, ranges)| Piece {
                            zone,
                            way,
                            v6,
                            ranges,
                        }),
                );
            }
        }
        Some(Self { ways, pieces })
    }

    /// The conditions under which an end is in one of these zones; any of them will do.
    pub(super) fn conditions(
        &self,
        builder: &mut Builder<'_>,
        zones: &BTreeSet<usize>,
        end: End,
    ) -> Vec<Case> {
        let chosen = self
            .pieces
            .iter()
            .filter(|piece| zones.contains(&piece.zone));
        let each = chosen.map(|piece| {
            let mut all = self
                .ways
                .get(piece.way)
                .map_or_else(Vec::new, |way| way.say(end));
            all.extend(self.addresses(builder, piece, end));
            (Some(piece.v6), all)
        });
        each.collect()
    }

    fn addresses(&self, builder: &mut Builder<'_>, piece: &Piece, end: End) -> Option<Say> {
        if piece.ranges == [whole(piece.v6)] {
            return Some(super::say::family(piece.v6));
        }
        let zone = builder.policy.zones.get(piece.zone)?;
        let mut name = format!("zone-{}-{}", zone.name, if piece.v6 { 6 } else { 4 });
        if self.ways.len() > 1 {
            name += &format!("-way{}", piece.way + 1);
        }
        let elements = || {
            piece
                .ranges
                .iter()
                .map(|span| spoken(*span, piece.v6))
                .collect()
        };
        builder.set(&name, piece.v6, elements);
        let address = field(ip(piece.v6), end.address());
        Some(is(address, word(format!("@{name}"))))
    }
}

impl Way {
    fn say(&self, end: End) -> Vec<Say> {
        let name = || meta(end.interface());
        if let Some(exact) = self.matching.iter().find(|pattern| !is_glob(pattern)) {
            return vec![is(name(), word(exact))];
        }
        let matching = self.matching.iter().map(|glob| is(name(), word(glob)));
        let others = self.others.iter().map(|other| is_not(name(), word(other)));
        matching.chain(others).collect()
    }
}

/// Every set of patterns that one name can match.
fn ways(policy: &Policy) -> Option<Vec<Way>> {
    let zones = policy.zones.iter();
    let patterns = zones.flat_map(|zone| zone.interfaces.iter().chain(&zone.connected));
    let patterns: BTreeSet<&String> = patterns.collect();
    if !patterns.iter().all(|pattern| sayable(pattern)) {
        return None;
    }
    let (globs, names): (Vec<&String>, Vec<&String>) =
        patterns.iter().partition(|pattern| is_glob(pattern));
    let mut sets: BTreeSet<Vec<&String>> = BTreeSet::from([Vec::new()]);
    for glob in &globs {
        let meets = |set: &&Vec<&String>| set.iter().all(|other| could_meet(other, glob));
        let grown = sets.iter().filter(meets);
        let grown: Vec<_> = grown.map(|set| [&set[..], &[*glob]].concat()).collect();
        sets.extend(grown);
        if sets.len() > MAX_WAYS {
            return None;
        }
    }
    for name in &names {
        let matching = patterns
            .iter()
            .filter(|pattern| pattern_matches(pattern, name));
        sets.insert(matching.copied().collect());
    }
    let way = |set: Vec<&String>| Way {
        others: patterns
            .iter()
            .filter(|p| !set.contains(*p))
            .map(|p| (*p).clone())
            .collect(),
        matching: set.into_iter().cloned().collect(),
    };
    Some(sets.into_iter().map(way).collect())
}

const fn whole(v6: bool) -> (u128, u128) {
    (0, if v6 { u128::MAX } else { u32::MAX as u128 })
}

fn spoken((low, high): (u128, u128), v6: bool) -> Value {
    let address = |number: u128| match v6 {
        true => IpAddr::from(Ipv6Addr::from_bits(number)),
        false => IpAddr::from(Ipv4Addr::from_bits(number as u32)),
    };
    let (low, high) = (address(low), address(high));
    if low == high {
        word(low.to_string())
    } else {
        range(word(low.to_string()), word(high.to_string()))
    }
}

fn span(net: &IpNet) -> (u128, u128) {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (number(net.network()), number(net.broadcast()))
}

/// The family's addresses by zone, at interfaces whose names match these patterns.
fn cut(policy: &Policy, way: &Way, v6: bool) -> Vec<(usize, Vec<(u128, u128)>)> {
    let named = |patterns: &[String]| patterns.iter().any(|p| way.matching.contains(p));
    let zones = || policy.zones.iter().enumerate();
    let place =
        |wanted: &dyn Fn(&Zone) -> bool| zones().find(|(_, zone)| wanted(zone)).map(|(i, _)| i);
    let alone = place(&|zone| zone.has_interfaces && !zone.has_cidrs && named(&zone.interfaces));
    let mut nets: Vec<(IpNet, usize)> = Vec::new();
    for (index, zone) in zones().filter(|(_, zone)| !zone.has_interfaces || named(&zone.interfaces))
    {
        nets.extend(
            zone.cidrs
                .iter()
                .filter(|net| net.addr().is_ipv6() == v6)
                .map(|net| (*net, index)),
        );
    }
    // A zone that names interfaces owns fe80::/10 there.
    let any = place(&|zone| zone.has_interfaces && named(&zone.interfaces));
    let owner = alone
        .or(any)
        .or_else(|| place(&|zone| named(&zone.connected)));
    let link_local = "fe80::/10".parse().ok().filter(|_| v6);
    if let (Some(owner), Some(net)) = (owner, link_local)
        && !nets.iter().any(|(known, _)| *known == net)
    {
        nets.push((net, owner));
    }
    let default = place(&|zone| zone.default);
    let Some(base) = alone.or(default) else {
        return Vec::new();
    };
    nets.sort_by_key(|(net, _)| (span(net).0, net.prefix_len()));
    by_zone(&sweep(&nets, whole(v6), base))
}

/// Pieces in order: each address has the zone of the innermost prefix around it.
fn sweep(
    nets: &[(IpNet, usize)],
    (first, last): (u128, u128),
    base: usize,
) -> Vec<(u128, u128, usize)> {
    let mut pieces = Vec::new();
    // What is open, outermost first, and from where on nothing is said yet; nothing once all is.
    let (mut open, mut from) = (vec![(last, base)], Some(first));
    for (net, zone) in nets {
        let (start, end) = span(net);
        close(&mut open, &mut from, &mut pieces, |top| top < start);
        if let (Some(at), Some((_, outer))) = (from, open.last())
            && at < start
        {
            pieces.push((at, start - 1, *outer));
        }
        from = Some(start);
        open.push((end, *zone));
    }
    close(&mut open, &mut from, &mut pieces, |_| true);
    pieces
}

fn close(
    open: &mut Vec<(u128, usize)>,
    from: &mut Option<u128>,
    pieces: &mut Vec<(u128, u128, usize)>,
    done: impl Fn(u128) -> bool,
) {
    while let Some((end, zone)) = open.pop_if(|(end, _)| done(*end)) {
        if let Some(at) = from.filter(|at| *at <= end) {
            pieces.push((at, end, zone));
            *from = end.checked_add(1);
        }
    }
}

fn by_zone(pieces: &[(u128, u128, usize)]) -> Vec<(usize, Vec<(u128, u128)>)> {
    let zones: BTreeSet<usize> = pieces.iter().map(|(.., zone)| *zone).collect();
    let of = |zone| {
        let own = pieces.iter().filter(move |piece| piece.2 == zone);
        let mut ranges: Vec<(u128, u128)> = Vec::new();
        for (low, high, _) in own {
            match ranges.last_mut() {
                Some((_, end)) if end.checked_add(1) == Some(*low) => *end = *high,
                _ => ranges.push((*low, *high)),
            }
        }
        (zone, ranges)
    };
    zones.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(all: &[(&str, usize)]) -> Vec<(IpNet, usize)> {
        all.iter()
            .map(|(net, zone)| (net.parse().unwrap(), *zone))
            .collect()
    }

    #[test]
    fn the_innermost_prefix_has_the_address() {
        let nets = nets(&[
            ("10.0.0.0/8", 1),
            ("10.0.0.0/24", 2),
            ("10.0.1.0/32", 3),
            ("255.255.255.255/32", 4),
        ]);
        let pieces = sweep(&nets, whole(false), 0);
        let shown: Vec<String> = pieces
            .iter()
            .map(|(low, high, zone)| {
                format!(
                    "{}={zone}",
                    super::super::text::value(&spoken((*low, *high), false))
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0-9.255.255.255=0",
                "10.0.0.0-10.0.0.255=2",
                "10.0.1.0=3",
                "10.0.1.1-10.255.255.255=1",
                "11.0.0.0-255.255.255.254=0",
                "255.255.255.255=4",
            ]
        );
        assert_eq!(
            by_zone(&pieces)[0],
            (0, vec![(0, 0x09ff_ffff), (0x0b00_0000, 0xffff_fffe)])
        );
    }

    #[test]
    fn a_star_at_the_end_can_be_said() {
        assert!(sayable("eth0") && sayable("eth*") && sayable("*"));
        assert!(!sayable("e*0") && !sayable("eth?") && !sayable("eth[01]*"));
    }
}
