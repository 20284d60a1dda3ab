//! What is changed meanwhile: the policy, and the members of a set.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::asks::{Caller, patience};
use super::tally::Tally;
use crate::net::sock::{self, Seen};
use crate::net::{Netns, wait_until};
use crate::scenario::{Random, Scene, Worker, allow, at_wan, policy, rule};

/// The port that every second policy allows.
const API: u16 = 8443;

/// A policy of the world: with a number that is even it allows [`API`].
fn text(number: u64) -> String {
    let mut rules = vec![
        "name: banned, action: deny, sources: [banned]".to_owned(),
        format!(
            "{}, max_sessions: {{count: 100000, per: source}}",
            allow("web", "tcp/443")
        ),
        allow("names", "udp/53, ping"),
        format!(
            "{}, limit: {{rate: 100/s, per: source}}",
            allow("flooded", "udp/9053")
        ),
        allow("nobody", "udp/7000"),
        rule("refused", "reject", "tcp/8022, udp/8023"),
        // Another one each time, so that every apply has work to do.
        allow(
            &format!("r{}", number % 10),
            &format!("tcp/{}", 2000 + number % 1000),
        ),
    ];
    if number.is_multiple_of(2) {
        rules.push(allow("api", "tcp/8443, udp/8443"));
    }
    policy(number, &rules) + "sets:\n  banned: {dynamic: true, max: 10000}\n"
}

/// New policies, one after another.
pub(super) struct Reloads {
    number: u64,
    live: [Caller; 2],
    stranger: Netns,
}

impl Reloads {
    /// With the first one in force.
    pub(super) fn begin(scene: &Scene) -> Result<Self> {
        scene.put(&text(1))?;
        let stranger = scene.stranger().clone();
        let live = [false, true].map(|v6| Caller::new(&stranger, None, at_wan(v6, API)));
        let [four, six] = live;
        Ok(Self {
            number: 1,
            live: [four?, six?],
            stranger,
        })
    }

    /// The next one: from when `apply` returns its word holds for new connections and for those that live.
    pub(super) fn next(&mut self, scene: &Scene, tally: &Tally) -> Result<()> {
        self.number += 1;
        let ran = scene.host.apply(&text(self.number))?;
        tally.ran(&ran, |counts| counts.reloads += 1);
        let wanted = if self.number.is_multiple_of(2) {
            Seen::Answered
        } else {
            Seen::Silence
        };
        for (v6, live) in [false, true].into_iter().zip(&mut self.live) {
            let what = |what: &str| format!("{what}, IPv6 {v6}, revision {}", self.number);
            let seen = live.exchange(8, patience(&wanted));
            tally.note(&wanted, &seen, || what("api over the same socket"));
            let seen = sock::tcp(&self.stranger, at_wan(v6, API), patience(&wanted));
            tally.note(&wanted, &seen, || what("api anew"));
        }
        Ok(())
    }
}

/// Addresses of the stranger that are banned now and then.
const GUESTS: [&str; 2] = ["203.0.113.50", "2001:db8::50"];
/// Between two bans.
const PAUSE: Duration = Duration::from_secs(3);

/// Bans and lifts bans without end; some members go by themselves.
pub(super) fn bans(scene: &Arc<Scene>, tally: &Tally) -> Result<Worker<Result<()>>> {
    let lines: String = GUESTS
        .iter()
        .map(|guest| match guest.contains(':') {
            // Nobody else's first choice.
            true => format!("addr add {guest}/64 dev eth0 preferred_lft 0\n"),
            false => format!("addr add {guest}/24 dev eth0\n"),
        })
        .collect();
    scene.stranger().ip(&lines)?;
    let (scene, tally) = (Arc::clone(scene), tally.clone());
    let mut guests = Vec::new();
    for (v6, guest) in [false, true].into_iter().zip(GUESTS) {
        let caller = Caller::new(scene.stranger(), Some(guest), at_wan(v6, 53))?;
        guests.push((guest, caller));
    }
    Ok(Worker::start(move |stop| {
        let mut random = Random::from_seed(1);
        while !stop.load(Ordering::Relaxed) {
            for (guest, caller) in &mut guests {
                ban(&scene, &tally, guest, caller)?;
            }
            pass_by(&scene, &tally, &mut random)?;
            // Told to stop, it does.
            wait_until(PAUSE, || stop.load(Ordering::Relaxed).then_some(()));
        }
        Ok(())
    }))
}

fn ban(scene: &Scene, tally: &Tally, guest: &str, caller: &mut Caller) -> Result<()> {
    let mut asks = |wanted: Seen, when: &str| {
        let seen = caller.exchange(8, patience(&wanted));
        tally.note(&wanted, &seen, || format!("{guest} {when}"));
    };
    asks(Seen::Answered, "before its ban");
    set(scene, tally, &["add", "banned", guest])?;
    asks(Seen::Silence, "banned");
    set(scene, tally, &["del", "banned", guest])?;
    asks(Seen::Answered, "after its ban");
    Ok(())
}

/// Members of both families that leave after some seconds.
fn pass_by(scene: &Scene, tally: &Tally, random: &mut Random) -> Result<()> {
    let number = random.below(65_536);
    let four = format!("192.0.{}.{}", number >> 8, number & 255);
    let six = format!("2001:db8:5::{number:x}");
    set(scene, tally, &["add", "banned", &four, &six, "--for", "5s"])
}

fn set(scene: &Scene, tally: &Tally, words: &[&str]) -> Result<()> {
    let ran = scene.host.cli(&[&["set"], words].concat());
    tally.ran(&ran.context("ringwall set")?, |counts| counts.changes += 1);
    Ok(())
}
