//! `cargo xtask torture`: every row of [`ringwall_tests::torture`], at length, and the table of what was seen.
//! Exit status 0 only if every figure is held.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use firewall_user::agent::config::parse_duration;
use ringwall_tests::torture::{Effort, Figure, ROWS, Row, SOAK, table};
use serde_json::{Value, json};

struct Plan {
    effort: Effort,
    only: Vec<String>,
    json: bool,
}

fn main() -> ExitCode {
    match plan().and_then(|plan| torture(&plan)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan> {
    let mut plan = Plan {
        effort: Effort {
            long: true,
            seed: 1,
            seeds: 5,
            soak: None,
        },
        only: Vec::new(),
        json: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} takes a value"))
        };
        match word.as_str() {
            "--short" => plan.effort.long = false,
            "--seed" => plan.effort.seed = value()?.parse()?,
            "--seeds" => plan.effort.seeds = value()?.parse()?,
            "--only" => plan.only.push(value()?),
            "--soak" => {
                let time = value()?;
                let read = parse_duration(&time);
                plan.effort.soak = Some(read.with_context(|| format!("{time} is no time: 1h"))?);
            }
            "--json" => plan.json = true,
            other => bail!(
                "{other}: usage: torture [--only ROW]… [--short] [--seed N] [--seeds N] [--soak TIME] [--json]"
            ),
        }
    }
    if plan.effort.soak.is_some() && plan.only.is_empty() {
        plan.only.push(SOAK.to_owned());
    }
    Ok(plan)
}

/// True if every figure is held.
fn torture(plan: &Plan) -> Result<bool> {
    ensure!(
        ringwall_tests::skip::is_root(),
        "making namespaces needs root"
    );
    let rows = chosen(&plan.only)?;
    let (mut held, mut record) = (true, Vec::new());
    for row in rows {
        eprintln!("{}: {} …", row.name, row.what);
        let begin = Instant::now();
        let figures = (row.run)(&plan.effort).with_context(|| format!("row {}", row.name))?;
        held &= figures.iter().all(|figure| figure.held);
        let seconds = begin.elapsed().as_secs_f64();
        if !plan.json {
            println!("{}: {} ({seconds:.0} s)", row.name, row.what);
            println!("{}\n", table(&figures));
        }
        record.push(of(row, &figures, seconds));
    }
    if plan.json {
        println!("{}", serde_json::to_string_pretty(&record)?);
    }
    Ok(held)
}

fn chosen(only: &[String]) -> Result<Vec<&'static Row>> {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let unknown = only.iter().find(|name| !names.contains(&name.as_str()));
    if let Some(name) = unknown {
        bail!("no row {name}; there are {}", names.join(", "));
    }
    let wanted = |row: &&Row| only.is_empty() || only.iter().any(|name| name == row.name);
    Ok(ROWS.iter().filter(wanted).collect())
}

fn of(row: &Row, figures: &[Figure], seconds: f64) -> Value {
    let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
    json!({"row": row.name, "what": row.what, "seconds": seconds, "figures": figures})
}
