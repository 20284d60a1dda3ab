//! Types that cross into BPF maps.

use crate::addr::Addr;
use crate::config::{
    Active, Count, Generation, InterfaceEntry, InterfaceKey, LocalEntry, Name, PolicyInfo,
    RuleCount, Settings,
};
use crate::flow::{FlowKey, FragmentKey};
use crate::policy::line::Line;
use crate::policy::rule::Rule;
use crate::session::Entry;

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
    LocalEntry,
    Name,
    PolicyInfo,
    RuleCount,
    Settings,
    FlowKey,
    FragmentKey,
    Rule,
    Entry,
);
