use super::*;

const ROOM: Room = Room {
    max: 100,
    reserve: 10,
    half_open_max: 50,
    half_open_per_source: 5,
};

fn of(counted: u8) -> Entry {
    Entry {
        counted,
        ..Entry::default()
    }
}

#[test]
fn the_reserve_is_for_management_alone() {
    let (operator, stranger) = (of(MANAGED), of(CAPPED));
    let room = |managed, others, entry: &Entry| is_there(&ROOM, managed, others, entry, true);
    assert!(room(0, 89, &stranger) && !room(0, 90, &stranger));
    assert!(room(0, 90, &operator) && room(9, 90, &operator));
    assert!(!room(10, 90, &operator));
    // Openings under way may take the others past their share, but never into the reserve.
    assert!(room(9, 140, &operator) && !room(10, 140, &operator));
    assert!(!room(50, 50, &stranger) && room(49, 50, &stranger));
    // Nobody is kept out by a reserve that nobody can use.
    assert!(is_there(&ROOM, 0, 99, &stranger, false) && !is_there(&ROOM, 0, 100, &stranger, false));
    assert!(room(0, u64::MAX, &stranger), "below zero counts as none");
}

#[test]
fn a_place_is_kept_for_the_grace_except_from_the_favoured() {
    assert!(!gives_way(5, GRACE + 4, false));
    assert!(gives_way(5, GRACE + 5, false) && gives_way(5, 5, true));
    let mut entry = of(CAPPED);
    assert!(!is_favoured(&entry));
    entry.course = Course::Outbound as u8;
    assert!(is_favoured(&entry) && is_favoured(&of(MANAGED)));
}

#[test]
fn sizes_go_there_and_back() {
    assert_eq!(max_of(places(1024, 512), 512), 1024);
    assert_eq!((reserve(1024, 262_144), reserve(1024, 1024)), (1024, 128));
}

#[test]
fn sources_are_spread_and_a_network_of_ipv6_is_one() {
    let v6 = |lo| Addr {
        hi: 0x2001_0db8 << 32,
        lo,
    };
    assert_eq!(counts_of(&v6(1), 7), counts_of(&v6(2), 7));
    assert_ne!(counts_of(&Addr::v4(1), 7), counts_of(&Addr::v4(2), 7));
    assert_ne!(counts_of(&Addr::v4(1), 7), counts_of(&Addr::v4(1), 8));
    let mut used = std::collections::BTreeMap::new();
    for host in 0..65_536 {
        for place in counts_of(&Addr::v4(0x0a00_0000 + host), 99) {
            assert!(place < SOURCES);
            *used.entry(place).or_insert(0) += 1;
        }
    }
    assert!(
        used.values().all(|count| *count < 16),
        "some place is crowded"
    );
}
