//! TCP by sequence and window: what a blind sender tries, and what a correct host needs.

use firewall_common::reason::Reason::*;

use super::policies::{MONITORED, WEB};
use super::tcp::{END, PUSH, client, server, then};
use crate::case::packet::{Packet, ack, flag, raw, syn, tcp, too_big};
use crate::case::{Case, Family, arrives, leaves};

/// Half of the sequence space away.
const FAR: u32 = 0x8000_0000;

fn from_client(f: &Family, flags: u8, sequence: u32, acknowledgement: u32) -> Packet {
    tcp(client(f), server(f), flags, sequence, acknowledgement)
}

fn from_server(f: &Family, flags: u8, sequence: u32, acknowledgement: u32) -> Packet {
    tcp(server(f), client(f), flags, sequence, acknowledgement)
}

/// With a window scale option: seven, and padding.
fn scaled(packet: Packet) -> Packet {
    packet.tcp_options(&[1, 3, 3, 7])
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case::new("blind-data-is-dropped-and-changes-nothing", WEB, |f| {
        let data = |sequence, ack| from_client(f, PUSH, sequence, ack).data(b"evil").frame();
        then(
            f,
            vec![
                arrives(data(1001_u32.wrapping_add(FAR), 5001), OutOfWindow).zone("internet"),
                arrives(data(1001 + 200_000, 5001), OutOfWindow),
                arrives(data(1001_u32.wrapping_sub(200_000), 5001), OutOfWindow),
                arrives(data(1001, 5001_u32.wrapping_add(FAR)), OutOfWindow),
                arrives(data(1001, 5001_u32.wrapping_sub(200_000)), OutOfWindow),
                arrives(from_client(f, END, 900_000, 5001).frame(), OutOfWindow),
                leaves(
                    from_server(f, PUSH, 5001, 1001).data(b"good").sent(),
                    Session,
                ),
                arrives(
                    from_client(f, PUSH, 1001, 5005).data(b"good").frame(),
                    Session,
                ),
            ],
        )
    }),
    Case::new("a-blind-reset-from-the-other-side", WEB, |f| {
        then(
            f,
            vec![
                leaves(from_server(f, flag::RST, 9_000_000, 0).sent(), OutOfWindow),
                arrives(from_client(f, PUSH, 1001, 5001).data(b"x").frame(), Session),
            ],
        )
    }),
    Case::new("out-of-order-and-sent-again", WEB, |f| {
        let data = |sequence| from_client(f, PUSH, sequence, 5001).data(&[7; 100]).frame();
        then(
            f,
            vec![
                arrives(data(1101), Session),
                arrives(data(1301), Session),
                leaves(from_server(f, flag::ACK, 5001, 1001).sent(), Session),
                arrives(data(1001), Session),
                arrives(data(1201), Session),
                leaves(from_server(f, flag::ACK, 5001, 1401).sent(), Session),
                arrives(data(1301), Session),
                leaves(from_server(f, flag::ACK, 5001, 1201).sent(), Session),
            ],
        )
    }),
    Case::new("the-window-scale-of-both-counts", WEB, |f| {
        let (own, peer) = (client(f), server(f));
        vec![
            arrives(scaled(syn(own, peer)).frame(), RuleAllow).by("inbound/web"),
            leaves(
                scaled(tcp(peer, own, flag::SYN | flag::ACK, 5000, 1001)).sent(),
                Session,
            ),
            arrives(ack(own, peer).frame(), Session),
            // 64000 as sent, 128 times as much meant.
            leaves(from_server(f, flag::ACK, 5001, 1001).sent(), Session),
            arrives(
                from_client(f, PUSH, 8_000_000, 5001).data(b"x").frame(),
                Session,
            ),
            arrives(
                from_client(f, PUSH, 0x4000_0000, 5001).data(b"x").frame(),
                OutOfWindow,
            ),
        ]
    }),
    Case::new("a-window-scale-that-one-side-does-not-know", WEB, |f| {
        let (own, peer) = (client(f), server(f));
        vec![
            arrives(scaled(syn(own, peer)).frame(), RuleAllow).by("inbound/web"),
            leaves(
                tcp(peer, own, flag::SYN | flag::ACK, 5000, 1001).sent(),
                Session,
            ),
            arrives(ack(own, peer).frame(), Session),
            leaves(from_server(f, flag::ACK, 5001, 1001).sent(), Session),
            arrives(
                from_client(f, PUSH, 8_000_000, 5001).data(b"x").frame(),
                OutOfWindow,
            ),
        ]
    }),
    Case::new("options-of-a-syn-that-lie", WEB, |f| {
        // Of no length; longer than the header; all of them empty.
        [&[3, 0, 9, 0][..], &[3, 40, 9, 0], &[1; 40], &[2, 1, 3, 3]]
            .iter()
            .enumerate()
            .map(|(number, options)| {
                let own = (f.stranger, 41000 + number as u16);
                arrives(syn(own, server(f)).tcp_options(options).frame(), RuleAllow)
                    .by("inbound/web")
            })
            .collect()
    }),
    Case::new("keep-alives-and-window-probes", WEB, |f| {
        then(
            f,
            vec![
                arrives(from_client(f, flag::ACK, 1000, 5001).frame(), Session),
                leaves(from_server(f, flag::ACK, 5001, 1001).sent(), Session),
                arrives(
                    from_client(f, flag::ACK, 1000, 5001).data(&[0]).frame(),
                    Session,
                ),
                arrives(
                    from_client(f, flag::ACK, 1001, 5001).data(&[0]).frame(),
                    Session,
                ),
            ],
        )
    }),
    Case::new("a-challenge-and-the-reset-it-asks-for", WEB, |f| {
        then(
            f,
            vec![
                // The client has restarted and knows nothing of the connection.
                arrives(from_client(f, flag::SYN, 0x7777_0000, 0).frame(), Session),
                leaves(from_server(f, flag::ACK, 5001, 1001).sent(), Session),
                arrives(from_client(f, flag::RST, 1001, 0).frame(), Session),
                arrives(from_client(f, flag::SYN, 0x7777_0000, 0).frame(), RuleAllow)
                    .by("inbound/web"),
            ],
        )
    }),
    Case::new("the-answer-comes-again-in-a-session", WEB, |f| {
        then(
            f,
            vec![
                leaves(
                    from_server(f, flag::SYN | flag::ACK, 5000, 1001).sent(),
                    Session,
                ),
                arrives(ack(client(f), server(f)).frame(), Session),
                arrives(
                    from_client(f, flag::SYN | flag::ACK, 0x7777_0000, 5001).frame(),
                    OutOfWindow,
                ),
            ],
        )
    }),
    Case::new("fast-open-both-ways", WEB, |f| {
        vec![
            arrives(
                from_client(f, flag::SYN, 1000, 0).data(&[1; 200]).frame(),
                RuleAllow,
            )
            .by("inbound/web"),
            leaves(
                from_server(f, flag::SYN | flag::ACK, 5000, 1201).sent(),
                Session,
            ),
            leaves(
                from_server(f, PUSH, 5001, 1201).data(&[2; 900]).sent(),
                Session,
            ),
            arrives(from_client(f, flag::ACK, 1201, 5901).frame(), Session),
        ]
    }),
    Case::new("old-segments-of-a-closed-session", WEB, |f| {
        then(
            f,
            vec![
                arrives(from_client(f, END, 1001, 5001).frame(), Session),
                leaves(from_server(f, END, 5001, 1002).sent(), Session),
                arrives(from_client(f, END, 1001, 5001).frame(), Session),
                arrives(from_client(f, flag::ACK, 1002, 5002).frame(), Session),
                arrives(from_client(f, PUSH, 0x6000_0000, 5002).frame(), OutOfWindow),
            ],
        )
    }),
    Case::new("an-error-quotes-what-was-sent-and-nothing-else", WEB, |f| {
        let about = |sequence| from_server(f, PUSH, sequence, 1001).data(&[9; 1000]);
        then(
            f,
            vec![
                leaves(about(5001).sent(), Session),
                arrives(too_big(f.other, f.host, &about(5001)).frame(), Related),
                arrives(
                    too_big(f.other, f.host, &about(0x4000_0000)).frame(),
                    OutOfWindow,
                ),
                arrives(
                    too_big(f.other, f.host, &about(5001_u32.wrapping_sub(200_000))).frame(),
                    OutOfWindow,
                ),
                arrives(from_client(f, flag::ACK, 1001, 6001).frame(), Session),
            ],
        )
    }),
    Case::new("a-segment-in-fragments", WEB, |f| {
        let whole = from_client(f, PUSH, 1001, 5001).data(&[5; 1000]);
        let first = whole.clone().cut(520).fragment(0, true, 91);
        let rest = raw(f.stranger, f.host, 6, vec![5; 500]).fragment(520, false, 91);
        then(
            f,
            vec![
                arrives(first.frame(), Session),
                arrives(rest.frame(), Session),
                leaves(from_server(f, flag::ACK, 5001, 2001).sent(), Session),
                arrives(from_client(f, PUSH, 2001, 5001).data(b"x").frame(), Session),
            ],
        )
    }),
    Case::new("in-monitor-mode-it-passes", MONITORED, |f| {
        let far = from_client(f, PUSH, 0x4000_0000, 5001).data(b"x");
        then(f, vec![arrives(far.frame(), OutOfWindow).audited()])
    }),
];
