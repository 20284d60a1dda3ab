//! Each cause by its evidence, in both families: one line a case.

use std::net::IpAddr;

use firewall_common::parse::tcp::{ACK, RST, SYN};
use firewall_common::session::State;

use super::evidence::{Back, Dropped, Evidence, Standing};
use super::judge::judge;
use super::listeners::Heard;
use super::one::of_session;
use super::tests::{SECOND, START, session};
use super::{Cause, Way};
use crate::agent::plane::Live;

const ANY: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

fn nothing() -> Evidence {
    Evidence {
        heard: Heard::Unknown,
        asked: None,
        answered: None,
        back: Back::Same,
        dead_end: false,
        socket: None,
        dropped_at: "eth1".to_owned(),
        crosses: "eth0".to_owned(),
        beside: "eth2, which is not guarded".to_owned(),
        sees_drops: true,
    }
}

fn by(reason: &str) -> Option<Dropped> {
    Some(Dropped {
        reason: reason.to_owned(),
        interface: 2,
        times: 3,
        first: START,
        last: START + SECOND,
    })
}

fn other(guarded: bool) -> Back {
    Back::Other {
        came: "eth0".to_owned(),
        leaves: "eth1".to_owned(),
        guarded,
    }
}

/// What a session has seen: the other side's flags and packets, and an ICMP error.
fn with(mut live: Live, flags: u8, received: u64, error: Option<u16>) -> Live {
    live.entry.track.seen[1] = flags;
    live.entry.counts[1].packets = received;
    if let Some(error) = error {
        live.entry.track.note_error(error);
    }
    live
}

type Case<'c> = (&'c str, Cause, State, (u8, u64, Option<u16>), Evidence);

