//! The programs, and what those of both hooks share.

pub(crate) mod carry;
pub(crate) mod tc;
pub(crate) mod xdp;

use aya_ebpf::helpers::generated as h;
use firewall_common::flow::Hook;
use firewall_common::pipeline::{At, Scratch, decide};
use firewall_common::verdict::Decision;

use crate::event;
use crate::maps::SCRATCH;
use crate::source::Context;
use crate::tables::MapTables;

/// Judges a packet, and says when. With `DRY` it leaves no trace.
#[inline(always)]
fn judge<C: Context, const DRY: bool>(
    packet: C,
    hook: Hook,
    scratch: &mut Scratch,
) -> (Decision, u64) {
    let came_by = match hook {
        Hook::Ingress => 0,
        Hook::Egress => packet.came_by(),
    };
    let mut at = At {
        // SAFETY: takes nothing, returns a number.
        now: unsafe { h::bpf_ktime_get_boot_ns() },
        interface: packet.interface(),
        came_by,
        packets: 0,
        bytes: 0,
        slot: 0,
        hook,
    };
    let decision = decide(&packet, MapTables::<DRY>::new(packet), &mut at, scratch);
    if !DRY {
        event::tell(&at, &decision, scratch);
    }
    (decision, at.now)
}

/// This CPU's working memory. Nothing else on this CPU uses the same place while a program runs:
/// both hooks run with softirqs off, and a packet that leaves another hook is queued or has left it. XDP and
/// TC share the place of ingress: a frame has left the one before a buffer comes to the other.
#[inline(always)]
fn scratch(place: u32) -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(place)?;
    // SAFETY: the pointer is to a value of that type that lives as long as the program runs, and
    // nobody else has it, see above.
    Some(unsafe { &mut *scratch })
}
