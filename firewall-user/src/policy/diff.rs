//! What changed between two ordered lists, by their rules.

use serde::Serialize;

use super::compiled::Listed;

/// Rules by id that one list has and the other has not, or has otherwise or elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Only in the new list.
    pub added: Vec<String>,
    /// Only in the old list.
    pub removed: Vec<String>,
    /// In both, with other actions or conditions.
    pub changed: Vec<String>,
    /// In both, before or behind rules where it was not.
    pub moved: Vec<String>,
}

/// Compares two lists.
#[must_use]
pub fn summary(_old: &[Listed], _new: &[Listed]) -> Summary {
    Summary::default()
}
