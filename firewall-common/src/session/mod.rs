//! Sessions: what is kept of a conversation, and how its packets move it on.

pub mod end;
pub mod fresh;
pub mod room;
pub(crate) mod stage;
#[cfg(test)]
mod talks;
pub mod tcp;
pub mod window;

use crate::config::Count;
use crate::flow::{FlowKey, Side, Tuple};
use crate::packet::{Packet, Role, protocol};
use crate::zone::{Course, ZoneId};

pub use fresh::Fresh;
pub use window::{UNKNOWN, Window};

/// Where a session stands. The number is kept in tables and is the index of its timeout.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// TCP: a SYN was seen.
    SynSent = 1,
    /// TCP: the SYN was answered.
    SynReceived = 2,
    /// TCP: the handshake is complete.
    Established = 3,
    /// TCP: one side has finished.
    FinWait = 4,
    /// TCP: both sides have finished.
    TimeWait = 5,
    /// TCP: reset.
    Close = 6,
    /// UDP in one direction.
    Udp = 7,
    /// UDP in both directions.
    UdpStream = 8,
    /// ICMP queries.
    Icmp = 9,
    /// Any other protocol.
    Other = 10,
}

/// Every state with the word users see.
pub const STATES: &[(State, &str)] = &[
    (State::SynSent, "syn-sent"),
    (State::SynReceived, "syn-recv"),
    (State::Established, "established"),
    (State::FinWait, "fin-wait"),
    (State::TimeWait, "time-wait"),
    (State::Close, "close"),
    (State::Udp, "udp"),
    (State::UdpStream, "udp-stream"),
    (State::Icmp, "icmp"),
    (State::Other, "other"),
];

impl State {
    /// From the number in a table; what is unknown is over.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::TimeWait,
            7 => Self::Udp,
            8 => Self::UdpStream,
            9 => Self::Icmp,
            10 => Self::Other,
            _ => Self::Close,
        }
    }

    /// The word users see.
    #[must_use]
    pub fn word(self) -> &'static str {
        STATES
            .iter()
            .find(|(state, _)| *state == self)
            .map_or("close", |(_, word)| word)
    }
}

/// Set in [`Track::flags`]: the responder has spoken.
pub const REPLIED: u8 = 1;
/// Set in [`Track::flags`]: the opener has sent a FIN.
pub const FIN_OPENER: u8 = 2;
/// Set in [`Track::flags`]: the responder has sent a FIN.
pub const FIN_RESPONDER: u8 = 4;
/// Set in [`Track::flags`]: opened by a packet that monitor mode let by against the policy.
pub const MONITORED: u8 = 8;
/// Set in [`Track::flags`]: packets of the responder were found on arrival.
pub const REPLIES_ARRIVE: u8 = 16;
/// Set in [`Track::flags`]: it was ended by the policy, and is kept only to be recognised.
pub const ENDED: u8 = 32;
/// Set in [`Track::flags`]: no session, but the trace of a question to a group, by which answers pass (`answers`).
pub const AWAITS: u8 = 64;

/// Whose packet has moved a track on, and so whose window has changed.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The opener's.
    Opener = 0,
    /// The responder's.
    Responder = 1,
    /// None: it was only looked after.
    Neither = 2,
    /// The responder's, and the two have begun anew ([`Fresh`]): nothing holds that was known.
    Anew = 3,
}

impl Moved {
    /// By whose packet it was.
    #[inline(always)]
    #[must_use]
    pub const fn by(from_opener: bool) -> Self {
        if from_opener {
            Self::Opener
        } else {
            Self::Responder
        }
    }
}

/// Set in [`Track::error`] where there was one.
pub const ERROR_SEEN: u32 = 1 << 16;

/// The part of a session that its packets change. What two CPUs that step it at once leave there, see [`Track::take`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Track {
    /// The opener's side and the responder's.
    pub windows: [Window; 2],
    /// [`State`] by number.
    pub state: u8,
    /// [`REPLIED`] and the like.
    pub flags: u8,
    /// TCP flags seen from the opener and from the responder.
    pub seen: [u8; 2],
    /// The last ICMP error about it: [`ERROR_SEEN`], type, code; 0: none.
    pub error: u32,
    /// The opener's last SYN inside the session, if nothing came of it yet.
    pub fresh: Fresh,
}

