//! nftables beside us: would it drop what the policy allows to this host?
//!
//! The honest subset: what a rule says about protocol, ports, addresses, interface and connection state is
//! understood. What is not understood is neither taken for a match nor for none: what depends on it *may* happen,
//! and is told so. Translations are not followed.

mod packet;
mod ruleset;
#[cfg(test)]
mod tests;
mod value;
mod walk;

use std::collections::BTreeMap;

use nftables::helper;

#[cfg(test)]
use super::State;
use super::{AS_ROOT, Finding, Look};
pub(in crate::diagnose) use packet::Packet;
use packet::Probe;
use ruleset::Ruleset;
pub(in crate::diagnose) use walk::Fate;

/// Words in one finding; more are counted.
const SHOWN: usize = 6;

/// What becomes of a packet in the rules as they are now.
///
/// # Errors
/// Why they cannot be listed, in words.
pub(in crate::diagnose) fn fate_of(packet: &Packet) -> Result<Fate, String> {
    let text = listed().map_err(|error| format!("the ruleset cannot be listed: {error}"))?;
    Ok(walk::fate(&Ruleset::read(&text), packet))
}

/// The rules as nft lists them.
pub(in crate::diagnose) fn listed() -> Result<String, helper::NftablesError> {
    helper::get_current_ruleset_raw(helper::DEFAULT_NFT, ["list", "ruleset"])
}

pub(in crate::diagnose::doctor) fn check(look: &Look) -> Vec<Finding> {
    let mut all = rules(look);
    all.push(legacy());
    all
}

fn rules(look: &Look) -> Vec<Finding> {
    let text = match listed() {
        Ok(text) => text,
        Err(_) if !look.root => {
            return vec![Finding::skipped(
                "nftables",
                "the ruleset cannot be listed",
                AS_ROOT,
            )];
        }
        Err(error) => {
            let found = format!("the ruleset cannot be listed: {error}");
            let advice = "if the kernel has nftables: apt-get install nftables";
            return vec![Finding::skipped("nftables", found, advice)];
        }
    };
    let ruleset = Ruleset::read(&text);
    let mut all: Vec<Finding> = strange(&ruleset).into_iter().collect();
    let Some((policy, source)) = &look.policy else {
        all.extend(closed(&ruleset));
        if all.is_empty() {
            all.push(Finding::ok(
                "nftables",
                "no chain drops by default; there is no policy to hold it against",
            ));
        }
        return all;
    };
    let probes = packet::probes(policy, look);
    all.extend(judge(&ruleset, &probes));
    if all.is_empty() {
        let found = format!(
            "drops nothing of what {source} allows ({} packets tried)",
            probes.len()
        );
        all.push(Finding::ok("nftables", found));
    }
    all
}

/// A listing from a later nft has things that we cannot read; chains that they are in count as not understood.
fn strange(ruleset: &Ruleset) -> Option<Finding> {
    (ruleset.strange > 0).then(|| {
        let found = format!(
            "{} objects of the ruleset are not understood",
            ruleset.strange
        );
        Finding::warn(
            "nftables",
            found,
            "look at them yourself: `nft list ruleset`",
        )
    })
}

/// Without a policy: chains that drop by default.
fn closed(ruleset: &Ruleset) -> Vec<Finding> {
    let chains = ruleset.base_chains(false).filter(|chain| chain.drops);
    let finding = |chain: &ruleset::Chain| {
        let found = format!("{} drops by default", chain.place);
        Finding::warn("nftables", found, "what a policy allows may end there")
    };
    chains.map(finding).collect()
}

/// One finding for each rule or chain that is in the way, with what it is in the way of.
fn judge(ruleset: &Ruleset, probes: &[Probe]) -> Vec<Finding> {
    let mut surely: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut maybe: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for probe in probes {
        let Fate { drop, doubts } = walk::fate(ruleset, &probe.packet);
        let word = || probe.word.clone();
        if let Some(place) = &drop {
            surely.entry(place.clone()).or_default().push(word());
        }
        for place in doubts
            .into_iter()
            .filter(|place| Some(place) != drop.as_ref())
        {
            maybe.entry(place).or_default().push(word());
        }
    }
    let sure = surely.iter().map(|(place, words)| {
        let found = format!("{place} drops what the policy allows: {}", some(words));
        Finding::fail(
            "nftables",
            found,
            "allow it there as well, or take it out of the policy",
        )
    });
    let unsure = maybe
        .iter()
        .filter(|(place, _)| !surely.contains_key(*place));
    let unsure = unsure.map(|(place, words)| {
        let found = format!("{place} may drop what the policy allows: {}", some(words));
        Finding::warn(
            "nftables",
            found,
            "it depends on what doctor does not understand: look at it yourself",
        )
    });
    sure.chain(unsure).collect()
}

fn some(words: &[String]) -> String {
    let mut unique: Vec<&str> = words.iter().map(String::as_str).collect();
    unique.sort_unstable();
    unique.dedup();
    let more = unique.len().saturating_sub(SHOWN);
    unique.truncate(SHOWN);
    let text = unique.join(", ");
    if more > 0 {
        format!("{text}, and {more} more")
    } else {
        text
    }
}

/// iptables of before nftables has tables of its own, which exist once somebody has looked at them.
fn legacy() -> Finding {
    let mut names = Vec::new();
    for (file, word) in [("ip_tables_names", "IPv4"), ("ip6_tables_names", "IPv6")] {
        let path = format!("/proc/thread-self/net/{file}");
        match std::fs::read_to_string(path) {
            Ok(text) => names.extend(text.lines().map(|table| format!("{table} ({word})"))),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Finding::skipped("iptables", "its tables cannot be listed", AS_ROOT);
            }
            // The kernel has none of it.
            Err(_) => {}
        }
    }
    if names.is_empty() {
        return Finding::ok("iptables", "no tables of the older iptables are there");
    }
    let found = format!(
        "tables of the older iptables are there: {}",
        names.join(", ")
    );
    Finding::warn(
        "iptables",
        found,
        "doctor does not read them: see `iptables-legacy -S`",
    )
}
