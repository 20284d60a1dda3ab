//! Every frame of the fuzzer's corpus through the parsers: what they reach is what fuzzing reached.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

#[path = "../../tests/fuzz/src/parsers.rs"]
mod parsers;

use std::path::Path;

use parsers::Count;

/// Every input of these directories below `tests/fuzz`, as far as they are there.
fn replay(directories: &[&str]) -> Count {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
    let mut all = Count::default();
    for directory in directories {
        let Ok(files) = std::fs::read_dir(home.join(directory)) else {
            continue;
        };
        for file in files {
            let path = file.expect("a file").path();
            println!("{}", path.display());
            let count = parsers::read_all(&std::fs::read(&path).expect("it can be read"));
            all.read += count.read;
            all.refused += count.refused;
        }
    }
    all
}

#[test]
fn every_frame_of_the_corpus_is_read_or_refused() {
    let count = replay(&[
        "corpus/packets",
        "corpus/parsers",
        "crashes/packets",
        "crashes/parsers",
    ]);
    assert!(count.read > 50 && count.refused > 50, "{count:?}");
}
