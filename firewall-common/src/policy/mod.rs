//! The ordered list in its compiled form, and how it is searched.

pub mod dynamic;
pub mod limits;
pub mod line;
pub mod lookup;
pub mod rule;
pub mod walk;
