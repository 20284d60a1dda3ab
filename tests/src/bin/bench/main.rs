//! `cargo xtask bench`: what Ringwall costs, row by row; a table for people, and a record for machines.
#![allow(
    clippy::expect_used,
    reason = "a measurement that cannot go on must stop with a message"
)]

mod agent;
mod applies;
mod flood;
mod host;
mod lab;
mod million;
mod numbers;
mod packets;
mod raw;
mod record;
mod sets;
mod steady;
mod traffic;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use numbers::Line;
use serde_json::json;

/// What is measured.
pub(crate) struct Plan {
    /// Pairs of samples.
    rounds: usize,
    /// How long the rounds of a row may take together.
    time: Duration,
    /// Small sets only.
    pub(crate) quick: bool,
    /// A directory with more rule sets of the field.
    pub(crate) sets: Option<PathBuf>,
    only: Vec<u32>,
    /// Where results are kept.
    out: PathBuf,
}

/// Rounds that there are however long they take.
const LEAST: usize = 3;

impl Plan {
    /// The rounds of one of so many loops that share a row's time. A slow machine makes fewer of them, so that the
    /// whole ends; how many there were is told beside each median.
    pub(crate) fn rounds(&self, loops: u32) -> impl Iterator<Item = usize> + use<> {
        let (begin, time) = (Instant::now(), self.time / loops);
        (0..self.rounds).take_while(move |round| *round < LEAST || begin.elapsed() < time)
    }
}

type Row = fn(&Plan) -> Result<Vec<Line>>;

const ROWS: [(u32, &str, Row); 6] = [
    (
        1,
        "a packet in the loaded program, net of the empty one",
        packets::row,
    ),
    (2, "a flood at a denied port, receiving side", flood::row),
    (3, "traffic that is allowed", traffic::row),
    (4, "rule sets of the field", sets::row),
    (5, "apply", applies::row),
    (6, "the agent", agent::row),
];

fn main() -> ExitCode {
    match plan().and_then(|plan| measure(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan> {
    let mut plan = Plan {
        rounds: 15,
        time: Duration::from_secs(600),
        quick: false,
        sets: None,
        only: Vec::new(),
        out: PathBuf::from("bench/runs"),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} takes a value"))
        };
        match word.as_str() {
            "--quick" => {
                (plan.quick, plan.rounds, plan.time) = (true, 5, Duration::from_secs(45));
            }
            "--rows" => plan.only = rows(value()?)?,
            "--sets" => plan.sets = Some(value()?.into()),
            "--out" => plan.out = value()?.into(),
            other => bail!(
                "{other}: usage: bench [--rows 1,3] [--quick] [--sets DIRECTORY] [--out DIRECTORY]"
            ),
        }
    }
    Ok(plan)
}

fn rows(text: String) -> Result<Vec<u32>> {
    text.split(',').map(|row| Ok(row.trim().parse()?)).collect()
}

fn measure(plan: &Plan) -> Result<()> {
    ensure!(
        ringwall_tests::skip::is_root(),
        "making namespaces needs root"
    );
    let rows = ROWS
        .iter()
        .filter(|(number, ..)| plan.only.is_empty() || plan.only.contains(number));
    let (mut record, mut goals) = (Vec::new(), Vec::new());
    let before = record::around();
    for (number, title, row) in rows {
        println!("{number}. {title}");
        let begin = Instant::now();
        let lines = row(plan).unwrap_or_else(|error| {
            vec![Line::missing(format!("row {number}"), format!("{error:#}"))]
        });
        lines.iter().for_each(|line| println!("{}", line.text()));
        println!("  ({:.0} s)", begin.elapsed().as_secs_f64());
        goals.extend(lines.iter().filter_map(Line::outcome));
        let lines: Vec<_> = lines.iter().map(Line::json).collect();
        record.push(json!({"row": number, "title": title, "lines": lines}));
    }
    ensure!(!record.is_empty(), "there is no such row");
    let path = record::keep(plan, record, before)?;
    println!("goals");
    goals.iter().for_each(|goal| println!("{goal}"));
    println!("kept in {}", path.display());
    Ok(())
}
