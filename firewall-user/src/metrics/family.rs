//! Families of samples as plain data, and the ceiling on how many there may be.

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// A sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A count.
    Whole(u64),
    /// A time or a share.
    Real(f64),
}

/// A sample: the values of the family's labels, and what was counted.
pub(super) type Sample = (Vec<String>, Value);

/// Samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    /// Its name; of a counter, without `_total`.
    pub(super) name: &'static str,
    /// What it says, for people.
    pub(super) help: &'static str,
    /// What it counts.
    pub(super) kind: Kind,
    /// Label names.
    pub(super) labels: &'static [&'static str],
    /// The samples.
    pub(super) samples: Vec<Sample>,
}

impl Family {
    /// A counter.
    pub(super) const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        samples: Vec<Sample>,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Counter,
            labels,
            samples,
        }
    }

    /// A gauge.
    pub(super) fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        samples: Vec<Sample>,
    ) -> Self {
        Self {
            kind: Kind::Gauge,
            ..Self::counter(name, help, labels, samples)
        }
    }

    /// A gauge without labels.
    pub(super) fn single(name: &'static str, help: &'static str, value: Value) -> Self {
        Self::gauge(name, help, &[], vec![(Vec::new(), value)])
    }

    /// Keeps as many samples as there is room for; the rest goes under `other`. Counts add up there; of
    /// times nothing is kept. Says how many series the family takes.
    fn limit(&mut self, room: usize) -> usize {
        if self.samples.len() > room {
            let rest = self.samples.split_off(room.saturating_sub(1));
            let sum = rest.iter().map(|(_, value)| match value {
                Value::Whole(count) => *count,
                Value::Real(_) => 0,
            });
            let whole = rest.iter().all(|(_, v)| matches!(v, Value::Whole(_)));
            if whole && !self.labels.is_empty() && room > 0 {
                let other = self.labels.iter().map(|_| "other".to_owned()).collect();
                self.samples.push((other, Value::Whole(sum.sum())));
            }
        }
        self.samples.len()
    }
}

/// Holds all families together to a number of series; the first come first.
pub(super) fn limit(families: &mut [Family], max_series: usize) {
    let mut room = max_series;
    for family in families {
        room = room.saturating_sub(family.limit(room));
    }
}
