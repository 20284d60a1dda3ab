//! Other owners of the places where we sit.

use std::io;

use super::{AS_ROOT, Finding, Look};
use crate::agent::net::{self, Filter, Link};
use crate::dataplane::neighbours::{self, Program};
use firewall_common::flow::Hook;

/// Our own filter in a clsact qdisc: see the data plane's `attach`.
const OURS: (&str, u16) = ("bpf", 1);

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let mut all = tcx(look);
    all.extend(clsact(look));
    all.extend(xdp(look));
    all
}

fn tcx(look: &Look) -> Vec<Finding> {
    let mut all = Vec::new();
    for link in &look.links {
        match neighbours::at_tcx(link.index) {
            Ok(programs) if programs.iter().all(|program| program.name.is_some()) => {
                all.extend(beside(link, programs));
            }
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {}
            Ok(_) | Err(_) => {
                let why = "other owners' programs cannot be told from ours without CAP_SYS_ADMIN";
                return vec![Finding::skipped("hooks", why, AS_ROOT)];
            }
        }
    }
    or_none(all, "hooks", "nobody else has programs at TCX")
}

fn place(interface: &str, ingress: bool) -> String {
    let direction = if ingress { "ingress" } else { "egress" };
    format!("at {direction} of {interface}")
}

fn is_ours(program: &Program) -> bool {
    program.bears_our_name() == Some(true)
}

fn beside(link: &Link, programs: Vec<Program>) -> Vec<Finding> {
    let ours = programs.iter().filter(|program| is_ours(program));
    let guarded: Vec<Hook> = ours.map(|program| program.direction).collect();
    let others = neighbours::others(link.index, programs, is_ours);
    let finding = |other: neighbours::Neighbour| {
        let place = place(&link.name, other.direction == Hook::Ingress);
        let name = other.name.unwrap_or_default();
        let who = format!("program {name} ({}) {place}", other.program);
        if !guarded.contains(&other.direction) {
            return Finding::ok("hooks", format!("{who}, where we have none"));
        }
        if !other.first {
            return Finding::ok("hooks", format!("{who} runs after ours, on what we let by"));
        }
        Finding::warn(
            "hooks",
            format!("{who} runs before ours: what it drops or accepts by itself never reaches us"),
            "if that is not meant, let its owner take it off, or put it on anew behind ours; a new start of the agent changes no order, since it takes over the link that is there",
        )
    };
    others.into_iter().map(finding).collect()
}

fn or_none(found: Vec<Finding>, id: &'static str, none: &str) -> Vec<Finding> {
    if found.is_empty() {
        vec![Finding::ok(id, none)]
    } else {
        found
    }
}

fn clsact(look: &Look) -> Vec<Finding> {
    let Ok(filters) = net::filters_now(&look.links) else {
        return vec![Finding::skipped(
            "clsact",
            "netlink does not answer",
            AS_ROOT,
        )];
    };
    let others = filters
        .iter()
        .filter(|f| (f.kind.as_str(), f.priority) != OURS);
    let found = others
        .map(|filter| of_filter(filter, &look.links))
        .collect();
    or_none(found, "clsact", "nobody else has filters there")
}

fn of_filter(filter: &Filter, links: &[Link]) -> Finding {
    let place = place(&name_of(filter.index, links), filter.ingress);
    let found = format!(
        "a {} filter of priority {} {place}",
        filter.kind, filter.priority
    );
    let advice = "see `tc filter show`: it may drop or redirect what the policy allows";
    Finding::warn("clsact", found, advice)
}

fn name_of(index: u32, links: &[Link]) -> String {
    let link = links.iter().find(|link| link.index == index);
    link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
}

fn xdp(look: &Look) -> Vec<Finding> {
    let found = look.links.iter().filter_map(|link| {
        let program = neighbours::at_xdp(link.index).ok().flatten()?;
        of_xdp(&program, &link.name)
    });
    or_none(found.collect(), "xdp", "nobody else has programs there")
}

fn of_xdp(program: &Program, interface: &str) -> Option<Finding> {
    let id = program.id;
    let mode = if program.generic { "generic" } else { "native" };
    let Some(name) = &program.name else {
        let why = format!(
            "whose program {id} at XDP of {interface} ({mode}) is cannot be seen without CAP_SYS_ADMIN"
        );
        return Some(Finding::skipped("xdp", why, AS_ROOT));
    };
    if is_ours(program) {
        return None;
    }
    let found =
        format!("program {name} ({id}) at XDP of {interface}, {mode}: it sees packets before us");
    let advice = format!(
        "what it drops, no counter of ours shows; `ip link set {interface} xdp off` takes it away"
    );
    Some(Finding::warn("xdp", found, advice))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn program(id: u32, name: &str) -> Program {
        Program {
            hook: "tcx",
            direction: Hook::Ingress,
            id,
            name: Some(name.to_owned()),
            generic: true,
        }
    }

    #[test]
    fn who_is_before_us_is_a_warning_and_who_is_after_is_not() {
        let link = Link {
            name: "eth0".to_owned(),
            ..Link::default()
        };
        let named = |names: &[&str]| {
            (1..)
                .zip(names)
                .map(|(id, name)| program(id, name))
                .collect()
        };
        let found = beside(&link, named(&["first", "ringwall_ingres", "last"]));
        let states: Vec<State> = found.iter().map(|f| f.state).collect();
        assert_eq!(states, [State::Warn, State::Ok]);
        assert!(found[0].found.contains("first (1) at ingress of eth0"));
        assert!(beside(&link, named(&["ringwall_ingres"])).is_empty());
        assert!(
            beside(&link, named(&["alone"]))[0]
                .found
                .contains("where we have none")
        );
    }

    #[test]
    fn a_foreign_program_at_xdp_is_named() {
        let found = of_xdp(&program(7, "shaper"), "eth0").unwrap();
        assert!(
            found.found.contains("shaper (7) at XDP of eth0, generic"),
            "{found:?}"
        );
        assert_eq!(of_xdp(&program(7, "ringwall_xdp"), "eth0"), None);
        let unseen = Program {
            name: None,
            ..program(7, "")
        };
        assert_eq!(of_xdp(&unseen, "eth0").unwrap().state, State::Skipped);
    }
}
