//! How full the session tables are, who fills them, and what was refused for want of room.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use firewall_common::addr::Addr;
use firewall_common::reason::Reason;
use firewall_common::session::room;
use firewall_common::tables::Table;
use firewall_common::zone::Course;

use super::plane::{Capacity, Live, PacketCount};
use crate::api::types::{CookieLine, SessionLine, SourceLine};
use crate::dataplane::{Cookies, LimitUse};

/// Reasons that an opening is refused for, whatever the list says of it.
pub const REFUSALS: &[Reason] = &[
    Reason::SessionTableFull,
    Reason::HalfOpenLimit,
    Reason::SourceLimit,
    Reason::SessionLimit,
    Reason::RateLimited,
];

/// Sources that are named.
const NAMED: usize = 5;
/// Per cent of a table from which on somebody should look at it.
const HIGH: u64 = 90;

/// How full the session tables are.
#[must_use]
pub fn session_line(live: &[Live], capacity: Capacity, packets: &[PacketCount]) -> SessionLine {
    let half = live.iter().filter(|l| l.table == Table::HalfOpen).count() as u64;
    SessionLine {
        open: live.len() as u64 - half,
        half_open: half,
        capacity: u64::from(capacity.sessions),
        half_open_capacity: u64::from(capacity.half_open),
        reserve: u64::from(capacity.reserve),
        refused: refused(packets),
        sources: heaviest(live),
        syn_cookies: CookieLine::default(),
    }
}

fn refused(packets: &[PacketCount]) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for reason in REFUSALS {
        let counted = packets.iter().filter(|count| count.reason == *reason);
        let sum = counted.map(|count| count.count.packets).sum();
        sums.insert(reason.word().to_owned(), sum);
    }
    sums
}

/// Who has opened the most sessions here. Of IPv6 a network of 64 bits is one source.
fn heaviest(live: &[Live]) -> Vec<SourceLine> {
    let mut by_source: BTreeMap<Addr, (u64, u64)> = BTreeMap::new();
    let opened_here = |l: &&Live| l.entry.course != Course::Outbound as u8 && !l.entry.stands_in();
    for session in live.iter().filter(opened_here) {
        let mut source = *room::opener(&session.key, &session.entry);
        if !source.is_v4() {
            source.lo = 0;
        }
        let (open, half_open) = by_source.entry(source).or_default();
        match session.table {
            Table::HalfOpen => *half_open += 1,
            Table::Sessions => *open += 1,
        }
    }
    let mut all: Vec<_> = by_source.into_iter().collect();
    all.sort_by_key(|(source, (open, half_open))| (std::cmp::Reverse(open + half_open), *source));
    let named = all.into_iter().take(NAMED);
    let line = |(source, (open, half_open)): (Addr, (u64, u64))| SourceLine {
        source: word(&source),
        open,
        half_open,
    };
    named.map(line).collect()
}

fn word(source: &Addr) -> String {
    let v6 = Ipv6Addr::from(source.to_bytes());
    match v6.to_ipv4_mapped() {
        Some(v4) => v4.to_string(),
        None => format!("{v6}/64"),
    }
}

/// What somebody should look at.
#[must_use]
pub fn warnings(line: &SessionLine) -> Vec<String> {
    let mut all = Vec::new();
    let share = |used: u64, of: u64| (used * 100).checked_div(of).unwrap_or(0);
    let full = share(line.open, line.capacity);
    if full >= HIGH {
        all.push(format!(
            "the session table is {full} % full: what opens next is refused (`session-table-full`) but from management zones; {}. `sessions: {{max}}` of the agent file makes it larger",
            by_whom(line)
        ));
    }
    let full = share(line.half_open, line.half_open_capacity);
    if full >= HIGH {
        all.push(format!(
            "the table of half-open sessions is {full} % full: the oldest give way to new ones; {}",
            by_whom(line)
        ));
    }
    all
}

/// SYN cookies, as `status` has them.
#[must_use]
pub const fn cookies(used: &Cookies) -> CookieLine {
    CookieLine {
        pressure: used.pressure,
        on: used.is_on(),
        kernel: used.kernel,
        sent: used.sent,
        accepted: used.accepted,
    }
}

/// The same of the tables of limits.
#[must_use]
pub fn of_limits(used: &LimitUse) -> Vec<String> {
    let high = |entries: u64, places: u64| places != 0 && entries * 100 >= places * HIGH;
    let mut all = Vec::new();
    if high(used.buckets, used.bucket_places) {
        all.push(format!(
            "{} of {} places for buckets of sources are taken: what comes from sources without one shares one bucket of its rule ({} charged to those so far); shorter prefixes of `per` need fewer",
            used.buckets, used.bucket_places, used.shared
        ));
    }
    if high(used.counts, used.count_places) {
        all.push(format!(
            "{} of {} places for counts of `max_sessions` are taken: sources without one are refused then (`source-limit`)",
            used.counts, used.count_places
        ));
    }
    all
}

fn by_whom(line: &SessionLine) -> String {
    match line.sources.first() {
        Some(first) => format!(
            "the heaviest source is {} ({} open, {} half-open)",
            first.source, first.open, first.half_open
        ),
        None => "this host opened them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use firewall_common::flow::FlowKey;
    use firewall_common::session::Entry;

    use super::*;

    fn session(source: &str, port: u16, table: Table) -> Live {
        let key = FlowKey {
            low: crate::dataplane::memory::mapped(source.parse().unwrap()),
            low_port: port,
            ..FlowKey::default()
        };
        let entry = Entry::default();
        Live { key, entry, table }
    }

    #[test]
    fn the_heaviest_sources_come_first_and_a_full_table_is_told() {
        let mut live = vec![session("192.0.2.9", 1, Table::Sessions)];
        live.push(session("2001:db8::1", 1, Table::HalfOpen));
        live.push(session("2001:db8::2", 1, Table::Sessions));
        let capacity = Capacity {
            sessions: 2,
            half_open: 100,
            reserve: 0,
        };
        let line = session_line(&live, capacity, &[]);
        assert_eq!((line.open, line.half_open), (2, 1));
        assert_eq!(line.sources[0].source, "2001:db8::/64");
        assert_eq!((line.sources[0].open, line.sources[0].half_open), (1, 1));
        assert_eq!(line.sources[1].source, "192.0.2.9");
        let told = warnings(&line);
        assert!(
            told.len() == 1 && told[0].contains("100 % full"),
            "{told:?}"
        );
        assert_eq!(line.refused["half-open-limit"], 0);
    }
}
