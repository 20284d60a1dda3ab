//! The tables that a policy is put in force by, and their stand-in for tests and `explain`.

pub mod memory;
