//! Ringwall's own commands.
mod toolchain;
fn main() {}
