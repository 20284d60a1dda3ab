//! Where records come together: each gets its number, is kept for a while, and goes to those who follow.
//!
//! Nobody who is slow holds anybody up. History forgets the oldest, a follower that is behind misses some,
//! the file's queue takes no more when it is full; what is lost so is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firewall_common::event::decode::{Event, decode};
use firewall_common::flow::{FlowKey, Tuple};
use jiff::Timestamp;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::file::Sink;
use super::owners::Owners;
use super::record::{EventWord, Process};
use super::view::View;
use crate::agent::clock;
use crate::agent::plane::Live;
use crate::agent::processes;
use crate::dataplane::Watch;
use crate::detect::{Around, Detector, OneSided, Sight};
use crate::policy::compiled::Clock;

/// What a record tells of.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are what a program has told; a box would be an allocation for each"
)]
#[derive(Debug, Clone)]
pub enum What {
    /// What a program, or the sweep, has told.
    Told(Event),
    /// A handshake that does not complete.
    OneSided(Box<OneSided>),
    /// A live session, asked for just now.
    Live(Box<Live>),
}

/// A record before it is written out.
#[derive(Debug, Clone)]
pub struct Seen {
    /// See [`super::record::Flow::seq`].
    pub seq: u64,
    /// See [`super::record::Flow::uuid`].
    pub uuid: Uuid,
    /// When it happened.
    pub time: Timestamp,
    /// The two clocks when it was noted.
    pub clock: Clock,
    /// Records left out since the last.
    pub suppressed: u64,
    /// What happened.
    pub what: What,
    /// Names as they were then.
    pub view: Arc<View>,
    /// Who sent or listens, where known.
    pub process: Option<Arc<Process>>,
}

impl Seen {
    /// The word for what happened.
    #[must_use]
    pub const fn event(&self) -> EventWord {
        match &self.what {
            What::Told(Event::Open(_)) => EventWord::Open,
            What::Told(Event::Close(..)) => EventWord::Close,
            What::Told(Event::Drop(_)) => EventWord::Drop,
            What::OneSided(_) => EventWord::OneSided,
            What::Live(_) => EventWord::Update,
        }
    }
}

/// Where the agent itself can lose a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It was no record that this version knows.
    Decode = 0,
    /// A follower was behind.
    Follower = 1,
    /// The file's queue was full, or the disk.
    File = 2,
}

impl Loss {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Decode, Self::Follower, Self::File];

    /// The metric's `stage`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Follower => "follower",
            Self::File => "file",
        }
    }
}

/// Records of each kind that are kept: at the highest rates a few seconds, on a quiet host days.
const KEPT: usize = 16_384;
/// Records that a follower may be behind.
const BEHIND: usize = 8192;
/// How long to wait for the name of a policy that has come into force a moment ago.
const NAMED_SOON: Duration = Duration::from_millis(5);
/// How often.
const PATIENCE: u32 = 40;

#[derive(Default)]
struct Inner {
    seq: u64,
    kept: BTreeMap<EventWord, VecDeque<Arc<Seen>>>,
    followers: Option<broadcast::Sender<Arc<Seen>>>,
    file: Option<Sink>,
}

