//! Others on the hooks: their programs are shown, and a program of ours that somebody took off is put back.

use firewall_common::flow::Hook;

use super::clock;
use super::state::Agent;
use crate::api::types::{InterfaceLine, OtherProgram};
use crate::dataplane::Neighbour;

impl Agent {
    /// Looks at the hooks of every guarded interface. Nobody is told when a program is taken off, so this is done
    /// every few seconds; packets of that time were not judged.
    pub fn watch_hooks(&mut self) {
        if !self.mend_pins() {
            return;
        }
        let guarded: Vec<u32> = self.guarded().map(|line| line.index).collect();
        let lost = match self.plane.as_ref() {
            Some(plane) => plane.displaced(&guarded),
            None => return,
        };
        if lost.is_empty() {
            self.look_around();
        } else {
            self.put_back(&lost);
        }
    }

    /// Packets go on to be judged where pins are gone, for as long as the agent lives. Says whether all are there.
    fn mend_pins(&mut self) -> bool {
        let Some(plane) = self.plane.as_mut() else {
            return true;
        };
        let mended = plane.mend();
        let place = self.settings.paths.bpf.display().to_string();
        if let Ok(count @ 1..) = mended {
            let text = format!(
                "somebody took {count} pins of Ringwall below {place} away, or unmounted them; packets were judged all the time, and the pins were put back at {:.0}",
                clock::wall()
            );
            self.note("pins", Some(text));
        }
        let failed = |error| {
            format!(
                "pins below {place} were taken away and cannot be put back: enforcement goes on, but would end with the agent ({error:#}); `mount -t bpf bpf /sys/fs/bpf` where that is gone"
            )
        };
        let whole = mended.is_ok();
        self.note("pins-gone", mended.err().map(failed));
        whole
    }

    fn put_back(&mut self, lost: &[u32]) {
        let lost = self.guarded().filter(|line| lost.contains(&line.index));
        let names: Vec<String> = lost.map(|line| line.name.clone()).collect();
        let links = self.links.clone();
        self.reconcile(links);
        let back = |name: &String| self.guarded().any(|line| line.name == *name);
        let outcome = if names.iter().all(back) {
            "they were put back"
        } else {
            "they could not all be put back"
        };
        let text = format!(
            "somebody took Ringwall's programs off {}, so packets passed unjudged; {outcome} at {:.0}",
            names.join(", "),
            clock::wall()
        );
        self.note("displaced", Some(text));
    }

    fn guarded(&self) -> impl Iterator<Item = &InterfaceLine> {
        { self.interfaces.iter() }.filter(|line| line.state == "guarded")
    }

    /// Notes other owners' programs on guarded interfaces; what runs before ours is worth a warning.
    pub(super) fn look_around(&mut self) {
        let Some(plane) = self.plane.as_ref() else {
            return;
        };
        let mut warnings = Vec::new();
        for line in &mut self.interfaces {
            if line.state != "guarded" {
                continue;
            }
            let found = plane.neighbours(line.index);
            let first = found.iter().filter(|neighbour| neighbour.first);
            warnings.extend(first.map(|neighbour| warning(neighbour, &line.name)));
            line.others = found.into_iter().map(OtherProgram::from).collect();
        }
        self.note(
            "neighbours",
            (!warnings.is_empty()).then(|| warnings.join("; ")),
        );
    }
}

fn warning(neighbour: &Neighbour, interface: &str) -> String {
    let other = OtherProgram::from(neighbour.clone());
    let what = match neighbour.hook {
        "xdp" => "drops, changes or redirects",
        _ => "drops, redirects or passes for good",
    };
    format!(
        "another owner's {} on {interface} comes before Ringwall's: what it {what} is not judged",
        other.words()
    )
}

impl From<Neighbour> for OtherProgram {
    fn from(neighbour: Neighbour) -> Self {
        let direction = match neighbour.direction {
            Hook::Ingress => "ingress",
            Hook::Egress => "egress",
        };
        let order = if neighbour.first { "before" } else { "after" };
        Self {
            hook: neighbour.hook.to_owned(),
            direction: direction.to_owned(),
            program: neighbour.program,
            name: neighbour.name,
            order: order.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{Host, apply, text};

    #[test]
    fn what_somebody_took_off_is_put_back_and_said_once() {
        let host = Host::new();
        let mut agent = host.agent();
        apply(&host, &mut agent, &text(1, 443)).unwrap();
        agent.watch_hooks();
        assert!(!agent.warnings.contains_key("displaced"));
        host.pins().attached.clear();
        agent.watch_hooks();
        assert_eq!(host.pins().attached.len(), 1);
        let said = agent.warnings["displaced"].clone();
        assert!(
            said.contains("off eth0") && said.contains("were put back"),
            "{said}"
        );
        agent.watch_hooks();
        assert_eq!(agent.warnings["displaced"], said);
    }

    #[test]
    fn pins_that_are_gone_are_put_back_and_else_it_is_said() {
        let host = Host::new();
        let mut agent = host.agent();
        host.pins().lost = 3;
        agent.watch_hooks();
        let said = agent.warnings["pins"].clone();
        assert!(said.contains("took 3 pins"), "{said}");
        agent.watch_hooks();
        assert_eq!(agent.warnings["pins"], said);
        // Nothing else is looked at then: what is there cannot be told from what is not.
        host.pins().no_place = true;
        host.pins().attached.clear();
        agent.watch_hooks();
        assert!(agent.warnings["pins-gone"].contains("would end with the agent"));
        assert!(host.pins().attached.is_empty());
        host.pins().no_place = false;
        agent.watch_hooks();
        assert!(!agent.warnings.contains_key("pins-gone"));
        assert_eq!(host.pins().attached.len(), 1);
    }

    #[test]
    fn only_what_comes_before_ours_is_a_warning() {
        let host = Host::new();
        let mut agent = host.agent();
        let mut other = Neighbour {
            interface: 2,
            hook: "tcx",
            direction: Hook::Egress,
            program: 17,
            name: None,
            first: false,
        };
        host.pins().neighbours = vec![other.clone()];
        agent.watch_hooks();
        assert!(!agent.warnings.contains_key("neighbours"));
        assert_eq!(agent.interfaces[0].others[0].order, "after");
        other.first = true;
        host.pins().neighbours = vec![other];
        agent.watch_hooks();
        let said = &agent.warnings["neighbours"];
        assert!(
            said.contains("program 17 at tcx egress on eth0 comes before"),
            "{said}"
        );
    }
}
