//! Types that cross into BPF maps.

use crate::addr::Addr;
use crate::config::{
    Active, Count, Generation, InterfaceEntry, InterfaceKey, LocalEntry, Name, PolicyInfo,
    RuleCount, Settings, VlanKey,
};
use crate::event::EventCount;
use crate::event::layout::{Header, OfSession, Refused};
use crate::flow::{FlowKey, FragmentKey};
use crate::policy::dynamic::MemberKey;
use crate::policy::limits::LimitKey;
use crate::policy::line::Line;
use crate::policy::rule::Rule;
use crate::session::room::Opening;
use crate::session::{Carry, Entry};
use crate::watch::{KernelDrop, Offsets, SocketCall};
use crate::way_back::Ways;

macro_rules! pod {
    ($($t:ty),* $(,)?) => { $(
        // SAFETY: `repr(C)`, integers only, every byte of padding is a named zeroed field, and any bit
        // pattern is a valid value.
        unsafe impl aya::Pod for $t {}
    )* };
}

pod!(
    Active,
    Addr,
    Count,
    Generation,
    InterfaceEntry,
    InterfaceKey,
    Line,
    MemberKey,
    VlanKey,
    LocalEntry,
    Name,
    PolicyInfo,
    RuleCount,
    Settings,
    FlowKey,
    FragmentKey,
    Rule,
    Entry,
    Carry,
    Opening,
    LimitKey,
    EventCount,
    Header,
    OfSession,
    Refused,
    KernelDrop,
    Offsets,
    SocketCall,
    Ways,
);

/// The value that some bytes begin with; `None` where they are too few.
pub fn read<T: aya::Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are that many bytes, the read asks for no alignment, and any bytes are a value of a `Pod`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a value.
#[cfg(test)]
pub(crate) fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: a `Pod` has no padding that was not written, and lives as long as the slice.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}
