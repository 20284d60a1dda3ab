//! The programs.

mod tc;
