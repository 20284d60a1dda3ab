//! A Prometheus of its own, and what it says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::net::sock::http_get;
use crate::net::{Daemon, Netns};

const LISTEN: &str = "127.0.0.1:9090";

/// Where a program of Debian's package `prometheus` is.
#[must_use]
pub fn find(program: &str) -> Option<String> {
    let path = format!("/usr/bin/{program}");
    Path::new(&path).exists().then_some(path)
}

/// One value with its labels.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Labels, the name among them.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Values over time with their labels.
#[derive(Debug, Clone)]
pub struct Series {
    /// Labels, the name among them.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// A running server.
pub struct Prometheus {
    ns: Netns,
    at: SocketAddr,
    _daemon: Daemon,
}

impl Prometheus {
    /// Starts one inside a namespace that scrapes these addresses under these names, with the project's alerts.
    pub fn start(
        ns: &Netns,
        base: &Path,
        every: Duration,
        targets: &[(&str, SocketAddr)],
    ) -> Result<Self> {
        let program = find("prometheus").context("prometheus is not installed")?;
        std::fs::create_dir_all(base)?;
        let config = base.join("prometheus.yml");
        std::fs::write(&config, configuration(every, targets))?;
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", base.join("data").display()),
            format!("--web.listen-address={LISTEN}"),
        ];
        let command = ns.command(program).args(arguments);
        Ok(Self {
            ns: ns.clone(),
            at: LISTEN.parse().context("a socket address")?,
            _daemon: command.daemon(&base.join("log"))?,
        })
    }

    /// What the server says at a path of its interface.
    pub fn get(&self, path: &str) -> Result<Value> {
        let body = http_get(&self.ns, self.at, path)?;
        let answer: Value = serde_json::from_str(&body).context("an answer in JSON")?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].clone())
    }

    /// What a query gives now.
    pub fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let data = self.get(&format!("/api/v1/query?query={}", url(query)))?;
        let results = data["result"].as_array().context("a vector")?;
        let sample = |one: &Value| {
            Some(Sample {
                labels: labels(one),
                value: number(&one["value"])?.1,
            })
        };
        Ok(results.iter().filter_map(sample).collect())
    }

    /// What a query gives from one time to another, in seconds since 1970.
    pub fn range(&self, query: &str, (start, end): (f64, f64), step: f64) -> Result<Vec<Series>> {
        let query = url(query);
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}");
        let data = self.get(&path)?;
        let results = data["result"].as_array().context("a matrix")?;
        let series = |one: &Value| {
            let values = one["values"].as_array().map_or(&[][..], Vec::as_slice);
            Series {
                labels: labels(one),
                points: values.iter().filter_map(number).collect(),
            }
        };
        Ok(results.iter().map(series).collect())
    }

    /// What `label_values(series, label)` of a dashboard's variable gives.
    pub fn label_values(&self, series: &str, label: &str) -> Result<Vec<String>> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", url(series));
        let data = self.get(&path)?;
        let words = data.as_array().context("a list")?.iter();
        Ok(words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect())
    }

    /// Each alert: its name, its query, and `inactive`, `pending` or `firing`.
    pub fn alerts(&self) -> Result<Vec<[String; 3]>> {
        let data = self.get("/api/v1/rules?type=alert")?;
        let rules = data["groups"][0]["rules"].as_array().context("rules")?;
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let rules = rules.iter();
        Ok(rules
            .map(|rule| ["name", "query", "state"].map(|key| text(rule, key)))
            .collect())
    }
}

fn labels(one: &Value) -> BTreeMap<String, String> {
    let labels = one["metric"].as_object().into_iter().flatten();
    labels
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn number(pair: &Value) -> Option<(f64, f64)> {
    Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?))
}

fn configuration(every: Duration, targets: &[(&str, SocketAddr)]) -> String {
    let every = every.as_millis();
    let rules = dashboards().join("ringwall-alerts.yml");
    let rules = rules.display();
    let mut text = format!(
        "global: {{scrape_interval: {every}ms, scrape_timeout: {every}ms, evaluation_interval: {every}ms}}\n\
         rule_files: [{rules}]\nscrape_configs:\n  - job_name: ringwall\n    static_configs:\n"
    );
    for (name, at) in targets {
        let _ = writeln!(
            text,
            "      - {{targets: [\"{at}\"], labels: {{instance: {name}}}}}"
        );
    }
    text
}

/// The project's dashboards.
pub(super) fn dashboards() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join("dashboards")
}

fn url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        let _ = write!(url, "%{byte:02X}");
        url
    })
}
