//! Would another filter of this host drop it?

use super::{Here, Question, Step};
use crate::agent::net::Path;
use crate::diagnose::doctor::nft::{self, Packet};

const LAYER: &str = "filters";

pub(super) fn look(here: &Here, question: Question, way: Option<&Path>) -> Vec<Step> {
    let Some(way) = way else {
        let takes = "a route, which says by which interface";
        return vec![Step::skipped(
            LAYER,
            "it is not known where packets cross",
            takes,
        )];
    };
    let Some(own) = way.source.or_else(|| here.own(question.peer)) else {
        let why = "this host has no address of the peer's family";
        return vec![Step::skipped(LAYER, why, "ip address")];
    };
    let (source, destination) = if question.inbound {
        (question.peer, own)
    } else {
        (own, question.peer)
    };
    let packet = Packet {
        interface: here.name(way.interface),
        source,
        destination,
        protocol: 6,
        port: Some(question.port),
        leaving: !question.inbound,
    };
    match nft::fate_of(&packet) {
        Err(why) => vec![Step::skipped(
            LAYER,
            why,
            "run it as root, with nftables installed",
        )],
        Ok(fate) => of(fate),
    }
}

fn of(fate: nft::Fate) -> Vec<Step> {
    if let Some(place) = fate.drop {
        let found = format!("nftables drops it: {place}");
        return vec![Step::fault(
            LAYER,
            found,
            "allow it there: nft -a list ruleset",
        )];
    }
    if fate.doubts.is_empty() {
        return vec![Step::ok(LAYER, "nftables lets it by")];
    }
    let found = format!("nftables may drop it: {}", fate.doubts.join("; "));
    vec![Step::warn(
        LAYER,
        found,
        "look at these yourself: nft -a list ruleset",
    )]
}
