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
mod sets;
mod steady;
mod traffic;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use numbers::Line;
use serde_json::json;

/// What is measured.
pub(crate) struct Plan {
    /// Pairs of samples.
    pub(crate) rounds: usize,
    /// Small sets only.
    pub(crate) quick: bool,
    /// A directory with more rule sets of the field.
    pub(crate) sets: Option<PathBuf>,
    only: Vec<u32>,
    out: PathBuf,
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
            "--quick" => (plan.quick, plan.rounds) = (true, 3),
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
    for (number, title, row) in rows {
        println!("{number}. {title}");
        let begin = std::time::Instant::now();
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
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?
        .trim()
        .to_owned();
    let date = jiff::Zoned::now().date();
    std::fs::create_dir_all(&plan.out)?;
    let path = plan.out.join(format!("{date}-{kernel}.json"));
    let text = serde_json::to_string_pretty(
        &json!({"date": date.to_string(), "kernel": kernel, "rows": record}),
    )?;
    std::fs::write(&path, text + "\n")?;
    println!("goals");
    goals.iter().for_each(|goal| println!("{goal}"));
    println!("kept in {}", path.display());
    Ok(())
}
