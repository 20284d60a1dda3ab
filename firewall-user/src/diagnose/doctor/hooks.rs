//! Other owners of the places where we sit.

use super::{AS_ROOT, Finding, Look};
use crate::agent::net::{self, Filter, Link, Xdp};
use crate::dataplane::neighbours::{self, Program};

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
        for ingress in [true, false] {
            let Some(programs) = neighbours::tcx(&link.name, ingress) else {
                let why = "other owners' programs cannot be seen without CAP_SYS_ADMIN";
                return vec![Finding::skipped("hooks", why, AS_ROOT)];
            };
            all.extend(beside(&programs, &place(&link.name, ingress)));
        }
    }
    or_none(all, "hooks", "nobody else has programs at TCX")
}

fn place(interface: &str, ingress: bool) -> String {
    let direction = if ingress { "ingress" } else { "egress" };
    format!("at {direction} of {interface}")
}

fn beside(programs: &[Program], place: &str) -> Vec<Finding> {
    let ours = programs.iter().position(Program::ours);
    let others = programs
        .iter()
        .enumerate()
        .filter(|(_, program)| !program.ours());
    let finding = |(at, program): (usize, &Program)| {
        let who = format!("program {} ({}) {place}", program.name, program.id);
        match ours {
            Some(ours) if at < ours => Finding::warn(
                "hooks",
                format!(
                    "{who} runs before ours: what it drops or accepts by itself never reaches us"
                ),
                "if that is not meant, detach it, or start the agent anew: it takes the first place",
            ),
            Some(_) => Finding::ok("hooks", format!("{who} runs after ours, on what we let by")),
            None => Finding::ok("hooks", format!("{who}, where we have none")),
        }
    };
    others.map(finding).collect()
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
    let Ok(programs) = net::xdp_now() else {
        return vec![Finding::skipped("xdp", "netlink does not answer", AS_ROOT)];
    };
    let names = neighbours::names();
    let found = programs.iter().filter_map(|xdp| {
        let name = names.get(&xdp.program).cloned();
        of_xdp(xdp, name, &name_of(xdp.index, &look.links))
    });
    or_none(found.collect(), "xdp", "nobody else has programs there")
}

fn of_xdp(xdp: &Xdp, name: Option<String>, interface: &str) -> Option<Finding> {
    let id = xdp.program;
    let name = name.unwrap_or_default();
    if (Program {
        id,
        name: name.clone(),
    })
    .ours()
    {
        return None;
    }
    let shown = if name.is_empty() {
        "without a name to be seen"
    } else {
        &name
    };
    let mode = if xdp.generic { "generic" } else { "native" };
    let found =
        format!("program {shown} ({id}) at XDP of {interface}, {mode}: it sees packets before us");
    let advice = format!(
        "what it drops, no counter of ours shows; `ip link set {interface} xdp off` takes it away"
    );
    Some(Finding::warn("xdp", found, advice))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn programs(names: &[&str]) -> Vec<Program> {
        let program = |(at, name): (usize, &&str)| Program {
            id: at as u32 + 1,
            name: (*name).to_owned(),
        };
        names.iter().enumerate().map(program).collect()
    }

    #[test]
    fn who_is_before_us_is_a_warning_and_who_is_after_is_not() {
        let found = beside(
            &programs(&["first", "ringwall_ingres", "last"]),
            "at ingress of eth0",
        );
        let states: Vec<State> = found.iter().map(|f| f.state).collect();
        assert_eq!(states, [State::Warn, State::Ok]);
        assert!(found[0].found.contains("first (1) at ingress of eth0"));
        assert!(beside(&programs(&["ringwall_ingres"]), "").is_empty());
    }

    #[test]
    fn a_foreign_program_at_xdp_is_named() {
        let xdp = Xdp {
            index: 2,
            program: 7,
            generic: true,
        };
        let found = of_xdp(&xdp, Some("shaper".to_owned()), "eth0").unwrap();
        assert!(
            found.found.contains("shaper (7) at XDP of eth0, generic"),
            "{found:?}"
        );
        assert_eq!(of_xdp(&xdp, Some("ringwall_xdp".to_owned()), "eth0"), None);
    }
}
