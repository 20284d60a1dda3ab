//! The shield: where XDP costs too much for every day, a flood of refused packets moves what arrives to XDP by itself, and
//! back when it is over (docs/adr/0035).
//!
//! What is refused is counted by interface in the kernel and looked at once a second. The counts, and since when an
//! interface is up, are pinned: an agent that comes back goes on from there.

mod watch;

use std::collections::BTreeMap;

use super::clock::{self, boot_now};
use super::config::HookChoice;
use super::net::hook::{self, Pick};
use super::net::{Link, guard::Choice};
use super::state::Agent;
use crate::api::types::{InterfaceLine, ShieldLine};
use crate::dataplane::Ingress;
use crate::events::Turned;
use crate::events::hub::wall;
pub(crate) use watch::{State, Turn, Watch};

/// What the warning is filed under.
const BARRED: &str = "shield";

/// What the shield knows.
#[derive(Debug, Default)]
pub struct Shield {
    /// Interfaces that a flood may move, by index.
    watches: BTreeMap<u32, Watch>,
    /// Those that none can, and why.
    unable: BTreeMap<u32, String>,
    /// The programs at XDP are loaded, or were tried.
    ready: bool,
    /// Changes to XDP, and back.
    pub switches: [u64; 2],
}

impl Shield {
    fn up(&self, index: u32) -> Option<&str> {
        match &self.watches.get(&index)?.state {
            State::Up { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Is it judged at XDP because of a flood, or about to be?
    pub(super) fn is_up(&self, index: u32) -> bool {
        self.up(index).is_some()
    }

    /// Of an interface, for people and programs.
    fn line(&self, index: u32) -> Option<ShieldLine> {
        if let Some(why) = self.unable.get(&index) {
            return Some(ShieldLine {
                state: "unable".to_owned(),
                why: Some(why.clone()),
                ..ShieldLine::default()
            });
        }
        let watch = self.watches.get(&index)?;
        let (state, since, why) = match &watch.state {
            State::Down => ("down", None, None),
            State::Up { since, why } => ("up", Some(*since), Some(why)),
            State::Barred { why } => ("refused", None, Some(why)),
        };
        let since = since.map(|since| wall(&clock::now(), since).to_string());
        Some(ShieldLine {
            state: state.to_owned(),
            since,
            refused_per_second: watch.rate,
            why: why.cloned(),
        })
    }
}

impl Agent {
    /// Every interface, with what the shield does there.
    #[must_use]
    pub fn interface_lines(&self) -> Vec<InterfaceLine> {
        let mut lines = self.interfaces.clone();
        for line in lines.iter_mut().filter(|line| line.state == "guarded") {
            line.shield = self.shield.line(line.index);
        }
        lines
    }

    /// Where what arrives by an interface is to be judged now.
    pub(super) fn pick(&self, link: &Link) -> Pick {
        let pick = hook::pick(link, &self.links, self.settings.config.hook.of(&link.name));
        match self.shield.up(link.index) {
            Some(why) if pick.ingress == Ingress::Tc => Pick {
                ingress: Ingress::Xdp,
                why: format!("the shield is up: {why}"),
            },
            _ => pick,
        }
    }

    /// Finds out which interfaces a flood may move, before they are guarded.
    pub(super) fn settle_shield(&mut self, links: &[Link], choices: &[Choice]) {
        let mut before = std::mem::take(&mut self.shield.watches);
        self.shield.unable.clear();
        let Some(plane) = self.plane.as_mut() else {
            return;
        };
        let known = plane.shields().unwrap_or_default();
        let chosen = links.iter().zip(choices).filter(|(_, c)| c.guard);
        for (link, _) in chosen.filter(|_| self.settings.config.shield.enabled) {
            let wish = self.settings.config.hook.of(&link.name);
            if hook::pick(link, links, wish).ingress != Ingress::Tc {
                continue;
            }
            let index = link.index;
            let native = (wish == HookChoice::Auto).then(|| plane.native_xdp(index));
            match hook::shieldable(link, links, native.flatten(), wish) {
                Err(why) => drop(self.shield.unable.insert(index, why)),
                Ok(()) => {
                    let recalled = || known.get(&index).map(|since| Watch::recalled(*since));
                    let watch = before.remove(&index).or_else(recalled);
                    self.shield.watches.insert(index, watch.unwrap_or_default());
                }
            }
        }
        for index in known.keys().filter(|index| !self.shield.is_up(**index)) {
            let _it_is_only_looked_at_again = plane.set_shield(*index, None);
        }
        let told = plane.count_refused(&self.shield.watches.keys().copied().collect());
        let failed = |e| format!("the shield does not see what is refused: {e:#}");
        self.note("shield-counts", told.err().map(failed));
    }

    /// Looks for floods, and for the end of those that were there.
    pub fn watch_floods(&mut self) {
        if self.shield.watches.is_empty() {
            return;
        }
        if !self.is_ready() {
            return;
        }
        let counts = self.plane.as_ref().and_then(|plane| plane.refused().ok());
        let (counts, now) = (counts.unwrap_or_default(), boot_now());
        let config = self.settings.config.shield;
        let mut turns = Vec::new();
        for (index, watch) in &mut self.shield.watches {
            let turn = counts.get(index);
            let turn = turn.and_then(|count| watch.look(*count, now, &config));
            turns.extend(turn.map(|turn| (*index, turn)));
        }
        for (index, turn) in turns {
            self.turn(index, turn, now);
        }
        self.tell_barred();
    }

    /// Are the programs there? Verifying them takes seconds, so it is not left for the flood. Where they do not load, that
    /// is said, and again when a flood asks for them.
    fn is_ready(&mut self) -> bool {
        if self.shield.ready {
            return true;
        }
        let readied = self.plane.as_mut().map(|plane| plane.ready_early());
        self.shield.ready = !matches!(readied, None | Some(Ok(false)));
        let failed = |e| format!("the shield has no programs for XDP: {e:#}");
        self.note("shield-programs", readied.and_then(Result::err).map(failed));
        self.shield.ready
    }

    /// Moves an interface, and says so.
    fn turn(&mut self, index: u32, turn: Turn, now: u64) {
        let Some(watch) = self.shield.watches.get_mut(&index) else {
            return;
        };
        let rate = watch.rate;
        let words = format!("{rate} packets refused a second");
        watch.become_state(match turn {
            Turn::Raise => State::Up {
                since: now,
                why: words.clone(),
            },
            Turn::Lower => State::Down,
        });
        // Noted first, so that an agent which dies in between is followed by one that knows.
        self.note_shield(index, (turn == Turn::Raise).then_some(now));
        let links = self.links.clone();
        self.reconcile(links);
        let line = self.interfaces.iter().find(|line| line.index == index);
        let Some(line) = line.cloned() else {
            return;
        };
        let early = line.hook.as_deref() == Some("xdp");
        match turn {
            Turn::Raise if early => {
                tracing::warn!("shield up on {}: {words}; judged at XDP now", line.name);
            }
            Turn::Raise => return self.bar(index, line),
            Turn::Lower if early => return,
            Turn::Lower => {
                tracing::info!("shield down on {}: {words}; judged at TC again", line.name);
            }
        }
        self.shield.switches[usize::from(turn == Turn::Lower)] += 1;
        self.eyes.hub.turned(Turned {
            interface: index,
            up: turn == Turn::Raise,
            words,
            time: now,
        });
    }

    fn note_shield(&mut self, index: u32, since: Option<u64>) {
        let noted = self
            .plane
            .as_mut()
            .map(|plane| plane.set_shield(index, since));
        let failed = |e| format!("another agent would not know of the shield: {e:#}");
        self.note("shield-noted", noted.and_then(Result::err).map(failed));
    }

    /// XDP was refused: it stays at TC until the flood is over.
    fn bar(&mut self, index: u32, line: InterfaceLine) {
        let why = line.hook_why.unwrap_or(line.why);
        if let Some(watch) = self.shield.watches.get_mut(&index) {
            watch.become_state(State::Barred { why });
        }
        self.note_shield(index, None);
    }

    fn tell_barred(&mut self) {
        let name = |index: &u32| {
            let line = self.interfaces.iter().find(|line| line.index == *index);
            line.map_or_else(|| format!("interface {index}"), |line| line.name.clone())
        };
        let barred =
            { self.shield.watches.iter() }.filter_map(|(index, watch)| match &watch.state {
                State::Barred { why } => Some(format!(
                    "a flood at {}, and the shield could not go up, so TC judges it: {why}",
                    name(index)
                )),
                _ => None,
            });
        let words: Vec<String> = barred.collect();
        self.note(BARRED, (!words.is_empty()).then(|| words.join("; ")));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::config::ShieldConfig;
    use crate::agent::tests::Host;

    fn shielded() -> Host {
        let mut host = Host::new();
        host.shield = ShieldConfig {
            enabled: true,
            quiet: Duration::from_millis(1),
            ..ShieldConfig::default()
        };
        host
    }

    /// Looks, after so many packets more were refused and time has passed.
    fn look(host: &Host, agent: &mut Agent, refused: u64) -> (String, String) {
        std::thread::sleep(Duration::from_millis(2));
        for count in host.pins().refused.values_mut() {
            *count += refused;
        }
        agent.watch_floods();
        let line = agent.interface_lines().remove(0);
        let shield = line.shield.map(|shield| shield.state);
        (line.hook.unwrap(), shield.unwrap_or_default())
    }

    fn words(agent: &Agent) -> Vec<(String, String)> {
        let (kept, _) = agent.eyes.hub.follow(jiff::Timestamp::UNIX_EPOCH);
        let flows = kept.iter().map(|seen| seen.flow());
        flows
            .map(|flow| (flow.event.word().to_owned(), flow.cause.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_flood_moves_an_interface_and_its_end_moves_it_back() {
        let host = shielded();
        let mut agent = host.agent();
        let at = |hook: &str, shield: &str| (hook.to_owned(), shield.to_owned());
        assert_eq!(look(&host, &mut agent, 1 << 30), at("tcx", "down"));
        assert_eq!(look(&host, &mut agent, 1 << 30), at("tcx", "down"));
        assert_eq!(look(&host, &mut agent, 1 << 30), at("xdp", "up"));
        let line = agent.interface_lines().remove(0);
        assert!(line.hook_why.unwrap().contains("the shield is up"));
        assert!(line.shield.unwrap().since.is_some());
        assert_eq!(host.pins().shields.len(), 1);
        assert_eq!(look(&host, &mut agent, 0), at("xdp", "up"));
        assert_eq!(look(&host, &mut agent, 0), at("tcx", "down"));
        assert!(host.pins().shields.is_empty());
        assert_eq!(agent.shield.switches, [1, 1]);
        let told = [at("shield", "up"), at("shield", "down")];
        assert_eq!(words(&agent), told);
    }

    #[test]
    fn one_that_comes_back_goes_on_from_there() {
        let host = shielded();
        let mut agent = host.agent();
        for _ in 0..3 {
            look(&host, &mut agent, 1 << 30);
        }
        let since = host.pins().shields.clone();
        drop(agent);
        let mut agent = host.agent();
        assert_eq!(host.pins().shields, since);
        let (hook, shield) = look(&host, &mut agent, 0);
        assert_eq!((hook.as_str(), shield.as_str()), ("xdp", "up"));
        look(&host, &mut agent, 0);
        let (hook, shield) = look(&host, &mut agent, 0);
        assert_eq!((hook.as_str(), shield.as_str()), ("tcx", "down"));
    }

    #[test]
    fn switched_off_it_leaves_nothing_behind() {
        let host = shielded();
        let mut agent = host.agent();
        for _ in 0..3 {
            look(&host, &mut agent, 1 << 30);
        }
        agent.settings.config.shield.enabled = false;
        let links = agent.links.clone();
        agent.reconcile(links);
        let line = agent.interface_lines().remove(0);
        assert_eq!((line.hook.as_deref(), line.shield), (Some("tcx"), None));
        assert!(host.pins().shields.is_empty() && host.pins().refused.is_empty());
    }

    #[test]
    fn where_xdp_is_refused_tc_judges_and_that_is_said_once() {
        let host = shielded();
        let mut agent = host.agent();
        host.pins().no_xdp = Some("its MTU is more".to_owned());
        for _ in 0..5 {
            look(&host, &mut agent, 1 << 30);
        }
        let line = agent.interface_lines().remove(0);
        assert_eq!(line.hook.as_deref(), Some("tcx"));
        assert_eq!(line.shield.unwrap().state, "refused");
        let said = agent.warnings[BARRED].clone();
        assert!(
            said.contains("eth0") && said.contains("its MTU is more"),
            "{said}"
        );
        assert!(!agent.warnings.contains_key("hooks"));
        assert_eq!((agent.shield.switches, words(&agent).len()), ([0, 0], 0));
        for _ in 0..3 {
            look(&host, &mut agent, 0);
        }
        assert!(!agent.warnings.contains_key(BARRED));
    }
}
