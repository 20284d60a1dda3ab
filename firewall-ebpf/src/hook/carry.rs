//! What a session has come to in earlier tables is added to it in these. Only ever run by `BPF_PROG_TEST_RUN`,
//! when tables take over from others: user space cannot add to counts that packets add to at the same time.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use core::ptr::addr_of_mut;
use firewall_common::flow::FlowKey;
use firewall_common::session::CARRY_RELEASE;

use crate::maps::{CARRY, HALF_OPEN, SESSIONS};
use crate::{atomics, limits};

/// 1 if the session was there.
#[classifier]
pub fn ringwall_carry(_ctx: TcContext) -> i32 {
    let Some(carry) = CARRY.get(0) else {
        return 0;
    };
    let key: &FlowKey = &carry.key;
    if carry.what == CARRY_RELEASE {
        limits::release(key, &carry.entry);
        return 1;
    }
    let found = SESSIONS.get_ptr_mut(key);
    let Some(entry) = found.or_else(|| HALF_OPEN.get_ptr_mut(key)) else {
        return 0;
    };
    // SAFETY: the pointer is to an entry of a map, for as long as the program runs; its counts are aligned to
    // eight bytes. A packet of the session that is stepped at the same moment is to this what it is to
    // another packet, see [`firewall_common::session::Track`].
    unsafe {
        carry.onto(&mut (*entry).track, &mut (*entry).last_seen);
        let [opener, responder] = &carry.entry.counts;
        atomics::add(addr_of_mut!((*entry).counts[0].packets), opener.packets);
        atomics::add(addr_of_mut!((*entry).counts[0].bytes), opener.bytes);
        atomics::add(addr_of_mut!((*entry).counts[1].packets), responder.packets);
        atomics::add(addr_of_mut!((*entry).counts[1].bytes), responder.bytes);
    }
    1
}
