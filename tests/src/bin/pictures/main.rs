//! What the dashboards' queries find: real agents with real traffic, scraped by a real Prometheus for a while,
//! then every panel's data written into a page that draws it. `cargo xtask pictures` runs this and lets a
//! browser without a screen take the pictures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a picture that cannot be made must stop with a message"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::wall::{Board, Fleet, HOSTS, Kind, Prometheus, Query};
use serde_json::{Value, json};

const PAGE: &str = include_str!("page.html");
const EVERY: Duration = Duration::from_secs(1);
const WINDOW: &str = "5s";
/// How long is looked on: the rounds of traffic, one a second.
const ROUNDS: u32 = 75;

fn main() -> ExitCode {
    let Some(to) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: pictures DIRECTORY");
        return ExitCode::from(2);
    };
    match make(&to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pictures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(to: &Path) -> Result<()> {
    ensure!(
        ringwall_tests::skip::is_root(),
        "making namespaces needs root"
    );
    std::fs::create_dir_all(to)?;
    let fleet = Fleet::new()?;
    let prometheus = fleet.watched(EVERY)?;
    println!("two hosts and a Prometheus; traffic for {ROUNDS} s");
    let begin = now();
    traffic(&fleet)?;
    let look = Look {
        prometheus: &prometheus,
        begin,
        end: now(),
    };
    for (name, instance) in [("host", HOSTS[0]), ("fleet", ".*")] {
        let page = to.join(format!("{name}.html"));
        std::fs::write(&page, look.page(name, instance)?)?;
        println!("{}", page.display());
    }
    Ok(())
}

/// A minute in the life of two hosts: more and less of everything, and some mishaps in the middle.
fn traffic(fleet: &Fleet) -> Result<()> {
    for round in 0..ROUNDS {
        let next = Instant::now() + Duration::from_secs(1);
        for _ in 0..=(round / 10) % 3 {
            fleet.round()?;
        }
        match round {
            20 | 40 => fleet.one_sided()?,
            30 => fleet.mishaps()?,
            45 => fleet.fill()?,
            55 => fleet.renew()?,
            _ => {}
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// What was seen, from when to when.
struct Look<'p> {
    prometheus: &'p Prometheus,
    begin: f64,
    end: f64,
}

impl Look<'_> {
    /// The page that draws a dashboard.
    fn page(&self, name: &str, instance: &str) -> Result<String> {
        let range = format!("{}s", (self.end - self.begin).ceil());
        let variables = [
            ("job", ".*"),
            ("instance", instance),
            ("zone", ".*"),
            ("__rate_interval", WINDOW),
            ("__range", &range),
        ];
        let board = Board::read(name, &variables)?;
        let mut panels = Vec::new();
        let mut marks = Vec::new();
        for query in board.queries() {
            match query.kind {
                Kind::Instant => panels.push(self.instant(&query)?),
                Kind::Range => panels.push(self.course(&query)?),
                Kind::Annotation => marks = self.marks(&query)?,
                Kind::Variable => {}
            }
        }
        let data = json!({
            "name": name, "begin": self.begin, "end": self.end,
            "board": board.json, "found": panels, "marks": marks,
        });
        // A closing tag in the data would end the script.
        let data = data.to_string().replace("</", "<\\/");
        Ok(PAGE.replace("/*DATA*/", &data))
    }

    fn instant(&self, query: &Query) -> Result<Value> {
        let found = self.prometheus.query(&query.text)?;
        let found = found
            .iter()
            .map(|one| json!({"labels": one.labels, "value": one.value}));
        Ok(json!({"panel": query.panel, "legend": query.legend, "now": found.collect::<Value>()}))
    }

    fn course(&self, query: &Query) -> Result<Value> {
        let found = self.range(query)?;
        let found = found
            .iter()
            .map(|one| json!({"labels": one.labels, "points": one.points}));
        Ok(
            json!({"panel": query.panel, "legend": query.legend, "course": found.collect::<Value>()}),
        )
    }

    fn range(&self, query: &Query) -> Result<Vec<ringwall_tests::wall::Series>> {
        let span = (self.begin, self.end);
        let found = self
            .prometheus
            .range(&query.text, span, EVERY.as_secs_f64());
        found.with_context(|| query.title.clone())
    }

    /// Times of annotations, in seconds since 1970: their values are the times, in milliseconds.
    fn marks(&self, query: &Query) -> Result<Vec<f64>> {
        let series = self.range(query)?;
        let values = series.iter().flat_map(|one| &one.points);
        let mut times: Vec<f64> = values.map(|(_, value)| value / 1000.0).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        Ok(times)
    }
}
