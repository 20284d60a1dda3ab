//! Interfaces come, go and return: those that are to be guarded are.

use std::collections::BTreeSet;
use std::time::Instant;

use super::net::{Changed, Link, guard};
use super::plane::Attached;
use super::state::Agent;
use crate::api::types::InterfaceLine;

/// What the warning is filed under.
pub(super) const UNGUARDED: &str = "unguarded";
/// Nothing is judged then, whatever the policy says.
pub(super) const UNGUARDED_TEXT: &str = "no interface is guarded, so nothing is judged: name them with `--interface`, or in the agent file as `interfaces: {guard: [eth0]}`";

impl Agent {
    /// The interfaces as they are after a change. One that went and came again may look the same, under the same
    /// index too, and yet nothing of ours sits on it.
    pub fn seen(&mut self, links: Vec<Link>, changed: Changed) {
        if changed.gone || self.links != links {
            self.guard_all(links, changed.at);
        }
    }

    /// Guards what is to be guarded among `links`, and notes the state of each with its reason.
    pub fn reconcile(&mut self, links: Vec<Link>) {
        self.guard_all(links, None);
    }

    /// The same after a change that the kernel told of at `since`.
    fn guard_all(&mut self, links: Vec<Link>, since: Option<Instant>) {
        let late = self.came_late(&links);
        let choices = guard::choose(&links, &self.settings.wishes(late));
        self.links.clone_from(&links);
        self.settle_shield(&links, &choices);
        // First what an interface is, then packets: a new one is of its class from its first packet on.
        self.name_interfaces();
        // Also puts away what is left of interfaces that went.
        let there = self.plane.as_ref().and_then(|plane| plane.attached().ok());
        let there = there.unwrap_or_default();
        let (mut lines, mut instead) = (Vec::new(), Vec::new());
        for (link, choice) in links.iter().zip(choices) {
            let line = match (choice.guard, self.plane.is_some()) {
                (true, true) => {
                    let (line, elsewhere) = self.guard(link, choice.why, &there, since);
                    instead.extend(elsewhere);
                    line
                }
                (true, false) => line(link, "not-guarded", "enforcement was ended"),
                (false, _) => self.leave(link, &choice.why, &there),
            };
            lines.push(line);
        }
        // Last, so that a VLAN device is guarded before its frames pass its parent.
        self.tell_vlans(&links);
        self.missing();
        let failed = lines.iter().filter(|line| line.state == "failed");
        let words: Vec<String> = failed
            .map(|line| format!("{} is not guarded: {}", line.name, line.why))
            .collect();
        self.note("interfaces", (!words.is_empty()).then(|| words.join("; ")));
        self.note("hooks", (!instead.is_empty()).then(|| instead.join("; ")));
        let none = !lines.iter().any(|line| line.state == "guarded") && self.plane.is_some();
        self.note(UNGUARDED, none.then(|| UNGUARDED_TEXT.to_owned()));
        self.interfaces = lines;
        self.tell_names();
        self.look_around();
        // Another number of guarded interfaces, or other devices above them.
        self.ways_again.notify_one();
    }

    /// Those that were not there when the agent first looked.
    fn came_late(&mut self, links: &[Link]) -> BTreeSet<u32> {
        let now: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        let early = self.early.get_or_insert_with(|| now.clone());
        early.retain(|index| now.contains(index));
        now.difference(early).copied().collect()
    }

    /// Guards an interface; with its line goes why it is not judged at the hook that was to be.
    fn guard(
        &mut self,
        link: &Link,
        why: String,
        there: &[Attached],
        since: Option<Instant>,
    ) -> (InterfaceLine, Option<String>) {
        let pick = self.pick(link);
        let kept = there.iter().any(|attached| attached.index == link.index);
        let begins = !kept && self.enforces();
        // Packets that come before the sessions are there are lost, and sent again. An interface that has just
        // come must not stay unguarded for that long.
        if begins && since.is_none() {
            self.adopt(&[link.index], false);
        }
        let Some(plane) = self.plane.as_mut() else {
            let why = "enforcement was ended";
            return (line(link, "not-guarded", why), None);
        };
        let attached = match plane.attach(link.index, &link.name, pick.ingress) {
            Ok(attached) => attached,
            Err(error) => return (line(link, "failed", &format!("{error:#}")), None),
        };
        if begins {
            self.adopt(&[link.index], false);
            self.take_up_routed();
        }
        let elsewhere = |why: &String| format!("{} is judged at TC: {why}", link.name);
        let elsewhere = attached.instead.as_ref().map(elsewhere);
        // The shield says so itself.
        let elsewhere = elsewhere.filter(|_| !self.shield.is_up(link.index));
        let line = InterfaceLine {
            hook: Some(attached.hook),
            mode: Some(attached.mode),
            hook_why: Some(attached.instead.unwrap_or(pick.why)),
            ..line(link, "guarded", &why)
        };
        (self.since(line, kept, since), elsewhere)
    }

    /// How long a guarded interface was there before, and a word in the log where that is news. `kept`: it had
    /// our programs already.
    fn since(&self, line: InterfaceLine, kept: bool, since: Option<Instant>) -> InterfaceLine {
        let was = |before: &&InterfaceLine| {
            before.index == line.index && before.name == line.name && before.state == "guarded"
        };
        let before = self.interfaces.iter().find(was);
        let unguarded_ms = match kept {
            true => before.and_then(|line| line.unguarded_ms),
            false => since.map(|since| since.elapsed().as_secs_f64() * 1000.0),
        };
        if !kept || before.is_none_or(|before| before.place() != line.place()) {
            let place = line.place().unwrap_or_default();
            let after = unguarded_ms.map_or_else(String::new, after);
            tracing::info!("guarding {} ({place}): {}{after}", line.name, line.why);
        }
        InterfaceLine {
            unguarded_ms,
            ..line
        }
    }

    fn leave(&mut self, link: &Link, why: &str, there: &[Attached]) -> InterfaceLine {
        let Some(plane) = self.plane.as_mut() else {
            return line(link, "not-guarded", why);
        };
        if there.iter().any(|a| a.index == link.index) {
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

    /// Tells the tables which tagged frames are judged on a device of their own.
    fn tell_vlans(&mut self, links: &[Link]) {
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let told = plane.set_vlans(links);
        let failed =
            |e| format!("tagged frames are judged on the parents of VLAN devices, too: {e:#}");
        self.note("vlans", told.err().map(failed));
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
        mode: None,
        hook_why: None,
        shield: None,
        state: state.to_owned(),
        why: why.to_owned(),
        unguarded_ms: None,
        others: Vec::new(),
    }
}

fn after(ms: f64) -> String {
    format!("; guarded {ms:.1} ms after it came")
}
