//! The policy's journey: text -> model -> check -> compile; and the naive interpreter it is tested against.

pub mod compiled;
pub mod model;
