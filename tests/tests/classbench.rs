//! Rule sets of the field: the compiled policy decides as a search of the list one by one does, within the bounds
//! that are promised.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop with a message"
)]

use firewall_common::config::FIRST_RULE_COUNTER;
use firewall_common::policy::lookup::{Search, lookup};
use firewall_common::tables::Tables as _;
use firewall_user::dataplane::memory::MemoryTables;
use firewall_user::policy::compile::{Tuning, compile, tuned};
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};
use firewall_user::policy::{HostContext, read_bytes};
use ringwall_tests::classbench::{self, Rule};
use ringwall_tests::scenario::Random;

/// Packets for each set.
const HEADERS: usize = 65_536;

fn compiled(rules: &[Rule], tuning: Tuning) -> Compiled {
    let text = classbench::policy(rules);
    let host = HostContext::default();
    let checked = read_bytes("set.yaml", text.into_bytes(), &host);
    let policy = checked.unwrap_or_else(|refusal| panic!("{refusal}")).policy;
    let clock = Clock {
        boot: 1,
        wall: "2027-01-01T00:00:00Z".parse().unwrap(),
    };
    tuned(tuning, || {
        compile(&policy, &mut Numbers::default(), &clock).unwrap()
    })
}

/// The rule of the set that decides by the compiled form.
fn found(
    compiled: &Compiled,
    tables: &MemoryTables,
    header: &classbench::Header,
    search: &mut Search,
) -> Option<usize> {
    let head = tables.generation(1).unwrap();
    lookup(tables, 1, head, &header.question(), search);
    let place = search.answer.rule()?.counter - FIRST_RULE_COUNTER;
    let id = &compiled.listing[place as usize].id;
    Some(id.trim_start_matches("all/r").parse().unwrap())
}

fn agrees(text: &str, tuning: Tuning) {
    let rules = classbench::read(text).unwrap();
    let compiled = compiled(&rules, tuning);
    println!("{:?}", compiled.cost);
    let tables = MemoryTables::with(&compiled);
    let mut random = Random::from_seed(4711);
    let mut search = Search::default();
    let mut matched = 0;
    for _ in 0..HEADERS {
        let header = classbench::header(&rules, &mut random);
        let wanted = classbench::linear(&rules, &header);
        let found = found(&compiled, &tables, &header, &mut search);
        assert_eq!(found, wanted, "{header:?}");
        matched += usize::from(wanted.is_some());
    }
    assert!(
        matched * 2 > HEADERS,
        "only {matched} of {HEADERS} match a rule"
    );
}

const SETS: [&str; 3] = [
    include_str!("../data/classbench/acl1_1k"),
    include_str!("../data/classbench/fw1_1k"),
    include_str!("../data/classbench/ipc1_1k"),
];

#[test]
fn access_lists() {
    agrees(SETS[0], Tuning::BEST);
}

#[test]
fn firewalls() {
    agrees(SETS[1], Tuning::BEST);
}

#[test]
fn ip_chains() {
    agrees(SETS[2], Tuning::BEST);
}

/// As it is where rules overlap so much that several trees are needed.
#[test]
fn the_same_from_many_thin_trees() {
    let thin = Tuning {
        leaf: 4,
        copies: 2,
        spare: 256,
        ..Tuning::BEST
    };
    SETS.into_iter().for_each(|set| agrees(set, thin));
}
