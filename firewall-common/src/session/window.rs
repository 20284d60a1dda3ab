//! What is known of one side's sequence space, and which numbers are believed by it.
//!
//! The bounds are those of the field ("Real Stateful TCP Packet Filtering in IP Filter", Guido van Rooij;
//! `tcp_in_window` of net/netfilter/nf_conntrack_proto_tcp.c), told by what a side itself has shown:
//!
//! ```text
//!   sequence          end - reach(other)  <=  one past the last byte  <=  end + reach(other)
//!   acknowledgement   other.end - max(reach, 66000)  <=  it  <=  other.end
//! ```
//!
//! `end` is one past the highest number sent, `reach` the greatest window offered. Nobody can have more in flight
//! than the other side has offered, so a correct host keeps within them, whatever is lost, sent again or
//! out of order. A blind sender must guess both numbers at once. Should one hit, then `end` is ahead of the truth: so what
//! is not behind the other side's last acknowledgement is believed also further below `end`, and the connection goes on.

use crate::packet::Packet;
use crate::parse::tcp::{ACK, FIN, SYN};

/// What is known of one side's sequence space (RFC 9293 section 3.3.1), in host byte order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// One past the highest sequence number sent.
    pub end: u32,
    /// The highest acknowledgement sent; with [`INITIAL`], the side's own first sequence number.
    pub acknowledged: u32,
    /// The greatest window offered, in bytes.
    pub max_window: u32,
    /// Its window scale (RFC 7323), where [`SCALED`].
    pub scale: u8,
    /// [`UNKNOWN`] and the like, or 0.
    pub flags: u8,
    /// Zero.
    pub pad: u16,
}

/// Set in [`Window::flags`]: nothing is known of this side yet, since the session began before it was seen.
/// Its first packet says where it stands; until then any number is right.
pub const UNKNOWN: u8 = 1;
/// Set in [`Window::flags`]: it may have sent more than was seen, in a session taken up from its middle or in later
/// fragments. So more may be acknowledged.
pub const VAGUE: u8 = 2;
/// Set in [`Window::flags`]: its SYN has offered window scaling, or was not seen.
pub const SCALED: u8 = 4;
/// Set in [`Window::flags`]: [`Window::acknowledged`] holds its first sequence number.
pub const INITIAL: u8 = 8;

/// The greatest window scale (RFC 7323 section 2.3).
pub const MAX_SCALE: u8 = 14;

/// Acknowledgements this far behind are believed however small the window is: `MAXACKWINCONST` of
/// net/netfilter/nf_conntrack_proto_tcp.c, a little more than a window without scaling.
const OLD_ACKNOWLEDGEMENT: u32 = 66_000;

/// Is `a` later than `b` in sequence space (RFC 9293 section 3.4)? Right for numbers less than 2^31 apart, and no
/// window is greater than 2^30.
#[inline(always)]
pub(crate) const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// The later of two numbers.
#[inline(always)]
const fn later(a: u32, b: u32) -> u32 {
    if after(a, b) { a } else { b }
}

/// One past the last sequence number a packet takes.
#[inline(always)]
pub(crate) const fn end_of(packet: &Packet) -> u32 {
    let phantom = (packet.tcp_flags & SYN != 0) as u32 + (packet.tcp_flags & FIN != 0) as u32;
    packet
        .sequence
        .wrapping_add(packet.payload_length())
        .wrapping_add(phantom)
}

impl Window {
    /// Of a side that was not seen yet: any number is right, and its scale may be the greatest.
    pub const WIDE_OPEN: Self = Self {
        end: 0,
        acknowledged: 0,
        max_window: 0xffff << MAX_SCALE,
        scale: MAX_SCALE,
        flags: UNKNOWN | VAGUE | SCALED,
        pad: 0,
    };

    /// Of a side that has not spoken yet, in a session whose beginning was seen.
    pub const SILENT: Self = Self {
        end: 0,
        acknowledged: 0,
        max_window: 0,
        scale: 0,
        flags: UNKNOWN,
        pad: 0,
    };

