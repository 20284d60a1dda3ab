//! Row 4: rule sets of the field, as one policy over routed traffic: the cost of a look-up with cold caches, memory,
//! the time to build, and verdicts against a search one by one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use firewall_common::config::FIRST_RULE_COUNTER;
use firewall_common::flow::Hook;
use firewall_common::policy::lookup::{Search, lookup};
use firewall_common::tables::Tables as _;
use firewall_user::dataplane::memory::MemoryTables;
use firewall_user::policy::compiled::Compiled;
use ringwall_tests::classbench::{self, Header, Rule};
use ringwall_tests::scenario::Random;

use super::Plan;
use super::host::{Host, compiled, numbers, parsed};
use super::numbers::{Line, Samples};

/// Packets that are compared, and so many are a trace.
const HEADERS: usize = 65_536;
/// Packets whose time is taken in one pass.
const TIMED: usize = 8_192;
const MIB: f64 = 1_048_576.0;

/// The row: sets below `plan.sets`, and the small ones that are kept with the tests.
pub(crate) fn row(plan: &Plan) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let sets = sets(plan)?;
    // Each is built, and each is timed.
    let parts = sets.len() as u32 * 2;
    for (name, text) in sets {
        let rules = classbench::read(&text).with_context(|| name.clone())?;
        lines.extend(set((plan, parts), &name, &rules).with_context(|| name.clone())?);
    }
    Ok(lines)
}

fn sets(plan: &Plan) -> Result<Vec<(String, String)>> {
    let kept = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/classbench"));
    let mut all = Vec::new();
    for directory in [Some(kept), plan.sets.as_deref()].into_iter().flatten() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_set = name.ends_with('k') && !all.iter().any(|(known, _)| *known == name);
            if is_set && (!plan.quick || name.ends_with("_1k")) {
                all.push((name, std::fs::read_to_string(&path)?));
            }
        }
    }
    all.sort();
    Ok(all)
}

fn set((plan, parts): (&Plan, u32), name: &str, rules: &[Rule]) -> Result<Vec<Line>> {
    let policy = parsed(&classbench::policy(rules))?;
    let mut built = Samples::default();
    let mut compiled_form = None;
    for _ in plan.rounds(parts).take(5) {
        let begin = Instant::now();
        compiled_form = Some(compiled(&policy, &mut numbers())?);
        built.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let compiled_form = compiled_form.context("no round")?;
    let cost = compiled_form.cost;
    let mut random = Random::from_seed(4711);
    let trace: Vec<Header> = (0..HEADERS)
        .map(|_| classbench::header(rules, &mut random))
        .collect();
    let wrong = compared(rules, &compiled_form, &trace);
    let large = rules.len() > 20_000;
    let (ns, mib) = if large { (1000.0, 16.0) } else { (500.0, 2.0) };
    let looked = timed((plan, parts), &compiled_form, &trace)?;
    let trees = format!(
        "{name}: {} trees, {} lines, {} entries at most;",
        cost.trees, cost.steps, cost.entries
    );
    Ok(vec![
        Line::new(format!("{name}: look-up, cold"), "ns", looked).goal(ns),
        Line::exact(format!("{trees} memory"), "MiB", cost.bytes as f64 / MIB).goal(mib),
        Line::new(format!("{name}: build"), "ms", built),
        Line::exact(
            format!("{name}: of {HEADERS} verdicts, other than one by one"),
            "",
            wrong as f64,
        )
        .goal(0.0),
    ])
}

fn compared(rules: &[Rule], compiled: &Compiled, trace: &[Header]) -> usize {
    let tables = MemoryTables::with(compiled);
    let mut search = Search::default();
    let wrong = trace.iter().filter(|header| {
        let found = tables.generation(1).and_then(|head| {
            lookup(&tables, 1, head, &header.question(), &mut search);
            let place = search.answer.rule()?.counter - FIRST_RULE_COUNTER;
            let id = &compiled.listing.get(place as usize)?.id;
            id.trim_start_matches("all/r").parse().ok()
        });
        found != classbench::linear(rules, header)
    });
    wrong.count()
}

/// What packets that the list denies cost more than with an empty list, each with cold caches: the trace is run through,
/// each packet once, so that no two runs in a row look at the same rules.
fn timed((plan, parts): (&Plan, u32), set: &Compiled, trace: &[Header]) -> Result<Samples> {
    let nobody = Rule {
        source: (0, 0, 32),
        destination: (0, 0, 32),
        source_port: (0, u16::MAX),
        destination_port: (0, u16::MAX),
        protocol: None,
    };
    let empty = compiled(&parsed(&classbench::policy(&[nobody]))?, &mut numbers())?;
    let (mut with, mut without) = (Host::new(1 << 16)?, Host::new(1 << 16)?);
    with.apply(set)?;
    without.apply(&empty)?;
    // Strays, which open no session: the list is asked, and nothing else differs.
    let usable = trace
        .iter()
        .filter(|header| header.protocol == 6 && is_unicast(header));
    let frames: Vec<Vec<u8>> = usable.take(TIMED).map(frame).collect();
    ensure!(
        frames.len() * 4 > TIMED,
        "too few packets of the set can cross a wire"
    );
    let mut samples = Samples::default();
    for _ in plan.rounds(parts) {
        let with = with.times(&frames, Hook::Ingress, 1)?;
        samples.push(with - without.times(&frames, Hook::Ingress, 1)?);
    }
    Ok(samples)
}

fn is_unicast(header: &Header) -> bool {
    let ordinary = |address: u32| {
        let first = address >> 24;
        first != 0 && first != 10 && first != 127 && first < 224
    };
    ordinary(header.source) && ordinary(header.destination)
}

fn frame(header: &Header) -> Vec<u8> {
    let (from, to) = (
        header.source.to_be_bytes(),
        header.destination.to_be_bytes(),
    );
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
    let builder = builder
        .tcp(header.source_port, header.destination_port, 1, 1000)
        .ack(1);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"").unwrap_or_default();
    frame
}