/// Where records come together.
pub struct Hub {
    inner: Mutex<Inner>,
    view: Mutex<Arc<View>>,
    detector: Mutex<Detector>,
    owners: Mutex<Owners>,
    watch: Mutex<Option<Watch>>,
    blind: Mutex<Option<String>>,
    lost: [AtomicU64; 3],
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

impl Default for Hub {
    fn default() -> Self {
        let inner = Inner {
            followers: Some(broadcast::channel(BEHIND).0),
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            view: Mutex::new(Arc::new(View::of_this_host())),
            detector: Mutex::default(),
            owners: Mutex::default(),
            watch: Mutex::default(),
            blind: Mutex::new(Some("not looked at yet".to_owned())),
            lost: Default::default(),
        }
    }
}

/// Nothing that is done under these locks can leave a value half changed, so one that a panic has left
/// is as good as ever.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// The names that records get now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&lock(&self.view))
    }

    /// Gives records other names from now on.
    pub fn set_view(&self, view: View) {
        *lock(&self.view) = Arc::new(view);
    }

    /// Where records are written, too.
    pub fn set_file(&self, file: Option<Sink>) {
        lock(&self.inner).file = file;
    }

    /// What the file was opened with, if there is one.
    #[must_use]
    pub fn file_options(&self) -> Option<super::file::FileOptions> {
        let inner = lock(&self.inner);
        inner.file.as_ref().map(|file| file.options().clone())
    }

    /// Counts records that were lost.
    pub fn lose(&self, at: Loss, count: u64) {
        if let Some(lost) = self.lost.get(at as usize) {
            lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many were lost at a place since the agent started.
    #[must_use]
    pub fn lost(&self, at: Loss) -> u64 {
        let lost = self.lost.get(at as usize);
        let lost = lost.map_or(0, |lost| lost.load(Ordering::Relaxed));
        let failed = match at {
            Loss::File => lock(&self.inner).file.as_ref().map_or(0, Sink::failed),
            _ => 0,
        };
        lost + failed
    }

    /// Takes what came out of the ring.
    pub fn take<'b>(&self, records: impl IntoIterator<Item = &'b [u8]>) {
        let mut told = Vec::new();
        for bytes in records {
            match decode(bytes) {
                Ok(event) => told.push(event),
                Err(_) => self.lose(Loss::Decode, 1),
            }
        }
        self.tell(&told);
    }

    /// Takes what has happened, in order.
    pub fn tell(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.wait_for_names(events);
        self.hear();
        {
            let mut detector = lock(&self.detector);
            events.iter().for_each(|event| detector.told(event));
        }
        let clock = clock::now();
        self.publish(
            &clock,
            events.iter().map(|event| {
                let header = match event {
                    Event::Open(of) | Event::Close(of, _) => of.header,
                    Event::Drop(refused) => refused.header,
                };
                (header.time, header.suppressed, What::Told(*event))
            }),
        );
    }

    /// Looks for handshakes that do not complete.
    pub fn look(&self, half_open: &[Live], completed: &[Live], around: &mut dyn Around) {
        self.hear();
        let clock = clock::now();
        let nowhere = lock(&self.owners).went_nowhere(clock.boot);
        let sight = Sight {
            half_open,
            completed,
            now: clock.boot,
        };
        let found = {
            let mut detector = lock(&self.detector);
            for (tuple, time) in nowhere {
                detector.went_nowhere(tuple, time);
            }
            detector.look(sight, around)
        };
        let told = found
            .into_iter()
            .map(|one| (one.last, 0, What::OneSided(Box::new(one))));
        self.publish(&clock, told);
    }

    /// Takes what the kernel has told since the last time: what it dropped, and who called. Before records are made,
    /// so that the call behind a SYN is known when its session is told.
    pub fn hear(&self) {
        let (drops, calls) = match lock(&self.watch).as_mut() {
            Some(watch) => (watch.drops(), watch.calls()),
            None => return,
        };
        {
            let mut owners = lock(&self.owners);
            let missed = calls.iter().filter(|call| owners.told(call)).count();
            if missed > 0 {
                owners.seed(processes::listening());
            }
        }
        let mut detector = lock(&self.detector);
        for (drop, reason) in &drops {
            detector.kernel_dropped(drop, reason);
        }
    }

    /// Sessions were ended by hand: what comes of them still has its cause in that.
    pub fn cut(&self, keys: &BTreeSet<FlowKey>) {
        let mut detector = lock(&self.detector);
        keys.iter().for_each(|key| detector.cut(*key));
    }

    /// Asks the live program about a packet, of which no trace is to stay.
    pub fn asking<R>(&self, tuple: Tuple, ask: impl FnOnce() -> R) -> R {
        lock(&self.detector).asks_about(tuple, clock::boot_now());
        let answer = ask();
        lock(&self.detector).has_asked_about(&tuple, clock::boot_now());
        answer
    }

    /// Listens to the kernel from now on, or no more. Who listens already is looked up.
    pub fn set_watch(&self, watch: Option<Watch>) {
        if watch.is_some() {
            let found = processes::listening();
            lock(&self.owners).seed(found);
        }
        *lock(&self.watch) = watch;
    }

    /// Whose a session is.
    #[must_use]
    pub fn owner(&self, key: &FlowKey, opened: u64) -> Option<Arc<Process>> {
        lock(&self.owners).of(key, opened)
    }

    /// Whose a handshake is that does not complete.
    #[must_use]
    pub fn owner_of_one(&self, one: &OneSided) -> Option<Arc<Process>> {
        lock(&self.owners).of_known_one(one)
    }

    /// Whose what happened is.
    fn owner_of(&self, what: &What) -> Option<Arc<Process>> {
        let mut owners = lock(&self.owners);
        match what {
            What::Told(Event::Open(of)) => owners.opened(&of.key, &of.entry),
            What::Told(Event::Close(of, _)) => owners.of(&of.key, of.entry.opened),
            What::Live(live) => owners.of(&live.key, live.entry.opened),
            What::OneSided(one) => owners.of_one(one),
            What::Told(Event::Drop(_)) => None,
        }
    }

    /// Why it is not known what the kernel drops; `None`: it is.
    #[must_use]
    pub fn blind(&self) -> Option<String> {
        lock(&self.blind).clone()
    }

    /// It is not known what the kernel drops, or it is.
    pub fn set_blind(&self, why: Option<String>) {
        *lock(&self.blind) = why;
    }

    /// Handshakes that did not complete, as far as remembered.
    #[must_use]
    pub fn one_sided(&self) -> Vec<OneSided> {
        lock(&self.detector).list()
    }

    /// How many there were since the agent started, by direction and cause.
    #[must_use]
    pub fn one_sided_counts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        lock(&self.detector).counts()
    }

    /// A packet may be judged by a policy a moment before the agent has told its name.
    fn wait_for_names(&self, events: &[Event]) {
        let epochs = events.iter().map(|event| match event {
            Event::Open(of) | Event::Close(of, _) => of.entry.permit.epoch,
            Event::Drop(refused) => refused.epoch,
        });
        let newest = epochs.max().unwrap_or(0);
        for _ in 0..PATIENCE {
            if newest <= self.view().newest() {
                return;
            }
            std::thread::sleep(NAMED_SOON);
        }
    }

    fn publish(&self, clock: &Clock, all: impl Iterator<Item = (u64, u64, What)>) {
        let view = self.view();
        let mut lost = 0;
        let mut inner = lock(&self.inner);
        for (time, suppressed, what) in all {
            inner.seq += suppressed + 1;
            let seen = Arc::new(Seen {
                seq: inner.seq,
                uuid: Uuid::now_v7(),
                time: wall(clock, time),
                clock: *clock,
                suppressed,
                process: self.owner_of(&what),
                what,
                view: Arc::clone(&view),
            });
            let kept = inner.kept.entry(seen.event()).or_default();
            if kept.len() >= KEPT {
                kept.pop_front();
            }
            kept.push_back(Arc::clone(&seen));
            if let Some(file) = &inner.file
                && !file.offer(&seen)
            {
                lost += 1;
            }
            if let Some(followers) = &inner.followers {
                // Nobody may be following.
                let _ = followers.send(seen);
            }
        }
        drop(inner);
        self.lose(Loss::File, lost);
    }

    /// Kept records that happened since a time, in order, and what comes after them; none is in both or in
    /// neither. No more comes where the agent is going down.
    #[must_use]
    pub fn follow(
        &self,
        since: Timestamp,
    ) -> (Vec<Arc<Seen>>, Option<broadcast::Receiver<Arc<Seen>>>) {
        let inner = lock(&self.inner);
        let next = inner.followers.as_ref().map(broadcast::Sender::subscribe);
        let kept = inner.kept.values().flatten();
        let mut all: Vec<_> = kept.filter(|seen| seen.time >= since).cloned().collect();
        drop(inner);
        all.sort_unstable_by_key(|seen| seen.seq);
        (all, next)
    }

    /// A live session as a record of this moment; it is not kept, and its number is that of the last one.
    #[must_use]
    pub fn live(&self, live: Live, clock: &Clock) -> Seen {
        Seen {
            seq: lock(&self.inner).seq,
            uuid: Uuid::now_v7(),
            time: clock.wall,
            clock: *clock,
            suppressed: 0,
            process: self.owner(&live.key, live.entry.opened),
            what: What::Live(Box::new(live)),
            view: self.view(),
        }
    }

    /// Ends all following: the agent is going down.
    pub fn close(&self) {
        lock(&self.inner).followers = None;
    }
}

