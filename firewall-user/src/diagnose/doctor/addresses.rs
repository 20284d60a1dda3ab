//! Addresses, and the zones that speak of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{AS_ROOT, Finding, Look};
use crate::agent::net::{self, Local, LocalKind};
use crate::policy::model::{Policy, Zone};

/// Questions to the routing for one zone: of a long list the first ones stand for all.
const ASKED: usize = 16;

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let mut all = bare(look);
    let Some((policy, _)) = &look.policy else {
        all.push(Finding::ok(
            "addresses",
            "no policy to hold against the addresses",
        ));
        all.push(Finding::skipped(
            "routes",
            "there is no policy to be read",
            AS_ROOT,
        ));
        return all;
    };
    all.extend(own(policy, &look.locals));
    if all.is_empty() {
        all.push(Finding::ok(
            "addresses",
            "each guarded interface has one, and no zone claims one of ours",
        ));
    }
    all.push(routes(policy));
    all
}

/// Guarded, up, and without an address: what arrives there is for nobody, or for a bridge that is not known.
fn bare(look: &Look) -> Vec<Finding> {
    let without = look
        .guarded()
        .into_iter()
        .filter(|link| link.up && look.connected.get(&link.name).is_none_or(Vec::is_empty));
    let finding = |link: &net::Link| {
        let found = format!("{} is guarded and has no address", link.name);
        Finding::warn(
            "addresses",
            found,
            "give it one, or leave it alone: `interfaces: {ignore: […]}`",
        )
    };
    without.map(finding).collect()
}

/// A zone that is one single address, and that address is ours: nobody else can ever be in it.
fn own(policy: &Policy, locals: &[Local]) -> Vec<Finding> {
    let ours = |net: &&ipnet::IpNet| {
        let single = net.prefix_len() == net.max_prefix_len();
        let unicast = |local: &&Local| local.kind == LocalKind::Unicast && local.net == **net;
        single && locals.iter().any(|local| unicast(&local))
    };
    let claims = |zone: &Zone| {
        let nets = zone.cidrs.iter().filter(ours);
        nets.map(|net| (zone.name.clone(), net.addr()))
            .collect::<Vec<_>>()
    };
    let all = policy.zones.iter().flat_map(claims);
    all.map(|(zone, address)| {
        let found = format!("zone `{zone}` names {address}, which is this host's own");
        Finding::warn(
            "addresses",
            found,
            "this host is the zone `host`; name the peer instead",
        )
    })
    .collect()
}

fn routes(policy: &Policy) -> Finding {
    let mut asked: BTreeMap<IpAddr, String> = BTreeMap::new();
    for zone in policy.zones.iter().filter(|zone| !zone.default) {
        let first = zone
            .cidrs
            .iter()
            .filter(|net| net.prefix_len() > 0)
            .take(ASKED);
        let named = |net: &ipnet::IpNet| (host_in(net), format!("{net} of zone `{}`", zone.name));
        asked.extend(first.map(named));
    }
    let addresses: Vec<IpAddr> = asked.keys().copied().collect();
    let Ok(unrouted) = net::unrouted_now(&addresses) else {
        return Finding::skipped("routes", "netlink does not answer", AS_ROOT);
    };
    let names: Vec<String> = unrouted
        .iter()
        .filter_map(|a| asked.get(a).cloned())
        .collect();
    if names.is_empty() {
        return Finding::ok("routes", "a route leads to every zone that is asked for");
    }
    let found = format!("no route leads to {}", names.join(", "));
    Finding::warn(
        "routes",
        found,
        "answers cannot go there: add a route, or correct the prefix",
    )
}

/// An address inside a prefix that is not its network address.
fn host_in(net: &ipnet::IpNet) -> IpAddr {
    net.hosts().next().unwrap_or_else(|| net.addr())
}
