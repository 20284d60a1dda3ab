//! What is kept of a run: its rows, and how quiet the machine was meanwhile.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::Plan;

/// What else went on: the load, and time that the host of a virtual machine gave to others.
pub(crate) fn around() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let load: Vec<f64> = load
        .split_whitespace()
        .take(3)
        .filter_map(|word| word.parse().ok())
        .collect();
    let stat = read("/proc/stat");
    // cpu user nice system idle iowait irq softirq steal (Documentation/filesystems/proc.rst)
    let stolen = stat.split_whitespace().nth(8);
    let stolen: Option<u64> = stolen.and_then(|word| word.parse().ok());
    json!({"load": load, "stolen_ticks": stolen})
}

fn machine() -> Value {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    json!({"processors": count, "model": model})
}

/// Writes a run down. Rows that were not measured this time stay as an earlier run of the day has them.
pub(crate) fn keep(plan: &Plan, rows: Vec<Value>, before: Value) -> Result<PathBuf> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim();
    let date = jiff::Zoned::now().date();
    std::fs::create_dir_all(&plan.out)?;
    let path = plan.out.join(format!("{date}-{kernel}.json"));
    let around = json!({"before": before, "after": around()});
    let mut all = earlier(&path);
    for mut row in rows {
        row["quick"] = plan.quick.into();
        row["around"] = around.clone();
        all.retain(|other| other["row"] != row["row"]);
        all.push(row);
    }
    all.sort_by_key(|row| row["row"].as_u64());
    let run = json!({
        "date": date.to_string(),
        "kernel": kernel,
        "machine": machine(),
        "rows": all,
    });
    std::fs::write(&path, serde_json::to_string_pretty(&run)? + "\n")?;
    Ok(path)
}

fn earlier(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let run: Value = serde_json::from_str(&text).unwrap_or_default();
    run["rows"].as_array().cloned().unwrap_or_default()
}
