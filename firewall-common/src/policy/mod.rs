//! The ordered list in its compiled form, and how it is searched.

pub mod lookup;
pub mod rule;
