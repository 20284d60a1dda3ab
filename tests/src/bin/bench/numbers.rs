//! Samples, and what is told of them.

use serde_json::{Value, json};

/// Samples of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The value that so many of a hundred samples are below.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted
            .get(last * percent / 100)
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The median.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// For the record.
    pub(crate) fn json(&self) -> Value {
        json!({
            "median": self.median(),
            "p10": self.percentile(10),
            "p90": self.percentile(90),
            "samples": self.0.len(),
        })
    }
}

/// What a row says of one thing.
pub(crate) struct Line {
    /// What was measured.
    pub(crate) what: String,
    /// Samples and their unit.
    pub(crate) samples: Samples,
    /// The unit.
    pub(crate) unit: &'static str,
    /// What the median must not be above, where there is a goal in absolute terms.
    pub(crate) goal: Option<f64>,
}

impl Line {
    /// A line without a goal.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        Self {
            what: what.into(),
            samples,
            unit,
            goal: None,
        }
    }

    /// With a goal.
    pub(crate) fn goal(self, most: f64) -> Self {
        Self {
            goal: Some(most),
            ..self
        }
    }

    /// One value that was measured once or is exact.
    pub(crate) fn exact(what: impl Into<String>, unit: &'static str, value: f64) -> Self {
        let mut samples = Samples::default();
        samples.push(value);
        Self::new(what, unit, samples)
    }

    /// As people read it.
    pub(crate) fn text(&self) -> String {
        let of = &self.samples;
        let met = match self.goal {
            Some(goal) if of.median() <= goal => format!("  met (at most {goal})"),
            Some(goal) => format!("  NOT MET (at most {goal})"),
            None => String::new(),
        };
        let spread = if of.0.len() > 1 {
            format!(
                "  [{:.1} to {:.1}, {} samples]",
                of.percentile(10),
                of.percentile(90),
                of.0.len()
            )
        } else {
            String::new()
        };
        format!(
            "  {:<58} {:>10.2} {:<4}{spread}{met}",
            self.what,
            of.median(),
            self.unit
        )
    }

    /// As machines read it.
    pub(crate) fn json(&self) -> Value {
        let met = self.goal.map(|goal| self.samples.median() <= goal);
        json!({
            "what": self.what,
            "unit": self.unit,
            "value": self.samples.json(),
            "goal": self.goal,
            "met": met,
        })
    }
}
