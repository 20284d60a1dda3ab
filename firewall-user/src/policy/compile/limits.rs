//! Limits of rules, put into lines behind the trees.

use firewall_common::policy::limits::{Limits, MAX_LIMITED, PER_NANOSECOND, Per};
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;

use super::{CompileError, Place};
use crate::policy::model::{self, Limit, MaxSessions, Unit};

const SECOND: u128 = 1_000_000_000;

/// Writes the limits of all rules that have any, and tells the rules where.
pub(super) fn write(
    active: &[&Place<'_>],
    rules: &mut [Rule],
    lines: &mut Vec<Line>,
) -> Result<(), CompileError> {
    let mut count = 0;
    for (place, rule) in active.iter().zip(rules) {
        let Some(limits) = place.rule.and_then(|of| limits(of.limit, of.max_sessions)) else {
            continue;
        };
        count += 1;
        rule.limits = lines.len() as u32;
        lines.push(limits.to_line());
    }
    if count > MAX_LIMITED {
        let message = format!("{count} rules have limits; there may be {MAX_LIMITED}");
        let help = "join rules: a limit `per: source` bounds each source of a whole rule";
        return Err(CompileError::new(message, help));
    }
    Ok(())
}

fn limits(limit: Option<Limit>, sessions: Option<MaxSessions>) -> Option<Limits> {
    if limit.is_none() && sessions.is_none() {
        return None;
    }
    let rate = limit.map_or_else(Limits::default, rate);
    Some(Limits {
        sessions: sessions.map_or(0, |most| most.count),
        sessions_per_source: sessions.is_some_and(|most| most.per_source),
        ..rate
    })
}

fn rate(limit: Limit) -> Limits {
    let (count, period) = (u128::from(limit.count), u128::from(limit.period));
    let bytes = limit.unit == Unit::Bits;
    let parts = if bytes {
        8 * u128::from(PER_NANOSECOND)
    } else {
        1
    };
    let nanoseconds = |of: u128| of * period * SECOND / count;
    let word = |found: u128| u64::try_from(found).unwrap_or(u64::MAX).max(1);
    let per = match limit.per {
        model::Per::Rule => Per::RULE,
        model::Per::Prefix { v4, v6 } => Per { v4, v6 },
    };
    Limits {
        cost: word(nanoseconds(parts)),
        tolerance: word(nanoseconds(u128::from(limit.burst))),
        bytes,
        per,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limit(unit: Unit, count: u64, period: u64, burst: u64) -> Limit {
        Limit {
            unit,
            count,
            period,
            burst,
            per: model::Per::SOURCE,
        }
    }

    #[test]
    fn rates_become_nanoseconds() {
        let of = rate(limit(Unit::Each, 10, 60, 5));
        assert_eq!((of.cost, of.tolerance), (6_000_000_000, 30_000_000_000));
        let of = rate(limit(Unit::Bits, 2_000_000, 1, 2_000_000));
        assert_eq!((of.price(1, 250), of.tolerance), (1_000_000, 1_000_000_000));
        assert_eq!(of.per, Per { v4: 32, v6: 64 });
        // Ten gigabits: a byte is less than a nanosecond.
        let of = rate(limit(Unit::Bits, 10_000_000_000, 1, 10_000_000));
        assert_eq!(of.price(1, 1_000_000), 799_804);
    }

    #[test]
    fn a_bucket_gives_what_was_asked_for() {
        let of = rate(limit(Unit::Each, 3, 1, 2));
        let (mut state, mut passed) = (0, 0);
        for tick in 0..10_000_u64 {
            let now = 1_000_000_000_000 + tick * 1_000_000;
            let price = of.price(1, 0);
            if let Some(next) = firewall_common::limit::pay(state, now, price, of.tolerance) {
                (state, passed) = (next, passed + 1);
            }
        }
        // Two at once, then three a second for ten seconds.
        assert!((30..=32).contains(&passed), "{passed}");
    }
}
