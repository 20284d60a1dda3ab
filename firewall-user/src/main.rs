//! `ringwall`: the agent and the command line.
fn main() {}
