//! The two text formats: OpenMetrics for who asks for it, the classic one for all others.

use std::fmt::Write;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::collector::Scrape;
use super::snapshot::Snapshot;

/// The snapshot as OpenMetrics.
#[must_use]
pub fn open_metrics(snapshot: &Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(snapshot.families())));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// The snapshot in the classic format: there a counter is described under its whole name, and there is no
/// end mark.
#[must_use]
pub fn classic(snapshot: &Snapshot) -> String {
    let open = open_metrics(snapshot);
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let described = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|mark| Some((mark, line.strip_prefix(mark)?.split_once(' ')?)));
        let _ = match described {
            Some((mark, (name, rest))) if counters.contains(&name) => {
                writeln!(text, "{mark}{name}_total {rest}")
            }
            None if line == "# EOF" || line.starts_with("# UNIT ") => Ok(()),
            _ => writeln!(text, "{line}"),
        };
    }
    text
}
