//! Every row of the torture table, in its short form: a test for each.

use libtest_mimic::{Arguments, Failed, Trial};
use ringwall_tests::skip;
use ringwall_tests::torture::{Effort, ROWS, Row, table};

fn main() {
    let arguments = Arguments::from_args();
    let trials = ROWS.iter().map(|row| Trial::test(row.name, || short(row)));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn short(row: &Row) -> Result<(), Failed> {
    if !skip::is_root() {
        skip::report(row.name, "needs root");
        return Ok(());
    }
    let figures = (row.run)(&Effort::SHORT).map_err(|error| format!("{error:#}"))?;
    let text = table(&figures);
    println!("{}\n{text}", row.what);
    if figures.iter().all(|figure| figure.held) {
        return Ok(());
    }
    Err(text.into())
}