fn hold(way: Way, cases: &[Case<'_>]) {
    for v6 in [false, true] {
        for (name, cause, state, (flags, received, error), seen) in cases {
            let live = with(session(way, v6, *state), *flags, *received, *error);
            let one = of_session(&live.key, &live.entry).unwrap();
            let found = judge(&one, &live.entry, seen).unwrap();
            assert_eq!(found.cause, *cause, "{name}: {found:?}");
            assert!(!found.evidence.is_empty(), "{name}");
        }
    }
}

const SILENT: (u8, u64, Option<u16>) = (0, 0, None);
const REFUSED: (u8, u64, Option<u16>) = (RST | ACK, 1, None);

// A case is a line, as in any table.
#[rustfmt::skip]
#[test]
fn somebody_asks_this_host() {
    use Heard::{Elsewhere, Full, Here, Nobody};
    use State::{Close, SynReceived, SynSent};
    const ANSWERED: (u8, u64, Option<u16>) = (SYN | ACK, 3, None);
    let heard = |heard: Heard| Evidence { heard, ..nothing() };
    let asked = |reason, who: Heard| Evidence { asked: by(reason), ..heard(who) };
    let answered = |reason, who: Heard| Evidence { answered: by(reason), ..heard(who) };
    let here = || Here(ANY);
    let full = || Full(ANY, 9, 8);
    let again = Evidence { dead_end: true, asked: by("NOT_SPECIFIED"), ..answered("NOT_SPECIFIED", here()) };
    let back = |back: Back, who: Heard, socket| Evidence { back, socket, ..heard(who) };
    let blind = |seen: Evidence| Evidence { sees_drops: false, ..seen };
    let lo = || Elsewhere(vec![[127, 0, 0, 1].into()]);
    let has = Some(Standing::SynReceived);
    hold(Way::Inbound, &[
        ("a RST, nobody", Cause::NoListener, Close, REFUSED, heard(Nobody)),
        ("a RST, elsewhere", Cause::ListenerElsewhere, Close, REFUSED, heard(lo())),
        ("a RST, somebody", Cause::Unknown, Close, REFUSED, heard(here())),
        ("a RST, not readable", Cause::Unknown, Close, REFUSED, heard(Heard::Unknown)),
        ("a filter's RST", Cause::LocalFilter, Close, REFUSED, asked("NETFILTER_DROP", here())),
        ("a filter's RST, nobody", Cause::LocalFilter, Close, REFUSED, asked("NETFILTER_DROP", Nobody)),
        ("the usual RST, told too", Cause::NoListener, Close, REFUSED, asked("NO_SOCKET", Nobody)),
        ("the opener's RST", Cause::Unknown, Close, (SYN | ACK, 1, None), heard(here())),
        ("a full queue", Cause::ListenerOverflow, SynSent, SILENT, heard(full())),
        ("a full queue, told", Cause::ListenerOverflow, SynSent, SILENT, asked("TCP_LISTEN_OVERFLOW", here())),
        ("a filter before a full queue", Cause::LocalFilter, SynSent, SILENT, asked("NETFILTER_DROP", full())),
        ("a filter on the way in", Cause::LocalFilter, SynSent, SILENT, asked("NETFILTER_DROP", here())),
        ("the reverse path", Cause::LocalFilter, SynSent, SILENT, asked("IP_RPFILTER", here())),
        ("a filter on the way out", Cause::LocalFilter, SynSent, SILENT, answered("NETFILTER_DROP", here())),
        ("a filter behind us", Cause::LocalFilter, SynReceived, ANSWERED, answered("TC_EGRESS", here())),
        ("the next hop back is dead", Cause::ReplyPath, SynSent, SILENT, answered("NEIGH_FAILED", here())),
        ("a second SYN says nothing", Cause::ReplyPath, SynSent, SILENT, again),
        ("some other reason", Cause::Unknown, SynSent, SILENT, asked("TCP_MD5NOTFOUND", here())),
        ("some other reason, out", Cause::Unknown, SynReceived, ANSWERED, answered("QDISC_DROP", here())),
        ("somebody silent", Cause::Unknown, SynSent, SILENT, heard(here())),
        ("nobody, nothing told", Cause::Unknown, SynSent, SILENT, heard(Nobody)),
        ("nobody, and blind", Cause::LocalFilter, SynSent, SILENT, blind(heard(Nobody))),
        ("nobody, the RST left elsewhere", Cause::NoListener, SynSent, SILENT, back(other(false), Nobody, None)),
        ("elsewhere, no way back", Cause::ListenerElsewhere, SynSent, SILENT, back(Back::Missing, lo(), None)),
        ("answered by an unguarded way", Cause::ReplyPath, SynSent, SILENT, back(other(false), here(), has)),
        ("an unguarded way, not answered", Cause::Unknown, SynSent, SILENT, back(other(false), here(), None)),
        ("no ACK", Cause::ReplyPath, SynReceived, ANSWERED, heard(here())),
        ("no ACK, another way", Cause::ReplyPath, SynReceived, ANSWERED, back(other(true), here(), None)),
        ("no ACK once", Cause::Unknown, SynReceived, (SYN | ACK, 1, None), heard(here())),
    ]);
}

#[rustfmt::skip]
#[test]
fn this_host_asks_somebody() {
    use State::{Close, SynReceived, SynSent};
    const ANSWERED: (u8, u64, Option<u16>) = (SYN | ACK, 2, None);
    let asked = |reason| Evidence { asked: by(reason), ..nothing() };
    let answered = |reason| Evidence { answered: by(reason), ..nothing() };
    let socket = |socket| Evidence { socket: Some(socket), ..nothing() };
    hold(Way::Outbound, &[
        ("a RST", Cause::Refused, Close, REFUSED, nothing()),
        ("our own RST", Cause::Unknown, Close, (SYN | ACK, 1, None), nothing()),
        ("nothing", Cause::SilentDrop, SynSent, SILENT, socket(Standing::SynSent)),
        ("an ICMP error", Cause::Unreachable, SynSent, (0, 0, Some(0x0301)), nothing()),
        ("something else", Cause::Unknown, SynSent, (ACK, 1, None), nothing()),
        ("dropped behind us", Cause::Unknown, SynSent, SILENT, asked("QDISC_DROP")),
        ("connected all the same", Cause::AsymmetricReply, SynSent, SILENT, socket(Standing::Connected)),
        ("the reverse path", Cause::AsymmetricReply, SynReceived, ANSWERED, answered("IP_RPFILTER")),
        ("a filter of ours", Cause::Unknown, SynReceived, ANSWERED, answered("NETFILTER_DROP")),
        ("half", Cause::Unknown, SynReceived, ANSWERED, nothing()),
    ]);
}

#[test]
fn two_ways_are_named_with_what_to_do_about_it() {
    let live = session(Way::Inbound, true, State::SynReceived);
    let live = with(live, SYN | ACK, 4, None);
    let one = of_session(&live.key, &live.entry).unwrap();
    let seen = Evidence {
        back: other(true),
        ..nothing()
    };
    let found = judge(&one, &live.entry, &seen).unwrap();
    let text = found.evidence.join("; ");
    assert!(text.contains("eth0") && text.contains("eth1"), "{text}");
    let advice = found.advice.unwrap();
    for word in ["symmetric", "ip rule", "stateful: false"] {
        assert!(advice.contains(word), "{advice}");
    }
}
