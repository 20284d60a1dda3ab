//! The wall clock is set back and forth, by an hour and by a day, under live sessions, members of sets, a rule with a date,
//! a policy that waits to be confirmed, and without an agent. What lasts for so long does not notice; what ends at a date
//! ends by the new clock; nothing else opens or closes.
//!
//! The clock of the machine is everybody's, so it is the agent's alone that is set (docs/test-aids.md).

use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use super::{Effort, Figure};
use crate::net::sock::{Echo, Seen, connect, exchange, tcp_from, udp};
use crate::net::{Host, Lab, wait_until};
use crate::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, policy};

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// The rule with a date ends so many seconds after the beginning.
const ENDS: i64 = 1800;
/// The agent looks at the clock every second.
const NOTICED: Duration = Duration::from_secs(30);
/// A guest for so long.
const VISIT: Duration = Duration::from_secs(15);
/// A policy waits to be confirmed for so long.
const WITHIN: Duration = Duration::from_secs(12);
/// How long a session of UDP may be silent.
const UDP: Duration = Duration::from_secs(6);

const GUEST: &str = "203.0.113.50";
const BANNED: &str = "2001:db8::50";
const VISITOR: &str = "203.0.113.51";

pub(super) fn run(effort: &Effort) -> Result<Vec<Figure>> {
    let jumps: &[i64] = effort.pick(
        &[-HOUR, HOUR, -DAY, DAY, 0, DAY, -HOUR, 0],
        &[-DAY, HOUR, 0],
    );
    let mut world = World::begin()?;
    let mut counts = Counts::default();
    for ahead in jumps {
        world.set(*ahead)?;
        world.look(&mut counts)?;
    }
    let mut all = vec![
        Figure::exactly("times the clock was set", jumps.len(), counts.jumps),
        Figure::exactly(
            "sessions of a minute's silence or less lost",
            0,
            counts.lost,
        ),
        Figure::exactly("new connections judged wrongly", 0, counts.wrong),
        Figure::exactly("a rule's date not followed", 0, counts.dates),
        Figure::exactly(
            "members of sets gone, or with other times",
            0,
            counts.members,
        ),
    ];
    all.push(held("a member of 15 s stays for 15 s", world.visit()?));
    all.push(held("a session of 6 s stays for 6 s", world.silence()?));
    all.push(held(
        "the clock set without an agent: the rule's date holds after its start",
        world.without_agent()?,
    ));
    for ahead in effort.pick(&[DAY, -DAY, HOUR][..], &[DAY][..]) {
        let what = format!("12 s to confirm are 12 s, with the clock set by {ahead} s");
        all.push(held(&what, world.unconfirmed(*ahead)?));
    }
    Ok(all)
}

fn held(what: &str, held: bool) -> Figure {
    Figure::exactly(what, true, held)
}

#[derive(Default)]
struct Counts {
    jumps: usize,
    lost: usize,
    wrong: usize,
    dates: usize,
    members: usize,
}

struct World {
    scene: Scene,
    clock: PathBuf,
    ahead: i64,
    ends: Timestamp,
    begun: Instant,
    live: Vec<TcpStream>,
    /// Sessions of the rule with a date.
    dated: Vec<TcpStream>,
    _servers: Vec<Echo>,
    revision: u64,
}

impl World {
    fn begin() -> Result<Self> {
        let lab = Lab::quiet()?;
        let config = format!(
            "sessions: {{timeouts: {{udp: {0}s, udp_stream: {0}s}}}}\n",
            UDP.as_secs()
        );
        let mut host = Host::prepare(lab.host(), &["lan0", "wan0"], &config)?;
        let clock = host.dir.path().join("ahead");
        std::fs::write(&clock, "0")?;
        let path = clock.to_string_lossy().into_owned();
        host.vars.push(("RINGWALL_TEST_CLOCK_AHEAD", path));
        host.restart()?;
        let scene = Scene { host, lab };
        let addresses = format!(
            "addr add {GUEST}/24 dev eth0\naddr add {VISITOR}/24 dev eth0\naddr add {BANNED}/64 dev eth0 preferred_lft 0\n"
        );
        scene.stranger().ip(&addresses)?;
        let any = |port: u16| ([0_u16; 8], port).into();
        let mut servers = vec![Echo::udp(scene.lab.host(), any(53))?];
        for port in [22, 443, 8443] {
            servers.push(Echo::tcp(scene.lab.host(), any(port))?);
        }
        let mut world = Self {
            scene,
            clock,
            ahead: 0,
            ends: Timestamp::now() + SignedDuration::from_secs(ENDS),
            begun: Instant::now(),
            live: Vec::new(),
            dated: Vec::new(),
            _servers: servers,
            revision: 1,
        };
        world.scene.put(&world.text(1))?;
        for (set, who) in [("guests", GUEST), ("banned", BANNED)] {
            world.command(&["set", "add", set, who, "--for", "1h"])?;
        }
        world.live = world.open(443)?;
        world.dated = world.open(8443)?;
        Ok(world)
    }