    /// Was this side not seen yet?
    #[inline(always)]
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.flags & UNKNOWN != 0
    }

    /// How far the other side may be ahead of what it was seen to send, or behind. At least one, for probes of a
    /// closed window and for keep-alives (RFC 9293 sections 3.8.6.1 and 3.8.4).
    #[inline(always)]
    pub(crate) const fn reach(&self) -> u32 {
        if self.max_window == 0 {
            1
        } else {
            self.max_window
        }
    }

    /// A SYN begins the side's numbers. Its window is never scaled (RFC 7323 section 2.2).
    #[inline(always)]
    pub(super) fn begin(&mut self, packet: &Packet) {
        self.end = end_of(packet);
        self.acknowledged = packet.sequence;
        self.max_window = u32::from(packet.window);
        self.flags = INITIAL;
        self.scale = 0;
        self.offers(packet);
    }

    /// The same SYN again, maybe without its data or its options; the other side may answer either.
    #[inline(always)]
    pub(super) fn begin_again(&mut self, packet: &Packet) {
        self.end = later(end_of(packet), self.end);
        self.raise(u32::from(packet.window));
        self.offers(packet);
    }

    #[inline(always)]
    fn offers(&mut self, packet: &Packet) {
        if let Some(scale) = packet.offered_scale() {
            self.scale = scale;
            self.flags |= SCALED;
        }
    }

    #[inline(always)]
    fn raise(&mut self, window: u32) {
        if window > self.max_window {
            self.max_window = window;
        }
    }

    /// Goes on by a segment that was found in window. Scaling holds where both sides have offered it.
    #[inline(always)]
    pub(super) fn advance(&mut self, packet: &Packet, other: &Self) {
        self.sends(packet, other);
        if packet.tcp_flags & ACK == 0 {
            return;
        }
        if self.flags & INITIAL != 0 || after(packet.acknowledgement, self.acknowledged) {
            self.acknowledged = packet.acknowledgement;
        }
        self.flags &= !INITIAL;
    }

    /// The same without what it acknowledges: before the handshake is complete, see [`INITIAL`].
    #[inline(always)]
    pub(super) fn sends(&mut self, packet: &Packet, other: &Self) {
        let end = end_of(packet);
        if self.is_unknown() {
            self.end = end;
            self.acknowledged = packet.acknowledgement;
            self.flags &= !UNKNOWN;
        } else {
            self.end = later(end, self.end);
        }
        if packet.is_first_fragment() {
            self.flags |= VAGUE;
        }
        let scaled = self.flags & other.flags & SCALED != 0 && packet.tcp_flags & SYN == 0;
        let scale = if scaled { self.scale & 15 } else { 0 };
        self.raise(u32::from(packet.window) << scale);
    }

    /// Takes over what another look at the same side has found. Nothing goes back, so that of two CPUs neither
    /// loses what the other has seen, but for one that reads before and writes after it: then the side's next
    /// segment is ahead of `end`, by less than a window, and believed; see [`acknowledges`] for the other side.
    #[inline(always)]
    pub(super) fn join(&mut self, other: &Self) {
        if other.is_unknown() {
            return;
        }
        if self.is_unknown() {
            *self = *other;
            return;
        }
        let fresh = self.flags & INITIAL != 0;
        if fresh || (other.flags & INITIAL == 0 && after(other.acknowledged, self.acknowledged)) {
            self.acknowledged = other.acknowledged;
        }
        self.flags &= !INITIAL | (other.flags & INITIAL);
        self.flags |= other.flags & VAGUE;
        self.end = later(other.end, self.end);
        self.raise(other.max_window);
    }

    /// Is this where the side's next segment would begin?
    #[inline(always)]
    pub(super) const fn is_next(&self, sequence: u32) -> bool {
        !self.is_unknown() && sequence == self.end
    }

    /// Has this side asked for that number next?
    #[inline(always)]
    pub(super) const fn expects(&self, sequence: u32) -> bool {
        self.flags & (UNKNOWN | INITIAL) == 0 && sequence == self.acknowledged
    }

    /// Has this side acknowledged that number already?
    #[inline(always)]
    pub(super) const fn has(&self, sequence: u32) -> bool {
        self.flags & (UNKNOWN | INITIAL) == 0 && after(self.acknowledged, sequence)
    }

    /// Is a number not behind what this side has acknowledged? One that is half of all numbers away is.
    #[inline(always)]
    const fn waits_for(&self, number: u32) -> bool {
        let ahead = number.wrapping_sub(self.acknowledged);
        self.flags & (UNKNOWN | INITIAL) == 0 && ahead < 1 << 31
    }

    /// May an ICMP error quote a packet of this side with that number (RFC 5927 section 4.1)? It must be in flight;
    /// as late as the last one sent, which may be an empty segment.
    #[inline(always)]
    #[must_use]
    pub const fn may_be_quoted(&self, sequence: u32, other: &Self) -> bool {
        let oldest = self
            .end
            .wrapping_sub(greater(other.reach(), OLD_ACKNOWLEDGEMENT));
        self.is_unknown() || !(after(oldest, sequence) || self.is_ahead(sequence, other))
    }

    /// Is a number ahead of all that this side can have sent?
    #[inline(always)]
    const fn is_ahead(&self, sequence: u32, other: &Self) -> bool {
        let unseen = if self.flags & VAGUE != 0 {
            other.reach()
        } else {
            0
        };
        after(sequence, self.end.wrapping_add(unseen))
    }
}

#[inline(always)]
const fn greater(a: u32, b: u32) -> u32 {
    if a > b { a } else { b }
}

/// Is a segment of `sender` where it can be?
#[inline(always)]
pub(super) fn in_window(sender: &Window, receiver: &Window, packet: &Packet) -> bool {
    sends_within(sender, receiver, packet)
        && (packet.tcp_flags & ACK == 0 || acknowledges(sender, receiver, packet))
}

#[inline(always)]
fn sends_within(sender: &Window, receiver: &Window, packet: &Packet) -> bool {
    if sender.is_unknown() || receiver.is_unknown() {
        return true;
    }
    let (reach, end) = (receiver.reach(), end_of(packet));
    let below = after(sender.end.wrapping_sub(reach), end);
    // A keep-alive ends one byte before.
    !after(end, sender.end.wrapping_add(reach))
        && (!below || receiver.waits_for(end.wrapping_add(1)))
}

/// Is what it acknowledges what the other side has sent, or can have sent?
#[inline(always)]
fn acknowledges(sender: &Window, receiver: &Window, packet: &Packet) -> bool {
    if receiver.is_unknown() {
        return true;
    }
    let ahead = packet.acknowledgement.wrapping_sub(receiver.end);
    if (ahead as i32) > 0 {
        return receiver.flags & VAGUE != 0 && ahead <= sender.reach();
    }
    ahead.wrapping_neg() <= greater(sender.reach(), OLD_ACKNOWLEDGEMENT)
        || sender.waits_for(packet.acknowledgement)
}
