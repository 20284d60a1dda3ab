//! A rule as the kernel sees it: what it does, once an entry of a leaf says that it matches.

/// What a rule does.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Pass.
    Allow = 0,
    /// Drop.
    Deny = 1,
    /// Drop and tell.
    Reject = 2,
}

impl Action {
    /// From its number; what is unknown denies.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Allow,
            2 => Self::Reject,
            _ => Self::Deny,
        }
    }
}

/// Set in [`Rule::flags`]: opens no sessions.
pub const STATELESS: u8 = 1;
/// Set in [`Rule::flags`]: `mode: monitor`; counted, never decides.
pub const MONITOR: u8 = 2;
/// Set in [`Rule::flags`]: a policy's `default`.
pub const DEFAULT: u8 = 4;
/// Set in [`Rule::flags`]: `on_change: keep`.
pub const KEEP: u8 = 8;
/// Set in [`Rule::flags`]: `on_change: reset`.
pub const RESET: u8 = 16;

/// What a rule's flags say of its sessions when something changes: [`crate::session::OnChange`] by number.
#[inline(always)]
#[must_use]
pub const fn on_change(flags: u8) -> u8 {
    flags >> 3 & 3
}

/// Set in [`Rule::flags`]: `replies: any`.
pub const REPLIES: u8 = 64;

/// A rule of the ordered list.
#[repr(C)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// Nanoseconds since boot when it stops matching; 0: never.
    pub expires: u64,
    /// Its counter, which is also its number in sessions.
    pub counter: u32,
    /// [`Action`] by number.
    pub action: u8,
    /// [`STATELESS`] and the like.
    pub flags: u8,
    /// Zero.
    pub pad: u16,
    /// `log`: one record in so many, 1 for all; 0: the rule says nothing of it.
    pub log: u32,
    /// Its place in the ordered list: of two rules that match, the one with the lower place decides.
    pub order: u32,
    /// Among the lines of the trees: its [`super::limits::Limits`]; 0: none.
    pub limits: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Rule>() == 32);
const _: () = assert!(on_change(KEEP) == 1 && on_change(RESET) == 2);
