//! By which interfaces a source may rightly come: every one that any routing table, any of several next hops and
//! any metric would send to it by (feasible paths, RFC 3704 section 2.3). Pure.
//!
//! Which table is asked for a packet, the rules of policy routing say, by marks and much else. So a prefix has the
//! interfaces that each table gives by its own longest match, of all tables together. What is refused then is
//! refused by every table.

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::addr::Addr;
use firewall_common::way_back::Ways;
use ipnet::IpNet;

use super::Link;
use super::routes::{Route, To};
use crate::dataplane::memory::mapped;

/// A prefix: its bits, then its length, so that a prefix stands before those in it.
type Prefix = (u128, u32);

/// What a table says of a prefix: the interfaces; `None` where it says nothing and the next table is asked.
type Said = Option<BTreeSet<u32>>;

/// The ways back to sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feasible {
    /// The interfaces behind every prefix, by its address and its length of 128 bits. What has no entry has no way
    /// back.
    pub ways: BTreeMap<(Addr, u32), Ways>,
    /// There were too many prefixes, so those longer than this are taken together.
    pub cut: Option<u32>,
}

impl Feasible {
    /// Where the way back to an address leads; `None` where there is none.
    #[must_use]
    pub fn of(&self, address: &Addr) -> Option<&Ways> {
        let bits = u128::from_be_bytes(address.to_bytes());
        let mut lengths = (0..=128_u32).rev();
        lengths.find_map(|length| {
            let net = Addr::from_bytes((bits & mask(length)).to_be_bytes());
            self.ways.get(&(net, length))
        })
    }
}

/// Works them out of routes. With more than `most`, prefixes are taken together until it is fewer: then some
/// sources pass that should not, and none is refused that should pass.
#[must_use]
pub fn feasible(routes: &[Route], links: &[Link], guarded: &[u32], most: usize) -> Feasible {
    let serving = serving(links, guarded);
    let mut longest = 128;
    loop {
        let found = both(routes, longest);
        if found.len() <= most || longest == 0 {
            let named = found.into_iter().map(|((bits, length), by)| {
                let address = Addr::from_bytes(bits.to_be_bytes());
                ((address, length), ways(&by, &serving))
            });
            return Feasible {
                ways: named.collect(),
                cut: (longest < 128).then_some(longest),
            };
        }
        longest -= 4;
    }
}

/// IPv4, as it stands among IPv6.
const V4: Prefix = (0xffff_0000_0000, 96);

/// Both families; no route of IPv6 leads to IPv4.
fn both(routes: &[Route], longest: u32) -> BTreeMap<Prefix, BTreeSet<u32>> {
    let of = |v4: bool| {
        let own = routes
            .iter()
            .filter(|route| matches!(route.net, IpNet::V4(_)) == v4);
        union(&own.collect::<Vec<_>>(), longest)
    };
    let mut found = of(false);
    let around = found.keys().any(|outer| holds(*outer, V4));
    found.extend(of(true));
    if around {
        found.entry(V4).or_default();
    }
    found
}

/// The union over all tables, for every prefix that differs from the one around it.
fn union(routes: &[&Route], longest: u32) -> BTreeMap<Prefix, BTreeSet<u32>> {
    let (exact, tables) = exact(routes, longest);
    let mut found = BTreeMap::new();
    // The prefixes around the present one, each with what every table says there, and all together.
    let mut around: Vec<(Prefix, Vec<Said>, BTreeSet<u32>)> = Vec::new();
    for (prefix, own) in exact {
        while around
            .last()
            .is_some_and(|(outer, ..)| !holds(*outer, prefix))
        {
            around.pop();
        }
        let outer = around.last();
        let mut said = outer.map_or_else(|| vec![None; tables], |(_, said, _)| said.clone());
        for (table, says) in own {
            if let Some(place) = said.get_mut(table) {
                *place = says;
            }
        }
        let all: BTreeSet<u32> = said.iter().flatten().flatten().copied().collect();
        let before = outer.map(|(_, _, all)| all);
        if before.map_or(!all.is_empty(), |before| *before != all) {
            found.insert(prefix, all.clone());
        }
        around.push((prefix, said, all));
    }
    found
}