/// By which policy a session was let in.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permit {
    /// Epoch of the generation.
    pub epoch: u32,
    /// Counter number of the rule; 0: `unmatched`.
    pub rule: u32,
    /// Nanoseconds since boot when the rule expires; 0: never.
    pub expires: u64,
}

/// A session. One entry serves both directions.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// Nanoseconds since boot of the first packet.
    pub opened: u64,
    /// Nanoseconds since boot of the last packet.
    pub last_seen: u64,
    /// By which policy it was let in.
    pub permit: Permit,
    /// Where it stands.
    pub track: Track,
    /// Packets and bytes from the opener and from the responder.
    pub counts: [Count; 2],
    /// Interface the opener's packets arrive by; 0: from this host.
    pub interface_in: u32,
    /// Interface the opener's packets leave by; 0: to this host.
    pub interface_out: u32,
    /// The [`Side`] of the key that opened it.
    pub opener: u8,
    /// [`Course`] by number.
    pub course: u8,
    /// Zone of the opener.
    pub source_zone: u8,
    /// Zone of the responder.
    pub destination_zone: u8,
    /// [`LEAVING`], [`GROUP`], [`STANDS_IN`], [`LOGGED`], [`QUIET`] and [`WELCOMES`].
    pub opening: u8,
    /// [`room::MANAGED`] and the like: which counts it is in.
    pub counted: u8,
    /// [`OnChange`] by number, of the rule that it was let in by.
    pub on_change: u8,
    /// Zero.
    pub pad: u8,
    /// Counter of the rule whose `max_sessions` it counts for; 0: of none.
    pub held: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a change does to a live session that it does not allow any more.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// It ends.
    Recheck = 0,
    /// It goes on.
    Keep = 1,
    /// It ends, and where it is TCP both ends are told.
    Reset = 2,
}

impl OnChange {
    /// From its number; what is unknown ends.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Keep,
            2 => Self::Reset,
            _ => Self::Recheck,
        }
    }
}

/// What a session has come to in tables that were replaced after it had been copied.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carry {
    /// [`CARRY_ONTO`] or [`CARRY_RELEASE`].
    pub what: u64,
    /// Which session.
    pub key: FlowKey,
    /// As it was in the end; its counts only as far as they came after the copy.
    pub entry: Entry,
}

/// [`Carry::what`]: add to the session.
pub const CARRY_ONTO: u64 = 0;
/// [`Carry::what`]: the session was taken out of its table, and counts for its rule no more.
pub const CARRY_RELEASE: u64 = 1;

/// Set in [`Entry::opening`]: judged on the way out.
pub const LEAVING: u8 = 1;
/// Set in [`Entry::opening`]: opened to a multicast or broadcast address.
pub const GROUP: u8 = 2;
/// Set in [`Entry::opening`]: for a tuple that translation made, see `onward`. Never judged itself.
pub const STANDS_IN: u8 = 4;
/// Set in [`Entry::opening`]: its rule says `log`.
pub const LOGGED: u8 = 32;
/// Set in [`Entry::opening`]: its rule's `log` asks for one in so many, and this is none of those.
pub const QUIET: u8 = 64;
/// Set in [`Entry::opening`]: its rule says `replies: any`, and it was opened to a group.
pub const WELCOMES: u8 = 128;

const _: () = assert!(size_of::<Entry>() == 136 && size_of::<Track>() == 48);

/// [`Permit::epoch`] of a session that was adopted, and that no policy has judged yet: no generation has it.
pub const ADOPTED_EPOCH: u32 = 0;

impl Entry {
    /// Was it adopted, and has no policy allowed it yet?
    #[inline(always)]
    #[must_use]
    pub const fn is_adopted(&self) -> bool {
        self.permit.epoch == ADOPTED_EPOCH
    }

    /// Is `side` the one that opened the session?
    #[inline(always)]
    #[must_use]
    pub const fn is_opener(&self, side: Side) -> bool {
        self.opener == side as u8
    }

    /// The opener's side.
    #[inline(always)]
    #[must_use]
    pub const fn opener_side(&self) -> Side {
        if self.opener == 0 {
            Side::Low
        } else {
            Side::High
        }
    }

