//! The dead man's switch: a policy that goes back by itself unless it is confirmed in time, also when no
//! agent is alive. The packet path compares a deadline, in boot time, and decides by another slot once it
//! has passed.
//!
//! Who writes: the one agent of a namespace, or the command line in its absence; never two at a time. Who
//! reads: packets, at any moment, each field of [`Active`] by itself, the deadline before the slots. No write
//! below can show a reader anything but the policy before or the one after, since each does one of
//! two things:
//!
//! - it changes one slot number, of which only the lowest byte differs, so nobody sees half of it;
//! - it changes the deadline while both slots are the same, so that it does not matter whether it counts.
//!
//! Between any two of them the agent may die: what stands then is the policy before, or the one after with
//! its deadline running.

use std::time::Duration;

use firewall_common::config::Active;

use super::clock::boot_now;
use super::error::{Error, Result};
use super::maps::{Maps, ONLY};
use super::swap::Info;

/// A policy that waits to be confirmed, or that was not in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Which policy waits.
    pub info: Info,
    /// Until when, in nanoseconds since boot.
    pub deadline: u64,
    /// The time is over: packets go by what was in force before.
    pub passed: bool,
}

/// What waits; `None` where what is in force waits for nothing.
pub(super) fn pending(maps: &Maps, now: u64) -> Result<Option<Pending>> {
    let active = maps.active.need(&ONLY)?;
    if active.deadline == 0 || active.slot == active.fallback {
        return Ok(None);
    }
    let info = maps.policy_info.need(&active.slot)?;
    Ok(Some(Pending {
        info: Info::of(&info),
        deadline: active.deadline,
        passed: active.deciding(now) != active.slot,
    }))
}

/// Puts a filled slot in force; with `within`, for so long unless it is confirmed. One that waits already
/// keeps its deadline: the new slot is the same policy with other members.
pub(super) fn flip(maps: &Maps, slot: u32, within: Option<Duration>) -> Result<()> {
    let active = maps.active.need(&ONLY)?;
    let Some(within) = within else {
        return set(maps, Active { slot, ..active });
    };
    if active.deadline != 0 {
        return Err(Error::Pending);
    }
    let fallback = active.slot;
    set(maps, Active { fallback, ..active })?;
    let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    let deadline = boot_now().saturating_add(within);
    let armed = Active {
        fallback,
        deadline,
        ..active
    };
    set(maps, armed)?;
    set(maps, Active { slot, ..armed })
}

/// The slot that a deadline leads to is another one from now on, which holds the same policy.
pub(super) fn move_fallback(maps: &Maps, fallback: u32) -> Result<()> {
    let active = maps.active.need(&ONLY)?;
    set(maps, Active { fallback, ..active })
}

/// What waits stays for good. Says whether anything waited and was in time.
///
/// The one byte that decides is the fallback's: from then on the deadline leads to the slot it would have
/// taken away. Where it passes in that very instant, some packets are judged by the policy before.
pub(super) fn confirm(maps: &Maps, now: u64) -> Result<bool> {
    if pending(maps, now)?.is_none_or(|pending| pending.passed) {
        return Ok(false);
    }
    let active = maps.active.need(&ONLY)?;
    let fallback = active.slot;
    disarm(maps, Active { fallback, ..active })?;
    Ok(true)
}

/// What waits goes, whether its time is over or not.
pub(super) fn revert(maps: &Maps) -> Result<()> {
    let active = maps.active.need(&ONLY)?;
    if active.deadline == 0 {
        return Ok(());
    }
    let slot = active.fallback;
    disarm(maps, Active { slot, ..active })
}

/// Before a slot is filled: a deadline that has passed is written off, so that its slot is spare, and one
/// that an agent left between two writes goes. The state of the switch after that.
pub(super) fn tidy(maps: &Maps) -> Result<Active> {
    let active = maps.active.need(&ONLY)?;
    if active.slot == active.fallback && active.deadline != 0 {
        disarm(maps, active)?;
    } else if active.deciding(boot_now()) != active.slot {
        revert(maps)?;
    }
    maps.active.need(&ONLY)
}

/// Both slots are the same in `settled`, so the deadline may go after that.
fn disarm(maps: &Maps, settled: Active) -> Result<()> {
    set(maps, settled)?;
    let deadline = 0;
    set(
        maps,
        Active {
            deadline,
            ..settled
        },
    )
}

/// Writes, and reads back.
fn set(maps: &Maps, active: Active) -> Result<()> {
    maps.settling.changed();
    maps.active.set(&ONLY, &active)?;
    if maps.active.need(&ONLY)? != active {
        return Err(Error::Differs("ACTIVE"));
    }
    Ok(())
}