/// What each table says of exactly this prefix, tables by their place among all. Prefixes longer than `longest` are
/// taken together, and lead where any of them does.
fn exact(routes: &[&Route], longest: u32) -> (BTreeMap<Prefix, BTreeMap<usize, Said>>, usize) {
    let tables: BTreeSet<u32> = routes.iter().map(|route| route.table).collect();
    let places: BTreeMap<u32, usize> = tables.into_iter().zip(0..).collect();
    let mut exact: BTreeMap<Prefix, BTreeMap<usize, Said>> = BTreeMap::new();
    for route in routes {
        let (bits, length) = prefix(route.net);
        let cut = length.min(longest.max(floor(route.net)));
        let Some(place) = places.get(&route.table) else {
            continue;
        };
        let tables = exact.entry((bits & mask(cut), cut)).or_default();
        let said = tables.entry(*place).or_default();
        match &route.to {
            To::By(by) => said.get_or_insert_default().extend(by),
            To::Unsaid => {
                said.get_or_insert_default().insert(Ways::ANY);
            }
            To::NextTable => {}
        }
    }
    (exact, places.len())
}

/// IPv4 is never taken together with IPv6.
const fn floor(net: IpNet) -> u32 {
    match net {
        IpNet::V4(_) => 96,
        IpNet::V6(_) => 0,
    }
}

fn prefix(net: IpNet) -> Prefix {
    let bits = u128::from_be_bytes(mapped(net.network()).to_bytes());
    (bits, u32::from(net.prefix_len()) + floor(net))
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        1..128 => u128::MAX << (128 - length),
        _ => u128::MAX,
    }
}

const fn holds(outer: Prefix, inner: Prefix) -> bool {
    outer.1 <= inner.1 && inner.0 & mask(outer.1) == outer.0
}

/// By the device that routes name: the guarded ones that see its packets, too. Those are the ports below it, which
/// may be guarded by name, and the device below a macvlan or an ipvlan.
fn serving(links: &[Link], guarded: &[u32]) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut serving: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for index in guarded {
        for upper in uppers(links, *index) {
            serving.entry(upper).or_default().insert(*index);
        }
    }
    serving
}

/// Every device above one.
fn uppers(links: &[Link], index: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut from = vec![index];
    while let Some(lower) = from.pop() {
        let is_above = |link: &&Link| {
            let port = links.iter().find(|port| port.index == lower);
            let master = port.and_then(|port| port.master);
            master == Some(link.index) || link.lower == Some(lower)
        };
        for upper in links.iter().filter(is_above) {
            if found.insert(upper.index) {
                from.push(upper.index);
            }
        }
    }
    found
}