    /// Was it judged on the way out?
    #[inline(always)]
    #[must_use]
    pub const fn leaving(&self) -> bool {
        self.opening & LEAVING != 0
    }

    /// Was it opened to a multicast or broadcast address?
    #[inline(always)]
    #[must_use]
    pub const fn group(&self) -> bool {
        self.opening & GROUP != 0
    }

    /// Does it stand for a session under other addresses?
    #[inline(always)]
    #[must_use]
    pub const fn stands_in(&self) -> bool {
        self.opening & STANDS_IN != 0
    }

    /// Was it ended by the policy? Then it lives no longer.
    #[inline(always)]
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.track.flags & ENDED != 0
    }

    /// Is it the trace of a question to a group? Then it is no session.
    #[inline(always)]
    #[must_use]
    pub const fn awaits(&self) -> bool {
        self.track.flags & AWAITS != 0
    }

    /// May anyone answer what its opener asks of a group?
    #[inline(always)]
    #[must_use]
    pub const fn welcomes(&self) -> bool {
        self.opening & WELCOMES != 0
    }

    /// What a change does to it.
    #[inline(always)]
    #[must_use]
    pub const fn on_change(&self) -> OnChange {
        OnChange::from_number(self.on_change)
    }

    /// Is it a conversation of its own: neither a stand-in nor a trace?
    #[inline(always)]
    #[must_use]
    pub const fn is_conversation(&self) -> bool {
        !self.stands_in() && !self.is_ended() && !self.awaits()
    }

    /// Are packets of a side seen under these addresses when they arrive? Else they are when they leave.
    #[inline(always)]
    #[must_use]
    pub const fn seen_on_arrival(&self, from_opener: bool) -> bool {
        if from_opener {
            !self.leaving()
        } else {
            self.track.flags & REPLIES_ARRIVE != 0
        }
    }

    /// Does its rule say `log`?
    #[inline(always)]
    #[must_use]
    pub const fn logged(&self) -> bool {
        self.opening & LOGGED != 0
    }

    /// Is it one of those that its rule's `log` leaves out?
    #[inline(always)]
    #[must_use]
    pub const fn quiet(&self) -> bool {
        self.opening & QUIET != 0
    }

    /// Where it opened to.
    #[inline(always)]
    #[must_use]
    pub const fn course(&self) -> Course {
        Course::from_number(self.course)
    }

    /// The zones it was opened between.
    #[inline(always)]
    #[must_use]
    pub const fn zones(&self) -> (ZoneId, ZoneId) {
        (ZoneId(self.source_zone), ZoneId(self.destination_zone))
    }

    /// Has it been silent for longer than its state's timeout?
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now: u64, timeout: u64) -> bool {
        now.saturating_sub(self.last_seen) > timeout
    }
}

impl Carry {
    /// Adds to a session what it has come to elsewhere, and says how its counts rise. It has gone on meanwhile,
    /// maybe; what is known of it only ever goes forward.
    #[inline(always)]
    pub fn onto(&self, track: &mut Track, last_seen: &mut u64) {
        let [opener, responder] = &self.entry.track.windows;
        track.windows[0].join(opener);
        track.windows[1].join(responder);
        track.take(&self.entry.track, Moved::Neither);
        if *last_seen < self.entry.last_seen {
            *last_seen = self.entry.last_seen;
        }
    }
}

impl Track {
    /// Takes over what a packet has changed. The state and the flags only ever go forward in one session,
    /// so that what another CPU has found meanwhile (a FIN, say) is not lost under this packet's older view. Of the
    /// windows only its sender's is touched, so two directions never meet; two packets of one direction join theirs.
    #[inline(always)]
    pub fn take(&mut self, stepped: &Self, moved: Moved) {
        match moved {
            Moved::Opener => {
                turn(&mut self.windows[0], &stepped.windows[0], stepped.state);
                self.fresh = stepped.fresh;
            }
            Moved::Responder => {
                turn(&mut self.windows[1], &stepped.windows[1], stepped.state);
                if stepped.state == State::SynSent as u8 {
                    self.fresh = stepped.fresh;
                }
            }
            Moved::Neither => {}
            // Another CPU that steps a segment of the old life in this instant mixes it in: then the opener's next
            // try begins anew once more.
            Moved::Anew => {
                *self = *stepped;
                return;
            }
        }
        self.state = if self.state > stepped.state {
            self.state
        } else {
            stepped.state
        };
        self.flags |= stepped.flags;
        self.seen[0] |= stepped.seen[0];
        self.seen[1] |= stepped.seen[1];
        if stepped.error != 0 {
            self.error = stepped.error;
        }
    }

