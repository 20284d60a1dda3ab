//! Live sessions as rows, and the filter that picks some of them.

pub mod filter;
mod row;

pub use row::{Names, Row, Traffic, Zones, address, direction, row};