    fn text(&self, revision: u64) -> String {
        let rules = [
            "name: banned, action: deny, sources: [banned]".to_owned(),
            allow("web", "tcp/443, udp/53"),
            format!("{}, sources: [guests]", allow("guests", "tcp/22")),
            format!(
                "{}, expires: \"{:.0}\"",
                allow("day", "tcp/8443"),
                self.ends
            ),
        ];
        policy(revision, &rules) + "sets:\n  banned: {dynamic: true}\n  guests: {dynamic: true}\n"
    }

    fn command(&self, words: &[&str]) -> Result<()> {
        let ran = self.scene.host.cli(words)?;
        ensure!(ran.ok(), "{words:?}: {ran:?}");
        Ok(())
    }

    fn open(&self, port: u16) -> Result<Vec<TcpStream>> {
        let one = |v6| {
            let stream = connect(self.scene.stranger(), at_wan(v6, port), PATIENCE);
            stream.ok().with_context(|| format!("no session at {port}"))
        };
        [false, true].map(one).into_iter().collect()
    }

    fn set(&mut self, ahead: i64) -> Result<()> {
        // In one step for who reads it.
        let fresh = self.clock.with_extension("new");
        std::fs::write(&fresh, ahead.to_string())?;
        std::fs::rename(fresh, &self.clock)?;
        self.ahead = ahead;
        Ok(())
    }

    /// Does the rule with a date hold, by the clock as it is set?
    fn is_open(&self) -> bool {
        self.ahead < ENDS
    }

    /// Is the port of the rule with a date as it should be, once the agent has looked?
    fn follows_date(&self) -> bool {
        let wanted = if self.is_open() {
            Seen::Answered
        } else {
            Seen::Silence
        };
        let right = || (self.scene.knock(8443) == [wanted.clone(), wanted.clone()]).then_some(());
        wait_until(NOTICED, right).is_some()
    }

    fn knock_from(&self, from: &str, port: u16, patience: Duration) -> Result<Seen> {
        let from: IpAddr = from.parse()?;
        Ok(tcp_from(
            self.scene.stranger(),
            Some(from),
            at_wan(from.is_ipv6(), port),
            patience,
        ))
    }

    /// After the clock was set.
    fn look(&mut self, counts: &mut Counts) -> Result<()> {
        counts.jumps += 1;
        let dates = usize::from(!self.follows_date());
        let talks = |stream: &mut TcpStream, patience| exchange(stream, patience) == Seen::Answered;
        counts.lost += { self.live.iter_mut() }
            .filter_map(|s| (!talks(s, PATIENCE)).then_some(()))
            .count();
        let open = self.is_open();
        let patience = if open { PATIENCE } else { SHORT };
        let wrong = { self.dated.iter_mut() }
            .filter_map(|s| (talks(s, patience) != open).then_some(()))
            .count();
        counts.dates += dates + wrong;
        if !open {
            // Those that were cut stay so.
            self.dated.clear();
        } else if self.dated.is_empty() {
            self.dated = self.open(8443)?;
        }
        let knocks = [
            (self.knock_from(GUEST, 443, PATIENCE)?, Seen::Answered),
            (self.knock_from(GUEST, 22, PATIENCE)?, Seen::Answered),
            (self.knock_from(BANNED, 443, SHORT)?, Seen::Silence),
        ];
        counts.wrong += knocks
            .iter()
            .filter(|(seen, wanted)| seen != wanted)
            .count();
        for set in ["guests", "banned"] {
            counts.members += usize::from(!self.has_its_time(set)?);
        }
        Ok(())
    }

