//! The programs.

pub(crate) mod tc;
