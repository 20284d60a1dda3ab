//! The way down a tree of lines.

use crate::policy::line::{EMPTY, Fields, LEAF, Line, MAX_LINES};

/// From a root to the leaf for a packet's fields. Bounded: what is deeper, or leads nowhere, is an empty leaf;
/// the compiler makes neither.
#[inline(always)]
pub fn walk<L: core::ops::Deref<Target = Line>>(
    line: impl Fn(u32) -> Option<L>,
    fields: &Fields,
    base: u32,
    root: u32,
) -> u32 {
    let mut at = root;
    for _ in 0..MAX_LINES {
        if at & LEAF != 0 {
            return at;
        }
        let Some(node) = line(at) else {
            return EMPTY;
        };
        at = node.next(fields, base);
    }
    if at & LEAF != 0 { at } else { EMPTY }
}