    /// An hour since the beginning, with a minute for a slow machine.
    fn has_its_time(&self, set: &str) -> Result<bool> {
        let rows = self.scene.host.json(&["set", "list", set])?;
        let left = rows[0]["left_s"].as_i64();
        let wanted = HOUR - self.begun.elapsed().as_secs() as i64;
        Ok(left.is_some_and(|left| (left - wanted).abs() < 60))
    }

    /// A member for some seconds, while the clock is set back and forth.
    fn visit(&mut self) -> Result<bool> {
        let time = format!("{}s", VISIT.as_secs());
        let before = Instant::now();
        self.command(&["set", "add", "guests", VISITOR, "--for", &time])?;
        let after = Instant::now();
        for ahead in [DAY, -DAY].into_iter().cycle() {
            self.set(ahead)?;
            std::thread::sleep(Duration::from_millis(1500));
            let seen = self.knock_from(VISITOR, 22, SHORT)?;
            if before.elapsed() < VISIT && seen != Seen::Answered {
                eprintln!("a visitor was sent away after {:?}", before.elapsed());
                return Ok(false);
            }
            if after.elapsed() > VISIT + SHORT {
                break;
            }
        }
        Ok(self.knock_from(VISITOR, 22, SHORT)? == Seen::Silence)
    }

    /// A session of UDP that nothing is said on.
    fn silence(&mut self) -> Result<bool> {
        let count = |scene: &Scene| -> Result<usize> {
            let rows = scene.host.json(&["sessions", "proto udp and port 53"])?;
            Ok(rows.as_array().context("rows")?.len())
        };
        let gone = || (count(&self.scene).ok()? == 0).then_some(());
        wait_until(NOTICED, gone).context("sessions of before")?;
        let begin = Instant::now();
        let seen = udp(self.scene.stranger(), at_wan(true, 53), PATIENCE);
        ensure!(seen == Seen::Answered, "{seen}");
        self.set(DAY)?;
        std::thread::sleep(Duration::from_secs(2));
        let there = count(&self.scene)? == 1;
        let early = begin.elapsed() < UDP;
        self.set(-DAY)?;
        let gone = || (count(&self.scene).ok()? == 0).then_some(());
        let went = wait_until(NOTICED, gone).is_some();
        Ok((there || !early) && went)
    }

    /// Nobody is there to see that the clock is set.
    fn without_agent(&mut self) -> Result<bool> {
        let mut right = true;
        for ahead in [DAY, -HOUR] {
            self.scene.host.kill9();
            self.set(ahead)?;
            self.scene.host.restart()?;
            right &= self.follows_date() && self.has_its_time("banned")?;
        }
        Ok(right)
    }

    /// A policy that waits goes back after its time by no clock but the kernel's; what comes back knows the date.
    fn unconfirmed(&mut self, ahead: i64) -> Result<bool> {
        self.set(0)?;
        ensure!(self.follows_date(), "the date, before");
        let (before, next) = (self.revision, self.revision + 1);
        let within = format!("{}s", WITHIN.as_secs());
        let text = self.text(next);
        let begin = Instant::now();
        let right = std::thread::scope(|s| -> Result<bool> {
            let scene = &self.scene;
            let waits = s.spawn(|| {
                scene
                    .host
                    .apply_with(&text, &["--confirm-within", &within, "--again"])
            });
            let there = || (scene.revision().ok()? == Some(next)).then_some(());
            wait_until(PATIENCE, there).context("it does not come into force")?;
            std::fs::write(&self.clock, ahead.to_string())?;
            let back = || (scene.revision().ok()? == Some(before)).then_some(());
            let went = wait_until(WITHIN + NOTICED, back).is_some();
            let took = begin.elapsed();
            let ran = waits.join().expect("it does not panic")?;
            println!("back after {took:?}");
            Ok(went && took >= WITHIN && ran.status == 5)
        })?;
        self.ahead = ahead;
        Ok(right && self.follows_date())
    }
}
