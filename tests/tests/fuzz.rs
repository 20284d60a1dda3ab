//! The corpus of every fuzz target, and every input that ever made one panic, through the same functions.
//! `RINGWALL_FUZZ_CORPUS` names one more directory, with a directory for each target.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use ringwall_tests::fuzz::{TARGETS, Target};

fn main() {
    if std::env::var_os("RINGWALL_BLESS").is_some() {
        seeds();
    }
    let arguments = Arguments::from_args();
    let trials = TARGETS
        .iter()
        .map(|target| Trial::test(target.name, || replay(target)));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn replay(target: &Target) -> Result<(), Failed> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut places = vec![own.join("corpus"), own.join("crashes")];
    places.extend(std::env::var_os("RINGWALL_FUZZ_CORPUS").map(PathBuf::from));
    let mut count = 0;
    for place in places {
        let Ok(files) = std::fs::read_dir(place.join(target.name)) else {
            continue;
        };
        for file in files {
            let path = file?.path();
            let bytes = std::fs::read(&path)?;
            println!("{}", path.display());
            (target.run)(&bytes);
            count += 1;
        }
    }
    if count == 0 {
        return Err(format!("no input for {}", target.name).into());
    }
    println!("{count} inputs");
    Ok(())
}

/// Writes the inputs to begin with.
fn seeds() {
    for (target, name, bytes) in ringwall_tests::fuzz::seeds() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        std::fs::create_dir_all(&place).expect("the corpus");
        std::fs::write(place.join(name), bytes).expect("an input");
    }
}
