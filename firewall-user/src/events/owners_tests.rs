use super::*;

fn call(what: u8, pid: u32, time: u64, far: u32) -> SocketCall {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    SocketCall {
        time,
        tuple: tuple(far),
        socket: pid.into(),
        pid,
        uid: 1000,
        comm,
        what,
        ..SocketCall::default()
    }
}

/// From this host to another; of one that listens there is no far end.
fn tuple(far: u32) -> Tuple {
    Tuple {
        source: Addr::v4(0x0a00_0001),
        source_port: 443,
        destination: Addr::v4(far),
        destination_port: 80,
        protocol: 6,
        ..Tuple::default()
    }
}

#[test]
fn a_call_a_moment_before_is_the_owner_and_two_are_none() {
    let mut owners = Owners::default();
    let at = HELD_UP * 10;
    owners.told(&call(CONNECTS, 7, at, 9));
    let pid = |owners: &Owners, time| owners.calls(&tuple(9), time).map(|process| process.pid);
    assert_eq!(pid(&owners, at + 1000), Some(7));
    assert_eq!(pid(&owners, at + HELD_UP), Some(7));
    assert_eq!(pid(&owners, at + HELD_UP + 1), None);
    // As of the tick before the call.
    assert_eq!(pid(&owners, at - TICK), Some(7));
    assert_eq!(pid(&owners, at - TICK - 1), None);
    assert_eq!(owners.calls(&tuple(10), at), None);
    owners.told(&call(CONNECTS, 8, at + AT_ONCE / 2, 9));
    assert_eq!(pid(&owners, at + AT_ONCE), None);
    assert_eq!(pid(&owners, at + AT_ONCE + 1), Some(8));
    for _ in 0..2 * CALLS {
        owners.told(&call(CONNECTS, 8, at, 9));
    }
    assert_eq!(owners.calls.len(), CALLS);
    assert_eq!(owners.calls[0].process.comm, "curl");
}

#[test]
fn the_end_of_a_handshake_says_whose_it_was_for_certain() {
    let mut owners = Owners::default();
    let at = HELD_UP * 10;
    owners.told(&call(CONNECTS, 7, at, 9));
    owners.told(&call(CONNECTS, 8, at + 1, 9));
    let mut key = FlowKey::default();
    tuple(9).key(&mut key);
    assert_eq!(owners.of(&key, at + 2), None);
    // Whoever was interrupted says so.
    owners.told(&SocketCall {
        socket: 8,
        ..call(CONNECTED, 1, at + 10, 9)
    });
    let pid = |opened| owners.of(&key, opened).map(|process| process.pid);
    assert_eq!(pid(at + 2), Some(8));
    assert_eq!(pid(at + 1 - TICK), Some(8));
    assert_eq!(pid(at - TICK), None, "opened before the call");
    assert_eq!(pid(at + 11), None, "opened after the handshake");
}

#[test]
fn a_call_that_never_comes_to_a_syn_went_nowhere() {
    let mut owners = Owners::default();
    owners.told(&call(TRIES, 7, 1000, 9));
    owners.told(&call(TRIES, 8, 1000, 10));
    owners.told(&call(CONNECTS, 8, 1001, 10));
    assert_eq!(owners.went_nowhere(1000), []);
    let nowhere = owners.went_nowhere(1000 + DECIDED);
    assert_eq!(nowhere.len(), 1);
    assert_eq!(nowhere[0].0.destination, Addr::v4(9));
    assert_eq!(owners.went_nowhere(u64::MAX), []);
}

#[test]
fn where_calls_were_lost_none_is_taken_for_the_only_one() {
    let mut owners = Owners::default();
    owners.told(&call(CONNECTS, 7, 1000, 9));
    let next = SocketCall {
        lost: 1,
        ..call(LISTENS, 8, 1001, 0)
    };
    assert!(owners.told(&next), "who listens must be asked anew");
    assert_eq!(owners.calls(&tuple(9), 1002), None);
    assert!(!owners.told(&next));
}
