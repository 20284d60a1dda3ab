#![no_main]
//! See `tests/src/fuzz`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringwall_tests::fuzz::run("saved", bytes));
