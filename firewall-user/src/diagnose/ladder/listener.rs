//! Does anything listen here, and where?

use super::{Here, Question, Step};
use crate::agent::net::{self, Path};
use crate::detect::Listeners;
use crate::detect::listeners::Heard;

const LAYER: &str = "listener";

pub(super) fn look(here: &Here, question: Question, way: Option<&Path>) -> Step {
    let Question { peer, port, .. } = question;
    let all = match net::listening() {
        Ok(all) => Listeners::of(all.into_iter().map(|(one, _)| one).collect()),
        Err(error) => {
            return Step::skipped(LAYER, format!("{error:#}"), "run it as root");
        }
    };
    let own = way.and_then(|way| way.source);
    let Some(own) = own.or_else(|| here.own(peer)) else {
        let found = "this host has no address of the peer's family";
        return Step::fault(LAYER, found, "ip address");
    };
    let show = format!("ss -ltnp 'sport = :{port}'");
    match all.at(own, port) {
        Heard::Here(at) => Step::ok(LAYER, format!("a socket listens on {at} port {port}")),
        Heard::Full(at, waiting, most) => {
            let found = format!(
                "a socket listens on {at} port {port}, and {waiting} connections wait to be accepted where {most} may: \
                 it takes no more"
            );
            Step::fault(
                LAYER,
                found,
                format!("see why the service does not accept: {show}"),
            )
        }
        Heard::Elsewhere(at) => {
            let at: Vec<String> = at.iter().take(4).map(ToString::to_string).collect();
            let found = format!("port {port} has a listener only on {}", at.join(", "));
            Step::fault(
                LAYER,
                found,
                "make the service listen on this address, or on all",
            )
        }
        Heard::Nobody => {
            let found = format!("nothing listens on port {port}");
            Step::fault(LAYER, found, format!("start the service: {show}"))
        }
        Heard::Unknown => Step::skipped(LAYER, "listeners cannot be listed", show),
    }
}
