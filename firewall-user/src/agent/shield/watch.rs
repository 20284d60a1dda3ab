//! When one interface goes to XDP because of a flood, and when it goes back. Pure.
//!
//! It goes at the second look in a row that finds `above` refused packets a second or more, and back when less than `below`
//! were found for as long as `quiet`. Between the two it stays where it is, so that it does not go to and fro.

use crate::agent::config::ShieldConfig;

/// Looks in a row that must find a flood.
const LOOKS: u32 = 2;

/// Where an interface is in this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Judged at TC; there is no flood.
    #[default]
    Down,
    /// Judged at XDP because of a flood.
    Up {
        /// Since when, in nanoseconds since boot.
        since: u64,
        /// Why, for people.
        why: String,
    },
    /// There is a flood, and XDP was refused. It is not tried again while it lasts.
    Barred {
        /// Why.
        why: String,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To XDP.
    Raise,
    /// Back to TC.
    Lower,
}

/// An interface that is watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    /// Where it is.
    pub(crate) state: State,
    /// Packets refused a second, at the last look.
    pub(crate) rate: u64,
    /// What was counted at the last look, and when that was.
    before: Option<(u64, u64)>,
    high: u32,
    low_since: Option<u64>,
}

impl Watch {
    /// One that an agent before this one has taken to XDP at `since`.
    pub(crate) fn recalled(since: u64) -> Self {
        let why = "a flood that an earlier agent found".to_owned();
        Self {
            state: State::Up { since, why },
            ..Self::default()
        }
    }

    /// Takes a count of refused packets at `now`, in nanoseconds since boot; what is to be done.
    pub(crate) fn look(&mut self, count: u64, now: u64, config: &ShieldConfig) -> Option<Turn> {
        let (before, then) = self.before.replace((count, now))?;
        let nanoseconds = u128::from(now.checked_sub(then).filter(|passed| *passed > 0)?);
        let refused = u128::from(count.saturating_sub(before));
        self.rate = u64::try_from(refused * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX);
        match self.state {
            State::Down => self.is_high(config).then_some(Turn::Raise),
            State::Up { .. } => self.is_over(now, config).then_some(Turn::Lower),
            State::Barred { .. } => {
                if self.is_over(now, config) {
                    self.become_state(State::Down);
                }
                None
            }
        }
    }

    /// It is somewhere else now.
    pub(crate) fn become_state(&mut self, state: State) {
        self.state = state;
        (self.high, self.low_since) = (0, None);
    }

    fn is_high(&mut self, config: &ShieldConfig) -> bool {
        self.high = if self.rate >= u64::from(config.above) {
            self.high + 1
        } else {
            0
        };
        self.high >= LOOKS
    }

    fn is_over(&mut self, now: u64, config: &ShieldConfig) -> bool {
        if self.rate >= u64::from(config.below) {
            self.low_since = None;
            return false;
        }
        let since = *self.low_since.get_or_insert(now);
        u128::from(now - since) >= config.quiet.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONFIG: ShieldConfig = ShieldConfig {
        enabled: true,
        above: 1000,
        below: 100,
        quiet: Duration::from_secs(3),
    };

    /// Looks once a second at so many packets each; what was done, by the second.
    fn run(watch: &mut Watch, rates: &[u64]) -> Vec<(usize, Turn)> {
        let (mut count, mut done) = (0, Vec::new());
        let start = watch.before.map_or(1 << 40, |(_, then)| then);
        count += watch.before.map_or(0, |(count, _)| count);
        for (second, rate) in rates.iter().enumerate() {
            count += rate;
            let now = start + (second as u64 + 1) * 1_000_000_000;
            if let Some(turn) = watch.look(count, now, &CONFIG) {
                watch.become_state(match turn {
                    Turn::Raise => State::Up {
                        since: now,
                        why: String::new(),
                    },
                    Turn::Lower => State::Down,
                });
                done.push((second, turn));
            }
        }
        done
    }

    #[test]
    fn a_flood_is_one_that_lasts_and_it_is_over_when_it_was_quiet_for_long_enough() {
        let mut watch = Watch::default();
        // The first look only begins.
        let flood = [
            9999, 1000, 999, 1000, 1000, 5000, 99, 99, 100, 99, 99, 99, 99,
        ];
        let done = run(&mut watch, &flood);
        assert_eq!(done, [(4, Turn::Raise), (12, Turn::Lower)]);
        assert_eq!(watch.rate, 99);
    }

    #[test]
    fn between_the_two_it_stays_where_it_is() {
        let mut watch = Watch::default();
        assert_eq!(run(&mut watch, &[0, 500, 999, 100, 999, 999]), []);
        assert_eq!(run(&mut watch, &[1000, 1000]), [(1, Turn::Raise)]);
        assert_eq!(run(&mut watch, &[100; 50]), []);
        // To and fro around either threshold.
        assert_eq!(run(&mut watch, &[99, 99, 100, 1000, 99, 99, 999]), []);
        assert_eq!(run(&mut watch, &[0; 4]), [(3, Turn::Lower)]);
        assert_eq!(run(&mut watch, &[1000, 0, 1000, 0, 1000, 0]), []);
    }

    #[test]
    fn who_was_refused_is_not_tried_again_before_the_flood_is_over() {
        let mut watch = Watch::default();
        assert_eq!(run(&mut watch, &[0, 2000, 2000]), [(2, Turn::Raise)]);
        let why = "no room".to_owned();
        watch.become_state(State::Barred { why });
        assert_eq!(run(&mut watch, &[9000, 9000, 0, 0, 9000, 9000]), []);
        assert!(matches!(watch.state, State::Barred { .. }));
        assert_eq!(run(&mut watch, &[0; 4]), []);
        assert_eq!(watch.state, State::Down);
        assert_eq!(run(&mut watch, &[9000, 9000]), [(1, Turn::Raise)]);
    }

    #[test]
    fn one_that_is_taken_up_goes_back_after_its_quiet_time() {
        let mut watch = Watch::recalled(7);
        assert_eq!(run(&mut watch, &[5, 5, 5, 5, 5]), [(4, Turn::Lower)]);
    }

    #[test]
    fn what_is_counted_by_the_clock_not_by_looks() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(0, 1, &CONFIG), None);
        // Ten seconds late.
        assert_eq!(watch.look(9000, 10_000_000_001, &CONFIG), None);
        assert_eq!(watch.rate, 900);
        // A clock that stands, and a count that was begun anew.
        assert_eq!(watch.look(9001, 10_000_000_001, &CONFIG), None);
        assert_eq!(watch.look(0, 11_000_000_001, &CONFIG), None);
        assert_eq!(watch.rate, 0);
    }
}
