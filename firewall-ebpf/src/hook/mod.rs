//! The programs, and what those of both hooks share.

pub(crate) mod carry;
pub(crate) mod tc;
pub(crate) mod xdp;

use firewall_common::flow::Hook;
use firewall_common::pipeline::{At, decide};
use firewall_common::verdict::Decision;

use crate::event;
use crate::maps::{Room, SCRATCH};
use crate::source::Context;
use crate::tables::MapTables;

/// Judges a packet. With `DRY` it leaves no trace.
#[inline(always)]
fn judge<C: Context, const DRY: bool>(packet: C, hook: Hook, room: &mut Room) -> Decision {
    let came_by = match hook {
        Hook::Ingress => 0,
        Hook::Egress => packet.came_by(),
    };
    room.at = At {
        now: room.clock.now(),
        interface: packet.interface(),
        came_by,
        packets: 0,
        bytes: 0,
        slot: 0,
        hook,
    };
    let Room { at, scratch, .. } = room;
    let decision = decide(&packet, MapTables::<DRY>::new(packet), at, scratch);
    if !DRY {
        event::tell(at, &decision, scratch);
    }
    decision
}

/// This CPU's working memory. Nothing else on this CPU uses the same place while a program runs:
/// both hooks run with softirqs off, and a packet that leaves another hook is queued or has left it. XDP and
/// TC share the place of ingress: a frame has left the one before a buffer comes to the other.
#[inline(always)]
fn room(place: u32) -> Option<&'static mut Room> {
    let room = SCRATCH.get_ptr_mut(place)?;
    // SAFETY: the pointer is to a value of that type that lives as long as the program runs, and
    // nobody else has it, see above.
    Some(unsafe { &mut *room })
}
