//! `connected`: the networks on a link are prefixes of the zone like others, as this host has them now.

use ipnet::IpNet;

use crate::policy::check::could_share;
use crate::policy::compiled::pattern_matches;
use crate::policy::hosts::HostContext;
use crate::policy::model::Zone;
use crate::policy::text::cx::Cx;
use crate::policy::text::walk;
use crate::policy::text::yaml::{Kind, Node};
use crate::policy::text::zones::names;

/// One interface, or a list of them.
pub(super) fn read(node: &Node, cx: &mut Cx<'_>) -> Vec<String> {
    let applies = cx.applies;
    if !matches!(node.kind, Kind::Seq(_)) {
        return names(std::slice::from_ref(node), cx, applies);
    }
    let items = walk::filled_list(node, "connected", &mut cx.report);
    names(items.unwrap_or_default(), cx, applies)
}

/// Gives the zones the networks on their links.
///
/// What a host has on its links is no fault of the policy, so a network that another zone has already is that
/// zone's, and no error: what is written out goes before what is found, and of two links with the same network
/// the zone that stands first in the file has it.
pub(super) fn resolve(zones: &mut [Zone], host: &HostContext) {
    for index in 0..zones.len() {
        let Some((before, [zone, after @ ..])) = zones.split_at_mut_checked(index) else {
            continue;
        };
        let others = || before.iter().chain(after.iter());
        let taken = |zone: &Zone, net: &IpNet| {
            let mut others = others();
            others.any(|other| other.cidrs.contains(net) && could_share(zone, other))
        };
        for net in on_links(&zone.connected, host) {
            if !zone.cidrs.contains(&net) && !taken(zone, &net) {
                zone.cidrs.push(net);
            }
        }
    }
}

fn on_links(patterns: &[String], host: &HostContext) -> Vec<IpNet> {
    let links = host.connected.iter();
    let named = links.filter(|(name, _)| patterns.iter().any(|p| pattern_matches(p, name)));
    named.flat_map(|(_, nets)| nets.iter().copied()).collect()
}
