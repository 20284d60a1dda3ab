//! Programs on the hooks of an interface, ours and others', in the order in which packets come to them.
//!
//! Others are respected, and shown: one that runs before ours may end the chain, and then ours judges nothing. To
//! name a program takes CAP_SYS_ADMIN, which the agent does without: it knows its own by their links.

use std::io;

use firewall_common::flow::Hook;

use super::{netlink, raw};

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `tcx` or `xdp`.
    pub hook: &'static str,
    /// Which way the packets go that it sees.
    pub direction: Hook,
    /// Its number.
    pub id: u32,
    /// Its name, as far as the kernel keeps it (15 bytes) and we may see it.
    pub name: Option<String>,
    /// At XDP: it is run in the stack.
    pub generic: bool,
}

impl Program {
    /// Is it one of ours, by its name? `None` where the name cannot be seen.
    #[must_use]
    pub fn bears_our_name(&self) -> Option<bool> {
        let name = self.name.as_ref()?;
        Some(name.starts_with("ringwall_"))
    }
}

/// Somebody else's program on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface.
    pub interface: u32,
    /// `tcx` or `xdp`.
    pub hook: &'static str,
    /// Which way the packets go that it sees.
    pub direction: Hook,
    /// Its number.
    pub program: u32,
    /// Its name, where the kernel tells.
    pub name: Option<String>,
    /// It runs before ours.
    pub first: bool,
}

/// The program at XDP of an interface.
///
/// # Errors
/// The interface is gone, or the kernel's answer cannot be read.
pub fn at_xdp(index: u32) -> io::Result<Option<Program>> {
    let found = netlink::xdp_program(index)?;
    Ok(found.map(|(id, generic)| Program {
        hook: "xdp",
        direction: Hook::Ingress,
        id,
        name: raw::program_name(id),
        generic,
    }))
}

/// The programs at TCX of an interface, ingress first; none where the kernel has no TCX.
///
/// # Errors
/// The interface is gone, or we may not see them.
pub fn at_tcx(index: u32) -> io::Result<Vec<Program>> {
    let mut all = Vec::new();
    for direction in [Hook::Ingress, Hook::Egress] {
        let found = raw::programs_at(index, direction == Hook::Egress)?;
        all.extend(found.into_iter().map(|id| Program {
            hook: "tcx",
            direction,
            id,
            name: raw::program_name(id),
            generic: false,
        }));
    }
    Ok(all)
}

/// The others among the programs of an interface, which are in the order in which packets come to them.
#[must_use]
pub fn others(
    interface: u32,
    programs: Vec<Program>,
    ours: impl Fn(&Program) -> bool,
) -> Vec<Neighbour> {
    let mut first = [true; 2];
    let mut all = Vec::new();
    for program in programs {
        let first = &mut first[usize::from(program.direction == Hook::Egress)];
        if ours(&program) {
            *first = false;
            continue;
        }
        all.push(Neighbour {
            interface,
            hook: program.hook,
            direction: program.direction,
            program: program.id,
            name: program.name,
            first: *first,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_before_ours_is_told_for_each_direction() {
        let program = |id, hook, direction| Program {
            hook,
            direction,
            id,
            name: None,
            generic: false,
        };
        let programs = |early: u32| {
            vec![
                program(early, "xdp", Hook::Ingress),
                program(2, "tcx", Hook::Ingress),
                program(10, "tcx", Hook::Ingress),
                program(3, "tcx", Hook::Ingress),
                program(4, "tcx", Hook::Egress),
                program(11, "tcx", Hook::Egress),
            ]
        };
        let told = |early| {
            let found = others(7, programs(early), |program| program.id >= 10);
            found
                .iter()
                .map(|n| (n.program, n.first))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(1), [(1, true), (2, true), (3, false), (4, true)]);
        // Ours are at XDP: what is at TC comes after.
        assert_eq!(told(12), [(2, false), (3, false), (4, true)]);
    }
}
