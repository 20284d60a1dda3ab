//! Row 6: the agent: memory, processor time when idle and under load, a scrape.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ringwall_tests::net::injector::{Sender, frame};
use ringwall_tests::net::receiver::bind;

use super::Plan;
use super::host::{HERE, octets};
use super::lab::{Lab, Peer};
use super::numbers::{Line, Samples};

/// Events a second: what is refused, and so recorded as far as the kernel's limits allow.
const RATES: [(u32, Option<f64>); 2] = [(1_000, None), (50_000, Some(50.0))];

/// The row.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let mut lab = Lab::new(Peer::Ringwall("tc"), 0)?;
    let time = Duration::from_secs(if plan.quick { 3 } else { 20 });
    std::thread::sleep(Duration::from_secs(2));
    let mut lines = vec![
        Line::exact("resident, 0 rules", "MiB", resident(&mut lab)?).goal(30.0),
        Line::exact(
            "idle, 0 rules, of a core",
            "%",
            busy(&mut lab, time, || Ok(()))?,
        )
        .goal(0.5),
    ];
    for (rate, goal) in RATES {
        let lost = lost(&mut lab)?;
        let sender = sender(&lab)?;
        let busy = busy_under(&mut lab, time, &sender, rate)?;
        let line = Line::exact(format!("at {rate} events a second, of a core"), "%", busy);
        lines.push(match goal {
            Some(goal) => line.goal(goal),
            None => line,
        });
        let lost = self::lost(&mut lab)? - lost;
        lines.push(Line::exact(format!("at {rate} events a second, lost"), "", lost).goal(0.0));
    }
    lines.push(Line::exact("resident after that", "MiB", resident(&mut lab)?).goal(30.0));
    lines.extend(with_rules(plan)?);
    Ok(lines)
}

/// With 10,000 rules: memory, idle, and a scrape.
fn with_rules(plan: &Plan) -> Result<Vec<Line>> {
    let mut lab = Lab::new(Peer::Ringwall("tc"), 10_000)?;
    std::thread::sleep(Duration::from_secs(2));
    let mut scrapes = Samples::default();
    for _ in plan.rounds(1) {
        let begin = Instant::now();
        let text = lab.agent().context("no agent")?.metrics()?;
        scrapes.push(begin.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(text.contains("ringwall_"), "no metrics");
    }
    let time = Duration::from_secs(if plan.quick { 3 } else { 20 });
    Ok(vec![
        Line::new("scrape, 10000 rules", "ms", scrapes).goal(50.0),
        Line::exact("resident, 10000 rules", "MiB", resident(&mut lab)?).goal(30.0),
        Line::exact(
            "idle, 10000 rules, of a core",
            "%",
            busy(&mut lab, time, || Ok(()))?,
        )
        .goal(0.5),
    ])
}

/// Resident memory without what it shares with files (Documentation/filesystems/proc.rst: VmRSS).
fn resident(lab: &mut Lab) -> Result<f64> {
    // What a piece of work has left behind is given back within the seconds after it.
    std::thread::sleep(Duration::from_secs(4));
    let host = lab.agent().context("no agent")?;
    let pid = host.agent().context("no agent")?.pid();
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .context("no VmRSS")?;
    Ok(kib / 1024.0)
}

/// The agent's share of a core while something goes on.
fn busy(lab: &mut Lab, time: Duration, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (before, begin) = (lab.agent_time(), Instant::now());
    work()?;
    std::thread::sleep(time.saturating_sub(begin.elapsed()));
    let spent = (lab.agent_time() - before) as f64;
    Ok(spent / begin.elapsed().as_nanos() as f64 * 100.0)
}

fn busy_under(lab: &mut Lab, time: Duration, sender: &(Sender, Vec<u8>), rate: u32) -> Result<f64> {
    let client = lab.client.clone();
    busy(lab, time, || {
        client.run(|| {
            bind(0, 0);
            let begin = Instant::now();
            let each = (rate / 100).max(1);
            while begin.elapsed() < time {
                sender.0.send(&sender.1, each)?;
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        })
    })
}

fn sender(lab: &Lab) -> Result<(Sender, Vec<u8>)> {
    super::flood::receiving(lab)?;
    let index = lab.far.ifindex;
    let sender = lab.client.run(|| Sender::load(index, false))?;
    Ok((sender, frame(&lab.far, &lab.near, octets(HERE), false)?))
}

/// Records that were lost on their way to the agent, or in it. What the kernel leaves out by its limits is counted, and
/// never was a record.
fn lost(lab: &mut Lab) -> Result<f64> {
    let text = lab.agent().context("no agent")?.metrics()?;
    let lines = text.lines().filter(|line| {
        line.starts_with("ringwall_events_lost_total") && !line.contains("stage=\"limit\"")
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}