fn ways(by: &BTreeSet<u32>, serving: &BTreeMap<u32, BTreeSet<u32>>) -> Ways {
    let below = by.iter().filter_map(|index| serving.get(index)).flatten();
    let all: BTreeSet<u32> = by.iter().chain(below).copied().collect();
    let mut ways = Ways::default();
    if all.contains(&Ways::ANY) || all.len() > ways.interfaces.len() {
        ways.interfaces[0] = Ways::ANY;
        return ways;
    }
    for (place, index) in ways.interfaces.iter_mut().zip(all) {
        *place = index;
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(table: u32, net: &str, by: &[u32]) -> Route {
        let to = To::By(by.to_vec());
        let net = net.parse().unwrap();
        Route { table, net, to }
    }

    fn told(routes: &[Route]) -> Vec<(String, Vec<u32>)> {
        of(routes, &[], &[], usize::MAX)
    }

    fn of(
        routes: &[Route],
        links: &[Link],
        guarded: &[u32],
        most: usize,
    ) -> Vec<(String, Vec<u32>)> {
        let found = feasible(routes, links, guarded, most);
        let told = found.ways.into_iter().map(|((address, length), ways)| {
            let by = ways.interfaces.into_iter().filter(|index| *index != 0);
            (
                format!("{}/{length}", crate::sessions::address(address)),
                by.collect(),
            )
        });
        told.collect()
    }

    fn is(net: &str, by: &[u32]) -> (String, Vec<u32>) {
        (net.to_owned(), by.to_vec())
    }

    #[test]
    fn every_table_has_its_own_longest_match() {
        let found = told(&[
            by(254, "0.0.0.0/0", &[2]),
            by(254, "10.0.0.0/8", &[3]),
            by(100, "0.0.0.0/0", &[4]),
            by(100, "10.1.0.0/16", &[5]),
        ]);
        let expected = [
            is("0.0.0.0/96", &[2, 4]),
            is("10.0.0.0/104", &[3, 4]),
            is("10.1.0.0/112", &[3, 5]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn next_hops_and_metrics_are_taken_together_and_what_changes_nothing_is_left_out() {
        let found = told(&[
            by(254, "::/0", &[2, 3]),
            by(254, "2001:db8::/32", &[2]),
            by(254, "2001:db8::/32", &[3]),
            by(254, "2001:db8:1::/48", &[2]),
            by(254, "2001:db8:1:2::/64", &[2]),
        ]);
        let expected = [
            is("::/0", &[2, 3]),
            is("0.0.0.0/96", &[]),
            is("2001:db8:1::/48", &[2]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_families_have_nothing_to_do_with_each_other() {
        let found = told(&[by(254, "::/0", &[2]), by(254, "10.0.0.0/8", &[3])]);
        let expected = [
            is("::/0", &[2]),
            is("0.0.0.0/96", &[]),
            is("10.0.0.0/104", &[3]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_thrown_away_has_no_way_back_unless_another_table_has_one() {
        let mut routes = vec![
            by(254, "0.0.0.0/0", &[2]),
            by(254, "192.0.2.0/24", &[]),
            by(254, "198.51.100.0/24", &[]),
            by(7, "192.0.2.0/24", &[3]),
        ];
        let expected = [
            is("0.0.0.0/96", &[2]),
            is("192.0.2.0/120", &[3]),
            is("198.51.100.0/120", &[]),
        ];
        assert_eq!(told(&routes), expected);
        // A table that hands on says nothing.
        routes.push(Route {
            table: 254,
            net: "203.0.113.0/24".parse().unwrap(),
            to: To::NextTable,
        });
        assert_eq!(told(&routes).last(), Some(&is("203.0.113.0/120", &[])));
        routes.push(by(8, "203.0.113.0/24", &[4]));
        assert_eq!(told(&routes).last(), Some(&is("203.0.113.0/120", &[4])));
    }

    #[test]
    fn what_cannot_be_told_apart_is_any() {
        let many: Vec<u32> = (2..12).collect();
        let unsaid = Route {
            table: 254,
            net: "10.0.0.0/8".parse().unwrap(),
            to: To::Unsaid,
        };
        let found = told(&[
            by(254, "0.0.0.0/0", &many),
            unsaid,
            by(254, "10.1.0.0/16", &[3]),
        ]);
        assert_eq!(found[0], is("0.0.0.0/96", &[Ways::ANY]));
        assert_eq!(found[1], is("10.0.0.0/104", &[Ways::ANY]));
        assert_eq!(found[2], is("10.1.0.0/112", &[3]));
    }

    #[test]
    fn too_many_prefixes_are_taken_together_and_no_way_is_lost() {
        let routes: Vec<Route> = (0..64)
            .map(|n| by(254, &format!("10.0.{n}.0/24"), &[2 + n % 3]))
            .collect();
        let found = of(&routes, &[], &[], 8);
        assert!(found.len() <= 8, "{found:?}");
        assert!(found.iter().all(|(_, by)| by == &[2, 3, 4]), "{found:?}");
        assert_eq!(feasible(&routes, &[], &[], 64).cut, None);
        let few = feasible(&routes, &[], &[], 8);
        assert_eq!(few.cut, Some(116));
        let inside = mapped("10.0.63.1".parse().unwrap());
        assert_eq!(few.of(&inside).unwrap().interfaces[..3], [2, 3, 4]);
        assert_eq!(few.of(&mapped("10.0.64.1".parse().unwrap())), None);
    }

    #[test]
    fn devices_below_the_one_that_a_route_names_may_be_guarded() {
        let link = |index, master, lower| Link {
            index,
            master,
            lower,
            ..Link::default()
        };
        let links = [
            link(2, Some(4), None),
            link(3, Some(4), None),
            link(4, None, None),
            // A macvlan on the bond.
            link(5, None, Some(4)),
        ];
        let routes = [by(254, "10.0.0.0/8", &[4]), by(254, "10.1.0.0/16", &[5])];
        let found = of(&routes, &links, &[2, 4], usize::MAX);
        let expected = [is("10.0.0.0/104", &[2, 4]), is("10.1.0.0/112", &[2, 4, 5])];
        assert_eq!(found, expected);
    }
}
