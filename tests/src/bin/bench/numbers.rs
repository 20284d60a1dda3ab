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

    /// The ratios of samples that were taken side by side.
    pub(crate) fn over(&self, under: &Self) -> Self {
        let pairs = self.0.iter().zip(&under.0);
        let mut ratios = Self::default();
        pairs.for_each(|(a, b)| ratios.push(a / b));
        ratios
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

/// What must hold of a median.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::Most(most) => value <= most,
            Self::Least(least) => value >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Most(most) => format!("at most {most}"),
            Self::Least(least) => format!("at least {least}"),
        }
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
    /// What must hold of the median, where there is a goal.
    pub(crate) goal: Option<Goal>,
    /// Why there are no samples: which counts as not met.
    missing: Option<String>,
}

impl Line {
    /// A line without a goal.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        Self {
            what: what.into(),
            samples,
            unit,
            goal: None,
            missing: None,
        }
    }

    /// What could not be measured, and why.
    pub(crate) fn missing(what: impl Into<String>, why: String) -> Self {
        Self {
            missing: Some(why),
            ..Self::new(what, "", Samples::default())
        }
    }

    /// With a goal: the median must not be above.
    pub(crate) fn goal(self, most: f64) -> Self {
        Self {
            goal: Some(Goal::Most(most)),
            ..self
        }
    }

    /// With a goal: the median must not be below.
    pub(crate) fn least(self, least: f64) -> Self {
        Self {
            goal: Some(Goal::Least(least)),
            ..self
        }
    }

    /// One value that was measured once or is exact.
    pub(crate) fn exact(what: impl Into<String>, unit: &'static str, value: f64) -> Self {
        let mut samples = Samples::default();
        samples.push(value);
        Self::new(what, unit, samples)
    }

    /// Whether the goal is met; `None` where there is none.
    pub(crate) fn met(&self) -> Option<bool> {
        if self.missing.is_some() {
            return Some(false);
        }
        self.goal.map(|goal| goal.met(self.samples.median()))
    }

    /// As people read it.
    pub(crate) fn text(&self) -> String {
        if let Some(why) = &self.missing {
            return format!("  {:<62} missing: {why}", self.what);
        }
        let of = &self.samples;
        let spread = if of.0.len() > 1 {
            format!(
                "  [{:.2} to {:.2}, {} samples]",
                of.percentile(10),
                of.percentile(90),
                of.0.len()
            )
        } else {
            String::new()
        };
        format!(
            "  {:<62} {:>10.2} {:<4}{spread}{}",
            self.what,
            of.median(),
            self.unit,
            self.verdict()
        )
    }

    fn verdict(&self) -> String {
        let word = match self.met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => return String::new(),
        };
        let goal = self.goal.map_or_else(String::new, Goal::text);
        format!("  {word} ({goal})")
    }

    /// Its place in the table of goals; nothing where it has none.
    pub(crate) fn outcome(&self) -> Option<String> {
        let met = if self.met()? { "met" } else { "NOT MET" };
        let goal = self.goal.map_or_else(|| "a peer".to_owned(), Goal::text);
        let found = match &self.missing {
            Some(_) => "missing".to_owned(),
            None => format!("{:.2} {}", self.samples.median(), self.unit),
        };
        Some(format!("  {:<70} {goal:>16} {found:>16}  {met}", self.what))
    }

    /// As machines read it.
    pub(crate) fn json(&self) -> Value {
        let (bound, least) = match self.goal {
            Some(Goal::Most(most)) => (Some(most), false),
            Some(Goal::Least(least)) => (Some(least), true),
            None => (None, false),
        };
        json!({
            "what": self.what,
            "unit": self.unit,
            "value": self.samples.json(),
            "goal": bound,
            "goal_is_least": least,
            "missing": self.missing,
            "met": self.met(),
        })
    }
}
