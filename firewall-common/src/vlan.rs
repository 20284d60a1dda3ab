//! Tagged frames of VLAN devices: judged there, not on the device that they come by or leave by.

use crate::packet::Packet;
use crate::pipeline::At;
use crate::reason::Reason;
use crate::tables::Tables;
use crate::verdict::Decision;

/// A frame for an existing VLAN device passes here, whatever is in it, and is counted apart. Arriving, the kernel
/// hands it up to that device behind this hook; leaving, it crossed that device's hook before.
///
/// A device that has gone since the table was written takes no frame, and the kernel then delivers the frame to
/// nobody: a tag that names a VLAN without a device makes it one for another host.
#[inline(always)]
pub(crate) fn handed_up<T: Tables>(tables: T, at: &At, packet: &Packet) -> Option<Decision> {
    let [outermost, behind] = packet.tags;
    if outermost == 0 {
        return None;
    }
    let taken = |tag: u32| tag != 0 && tables.vlan(at.interface, tag);
    if taken(outermost) || taken(behind) {
        return Some(Decision::plain(Reason::HandedUp));
    }
    None
}
