//! Types that cross into BPF maps.

use crate::addr::Addr;
use crate::config::{
    Active, AddressEntry, Count, Generation, InterfaceEntry, InterfaceKey, LocalEntry, Name,
    PolicyInfo, RuleCount, Settings, Vector,
};
use crate::flow::{FlowKey, FragmentKey};
use crate::policy::rule::Rule;
use crate::session::{Carry, Entry};

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
    AddressEntry,
    Count,
    Generation,
    InterfaceEntry,
    InterfaceKey,
    LocalEntry,
    Name,
    PolicyInfo,
    RuleCount,
    Settings,
    Vector,
    FlowKey,
    FragmentKey,
    Rule,
    Entry,
    Carry,
);