/// The wall-clock time of a time since boot.
#[must_use]
pub fn wall(clock: &Clock, boot: u64) -> Timestamp {
    let ago = i128::from(clock.boot) - i128::from(boot);
    Timestamp::from_nanosecond(clock.wall.as_nanosecond() - ago).unwrap_or(clock.wall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_common::event::layout::{Header, Refused};

    fn refused(time: u64, suppressed: u64) -> Event {
        Event::Drop(Refused {
            header: Header {
                time,
                suppressed,
                ..Header::default()
            },
            reason: 1,
            verdict: 1,
            ..Refused::default()
        })
    }

    #[test]
    fn numbers_have_gaps_as_large_as_what_is_missing() {
        let hub = Hub::default();
        let now = clock::boot_now();
        hub.tell(&[refused(now, 0), refused(now, 7)]);
        let (kept, _) = hub.follow(Timestamp::UNIX_EPOCH);
        let numbers: Vec<u64> = kept.iter().map(|seen| seen.seq).collect();
        assert_eq!(numbers, [1, 9]);
        let age = Timestamp::now().duration_since(kept[0].time);
        assert!(age.as_secs() < 5, "{age}");
    }

    #[test]
    fn history_is_bounded_and_followers_miss_nothing_between() {
        let hub = Hub::default();
        let now = clock::boot_now();
        for _ in 0..3 {
            hub.tell(&vec![refused(now, 0); KEPT / 2]);
        }
        let (kept, follower) = hub.follow(Timestamp::UNIX_EPOCH);
        assert_eq!(kept.len(), KEPT);
        let last = kept.last().unwrap().seq;
        hub.tell(&[refused(now, 0)]);
        let next = follower.unwrap().try_recv().unwrap();
        assert_eq!(next.seq, last + 1);
        hub.close();
        assert!(hub.follow(Timestamp::UNIX_EPOCH).1.is_none());
    }

    #[test]
    fn what_is_no_record_is_counted() {
        let hub = Hub::default();
        hub.take([&[1_u8, 2, 3][..], &[0; 64][..]]);
        assert_eq!(hub.lost(Loss::Decode), 2);
    }
}
