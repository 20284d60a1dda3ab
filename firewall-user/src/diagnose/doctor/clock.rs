//! The clock: rules expire by it, and records are dated by it.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Look};
use crate::dataplane::clock::synchronised;

/// A clock may be set back by so much without anybody noticing.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let status = look.agent.as_ref().ok();
    let applied = status
        .and_then(|s| s.policy.as_ref())
        .map(|p| p.applied.as_str());
    vec![set(synchronised()), order(Timestamp::now(), applied)]
}

fn set(synchronised: std::io::Result<bool>) -> Finding {
    match synchronised {
        Ok(true) => Finding::ok("clock", "the kernel says that it is synchronised"),
        Ok(false) => Finding::warn(
            "clock",
            "the kernel says that it is not synchronised: rules that expire go by it",
            "run a time service (systemd-timesyncd, chrony), and let it reach its servers through the policy",
        ),
        Err(error) => Finding::skipped("clock", error.to_string(), "allow adjtimex"),
    }
}

fn order(now: Timestamp, applied: Option<&str>) -> Finding {
    let applied = applied.and_then(|text| text.parse::<Timestamp>().ok());
    match applied {
        Some(applied) if now + SLACK < applied => Finding::fail(
            "clock",
            format!(
                "it is {now:.0} by the clock, before the policy was put in force ({applied:.0})"
            ),
            "set the clock: dates of rules are judged by it",
        ),
        _ => Finding::ok("clock", format!("it is {now:.0}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_behind_the_policy_is_wrong() {
        let now: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(order(now, Some("2027-01-31T12:30:00Z")).state, State::Fail);
        assert_eq!(order(now, Some("2027-01-31T11:30:00Z")).state, State::Ok);
        assert_eq!(order(now, None).state, State::Ok);
        assert_eq!(set(Ok(false)).state, State::Warn);
    }
}
