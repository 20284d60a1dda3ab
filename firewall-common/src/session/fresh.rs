//! A SYN inside a session. The host that gets it challenges it (RFC 5961 section 4.2), or it knows of no such connection
//! any more and answers as if it were the first: then both ends have begun anew, and so must what is known of them.

use super::window::{INITIAL, SCALED, Window, end_of};
use crate::packet::Packet;
use crate::parse::tcp::ACK;

/// What is kept of such a SYN. While the session has no answer yet: the number by which its opener resets a segment of
/// an older connection.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fresh {
    /// What acknowledges the SYN; the number of the reset.
    pub end: u32,
    /// The window it offers, in bytes: that of a SYN is never scaled.
    pub window: u16,
    /// [`Packet::scale`].
    pub scale: u8,
    /// 1: there is one.
    pub there: u8,
}

impl Fresh {
    /// Of a SYN.
    #[inline(always)]
    pub(super) const fn of(packet: &Packet) -> Self {
        Self {
            end: end_of(packet),
            window: packet.window,
            scale: packet.scale,
            there: 1,
        }
    }

    /// Of a segment that its addressee resets, with the number that it acknowledges (RFC 9293 section 3.10.7.3).
    #[inline(always)]
    pub(super) const fn challenged(packet: &Packet) -> Self {
        Self {
            end: packet.acknowledgement,
            window: 0,
            scale: 0,
            there: 1,
        }
    }

    /// Is this the number?
    #[inline(always)]
    pub(super) const fn is(&self, number: u32) -> bool {
        self.there != 0 && self.end == number
    }

    /// Does a packet acknowledge it?
    #[inline(always)]
    pub(super) const fn is_answered(&self, packet: &Packet) -> bool {
        packet.tcp_flags & ACK != 0 && self.is(packet.acknowledgement)
    }

    /// The window of its sender, as if it had been the first.
    #[inline(always)]
    pub(super) const fn begins(&self) -> Window {
        Window {
            end: self.end,
            acknowledged: self.end.wrapping_sub(1),
            max_window: self.window as u32,
            scale: self.scale.saturating_sub(1),
            flags: INITIAL | if self.scale == 0 { 0 } else { SCALED },
            pad: 0,
        }
    }
}
