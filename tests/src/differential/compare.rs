//! What came through each firewall, packet by packet.

use std::collections::{BTreeMap, BTreeSet};

use firewall_common::flow::FlowKey;

use super::Fooled;
use super::causes::cause;
use super::report::{Difference, Report};
use super::step::Step;
use super::story::{self, Both, story};
use super::world::{Key, Seen};

/// Where in these steps each session begins to be another for nftables than for Ringwall, because of a guess.
pub(super) fn guesses(steps: &[Step], both: Both<'_>, fooled: &Fooled) -> BTreeMap<FlowKey, usize> {
    let mut since: BTreeMap<_, _> = fooled.iter().map(|session| (*session, 0)).collect();
    for (place, step) in steps.iter().enumerate() {
        let [own, other] = both.map(|seen| of(&seen[usize::from(step.leaves)], &step.key).len());
        if is_guess(step)
            && own < other
            && let Some(session) = story::session(step)
        {
            since.entry(session).or_insert(place);
        }
    }
    since
}

fn is_guess(step: &Step) -> bool {
    step.class.starts_with("blind")
}

/// Is it a segment of one of the two ends, after nftables took a guess for one?
fn kept(steps: &[Step], sent: &[&Step], since: &BTreeMap<FlowKey, usize>) -> bool {
    let [step] = sent else {
        return false;
    };
    let began = story::session(step).and_then(|session| since.get(&session));
    let place = steps.iter().position(|other| other.key == step.key);
    !is_guess(step)
        && began
            .zip(place)
            .is_some_and(|(began, place)| *began < place)
}

pub(super) fn compare(
    report: &mut Report,
    host: &'static str,
    steps: &[Step],
    both: Both<'_>,
    leaves: bool,
    since: &BTreeMap<FlowKey, usize>,
) {
    let mut sent: BTreeMap<Key, Vec<&Step>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.leaves == leaves) {
        sent.entry(step.key).or_default().push(step);
    }
    let [seen, reference] = both.map(|seen| &seen[usize::from(leaves)]);
    let keys: BTreeSet<&Key> = seen.keys().chain(reference.keys()).collect();
    // Number 0 is nobody's: so a firewall's own answers to the host are marked.
    for key in keys.into_iter().filter(|(_, number)| *number != 0) {
        let sent = sent.get(key).map_or(&[][..], Vec::as_slice);
        if leaves && sent.is_empty() {
            // A firewall's own answer.
            continue;
        }
        let (own, other) = (of(seen, key), of(reference, key));
        if own == other {
            continue;
        }
        let more = own.iter().any(|packet| !other.contains(packet)) || own.len() > other.len();
        if let Some(cause) = cause(sent).filter(|_| !more) {
            *report.causes.entry(cause).or_default() += 1;
            continue;
        }
        if more && kept(steps, sent, since) {
            report.kept += 1;
            continue;
        }
        report.wrong.push(Difference {
            host,
            class: sent.first().map_or("?", |step| step.class),
            more,
            came: [own.len(), other.len()],
            key: *key,
            packets: sent.iter().map(|step| hex(&step.bytes)).collect(),
            story: sent
                .first()
                .map_or_else(Vec::new, |step| story(steps, step, both)),
        });
    }
}

/// What came under this number.
fn of<'a>(seen: &'a Seen, key: &Key) -> &'a [u64] {
    seen.get(key).map_or(&[], Vec::as_slice)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(200)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