    /// Notes an ICMP error about it, by the word of type and code.
    #[inline(always)]
    pub fn note_error(&mut self, type_and_code: u16) {
        self.error = ERROR_SEEN | type_and_code as u32;
    }

    /// Type and code of the last ICMP error about it.
    #[must_use]
    pub const fn error(&self) -> Option<(u8, u8)> {
        if self.error & ERROR_SEEN == 0 {
            return None;
        }
        Some(((self.error >> 8) as u8, self.error as u8))
    }

    /// Where it stands.
    #[inline(always)]
    #[must_use]
    pub const fn state(&self) -> State {
        State::from_number(self.state)
    }

    /// Has the other side shown that it is there: a completed handshake, or a first answer?
    #[inline(always)]
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        match self.state() {
            State::Established | State::FinWait | State::TimeWait => true,
            State::SynSent | State::SynReceived | State::Close => false,
            _ => self.flags & REPLIED != 0,
        }
    }
}

/// In a handshake the numbers may begin anew, and the later view holds.
#[inline(always)]
fn turn(window: &mut Window, stepped: &Window, state: u8) {
    if state <= State::SynReceived as u8 {
        *window = *stepped;
    } else if state <= State::Close as u8 {
        window.join(stepped);
    }
}

/// What a packet does to a session.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It belongs to it and keeps it alive.
    Live = 0,
    /// It may pass, and changes nothing.
    Idle = 1,
    /// It cannot belong to it.
    Foreign = 2,
    /// The session is over, and the packet opens a new one if the policy allows.
    Reopens = 3,
    /// It is outside the window, and changes nothing.
    Outside = 4,
    /// The two have begun anew, which both know; what was known of their numbers holds no more.
    Anew = 5,
}

impl Step {
    /// From its number; what is unknown changes nothing, and does not pass.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Live,
            1 => Self::Idle,
            2 => Self::Foreign,
            3 => Self::Reopens,
            5 => Self::Anew,
            _ => Self::Outside,
        }
    }
}

/// The track that an opening packet begins.
#[inline(always)]
pub fn begin(packet: &Packet, track: &mut Track) {
    *track = Track::default();
    let state = match packet.tuple.protocol {
        protocol::TCP => State::SynSent,
        protocol::UDP | protocol::UDPLITE => State::Udp,
        _ if packet.is_icmp() => State::Icmp,
        _ => State::Other,
    };
    track.state = state as u8;
    if matches!(state, State::SynSent) {
        tcp::begin(packet, track);
    }
}

/// The track of a session that is taken up in its middle.
#[inline(always)]
pub fn begin_midstream(packet: &Packet, from_opener: bool, track: &mut Track) {
    begin(packet, track);
    if packet.tuple.protocol == protocol::TCP {
        tcp::begin_midstream(packet, from_opener, track);
    }
}

/// The track of a session whose opener has brought a SYN cookie back.
#[inline(always)]
pub fn begin_by_cookie(packet: &Packet, track: &mut Track) {
    begin_midstream(packet, true, track);
    tcp::begin_by_cookie(track);
}

/// Moves a session on by one packet from its opener or its responder.
#[inline(always)]
pub fn step(track: &mut Track, from_opener: bool, packet: &Packet) -> Step {
    if packet.tuple.protocol == protocol::TCP {
        return tcp::step(track, from_opener, packet);
    }
    // The opener asks and the responder replies. The key alone does not say so: an identifier may be
    // equal to the number that stands for the request's type.
    if packet.is_icmp() && from_opener != matches!(packet.role, Role::Opens) {
        return Step::Foreign;
    }
    if !from_opener {
        track.flags |= REPLIED;
        if matches!(track.state(), State::Udp) {
            track.state = State::UdpStream as u8;
        }
    }
    Step::Live
}

/// The opener's tuple of a session.
#[inline(always)]
pub fn opener_tuple(key: &FlowKey, entry: &Entry, out: &mut Tuple) {
    key.tuple(entry.opener_side(), out);
}
