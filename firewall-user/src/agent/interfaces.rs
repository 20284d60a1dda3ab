//! Interfaces come, go and return: those that are to be guarded are.

use super::net::{Link, guard};
use super::state::Agent;
use crate::api::types::InterfaceLine;

/// What the warning is filed under.
pub(super) const UNGUARDED: &str = "unguarded";
/// Nothing is judged then, whatever the policy says.
pub(super) const UNGUARDED_TEXT: &str = "no interface is guarded, so nothing is judged: name them with `--interface`, or in the agent file as `interfaces: {guard: [eth0]}`";

impl Agent {
    /// Guards what is to be guarded among `links`, and notes the state of each with its reason.
    pub fn reconcile(&mut self, links: Vec<Link>) {
        let choices = guard::choose(&links, &self.settings.wishes());
        self.links.clone_from(&links);
        // First what an interface is, then packets: a new one is of its class from its first packet on.
        self.name_interfaces();
        let mut lines = Vec::new();
        for (link, choice) in links.iter().zip(choices) {
            let line = match (choice.guard, self.plane.is_some()) {
                (true, true) => self.guard(link, choice.why),
                (true, false) => line(link, "not-guarded", "enforcement was ended"),
                (false, _) => self.leave(link, &choice.why),
            };
            lines.push(line);
        }
        self.missing();
        let failed = lines.iter().filter(|line| line.state == "failed");
        let words: Vec<String> = failed
            .map(|line| format!("{} is not guarded: {}", line.name, line.why))
            .collect();
        self.note("interfaces", (!words.is_empty()).then(|| words.join("; ")));
        let none = !lines.iter().any(|line| line.state == "guarded") && self.plane.is_some();
        self.note(UNGUARDED, none.then(|| UNGUARDED_TEXT.to_owned()));
        self.interfaces = lines;
    }

    fn guard(&mut self, link: &Link, why: String) -> InterfaceLine {
        let known = self.interfaces.iter().any(|line| {
            line.index == link.index && line.name == link.name && line.state == "guarded"
        });
        let begins = self.begins_at(link.index);
        if begins {
            self.adopt(&[link.index], false);
        }
        let attached = match self.plane.as_mut() {
            Some(plane) => plane.attach(link.index, &link.name),
            None => return line(link, "not-guarded", "enforcement was ended"),
        };
        match attached {
            Ok(attached) => {
                if begins {
                    // Those that began between the first look and the programs.
                    self.adopt(&[link.index], false);
                    self.take_up_routed();
                }
                if !known {
                    let (name, hook) = (&link.name, &attached.hook);
                    tracing::info!("guarding {name} ({hook}): {why}");
                }
                InterfaceLine {
                    hook: Some(attached.hook),
                    ..line(link, "guarded", &why)
                }
            }
            Err(error) => line(link, "failed", &format!("{error:#}")),
        }
    }

    /// Does enforcement begin there: a policy is in force, and it is not guarded yet?
    fn begins_at(&self, index: u32) -> bool {
        self.plane.as_ref().is_some_and(|plane| {
            let attached = plane.attached().unwrap_or_default();
            let there = attached.iter().any(|attached| attached.index == index);
            !there && plane.in_force().is_ok_and(|held| held.is_some())
        })
    }

    fn leave(&mut self, link: &Link, why: &str) -> InterfaceLine {
        let Some(plane) = self.plane.as_mut() else {
            return line(link, "not-guarded", why);
        };
        let attached = plane.attached().unwrap_or_default();
        let there = attached.iter().any(|a| a.index == link.index);
        if there {
            tracing::warn!("no longer guarding {}: {why}", link.name);
            if let Err(error) = plane.detach(link.index) {
                return line(link, "failed", &format!("cannot be let go: {error:#}"));
            }
        }
        line(link, "not-guarded", why)
    }

    /// All interfaces, guarded or not.
    pub(super) fn interface_names(&self) -> Vec<(u32, String)> {
        let name = |link: &Link| (link.index, link.name.clone());
        self.links.iter().map(name).collect()
    }

    /// Tells the tables which class each interface is of, guarded or not: what is routed leaves by any.
    pub(super) fn name_interfaces(&mut self) {
        let names = self.interface_names();
        let plan = self.current.as_ref().map(|c| &c.compiled.interfaces);
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let told = plane.set_interfaces(plan, &names);
        let failed = |e| format!("the tables do not know the interfaces: {e:#}");
        self.note("interface-classes", told.err().map(failed));
    }

    /// A named interface that is not there is guarded as soon as it comes.
    fn missing(&mut self) {
        let there = |name: &&String| self.links.iter().any(|link| link.name == **name);
        let gone: Vec<&str> = self
            .settings
            .only
            .iter()
            .filter(|name| !name.contains(['*', '?', '[']) && !there(name))
            .map(String::as_str)
            .collect();
        let text = format!("not there: {}; guarded when it comes", gone.join(", "));
        let warning = (!gone.is_empty()).then_some(text);
        self.note("missing-interfaces", warning);
    }
}

fn line(link: &Link, state: &str, why: &str) -> InterfaceLine {
    InterfaceLine {
        name: link.name.clone(),
        index: link.index,
        hook: None,
        state: state.to_owned(),
        why: why.to_owned(),
    }
}
