//! Does routing lead to the peer, and does the next hop answer?

use super::{Here, Question, Step};
use crate::agent::net::{Path, Ways};

const LAYER: &str = "route";

pub(super) fn look(here: &Here, question: Question) -> (Option<Path>, Step) {
    let peer = question.peer;
    let mut ways = match Ways::new() {
        Ok(ways) => ways,
        Err(error) => {
            let why = format!("routing cannot be asked: {error}");
            return (None, Step::skipped(LAYER, why, "ip route get PEER"));
        }
    };
    let path = match ways.path(None, peer) {
        Ok(path) => path,
        Err(error) => {
            let found = format!("no route leads to {peer}: {error}");
            let next = format!("add one: ip route get {peer}; ip route");
            return (None, Step::fault(LAYER, found, next));
        }
    };
    let hop = path.gateway.unwrap_or(peer);
    let by = here.name(path.interface);
    let via = match path.gateway {
        Some(gateway) => format!("by {by}, next hop {gateway}"),
        None => format!("by {by}, on its link"),
    };
    let step = if ways.is_dead(path.interface, hop) {
        let found = format!("{via}, which does not answer (ARP, neighbour discovery)");
        Step::fault(
            LAYER,
            found,
            format!("ip neigh show {hop}; is it there at all?"),
        )
    } else {
        Step::ok(LAYER, via)
    };
    (Some(path), step)
}
