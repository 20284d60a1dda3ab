#![no_main]
//! Needs nothing but `firewall-common`.

#[path = "../src/parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parsers::read_all(bytes);
});
