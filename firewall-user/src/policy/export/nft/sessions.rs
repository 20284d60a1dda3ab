//! What opens a session, and how a refusal is answered.

use nftables::expr::{CT, Expression, MetaKey, NamedExpression};
use nftables::stmt::{Limit, Mangle, Meter, Reject, RejectType, Statement};
use nftables::types::RejectCode;

use super::Builder;
use super::say::{
    Say, Value, accept, count, family, field, flags, goto, has, ip, is, is_not, meta, number,
    one_of, protocol, range, transport, word,
};
use crate::policy::services::{ICMP, ICMPV6};

/// Where a stateful allow leads: a session is opened, or a stray ends.
pub(super) const ADMIT: &str = "admit";
/// Where a reject leads.
pub(super) const REFUSE: &str = "refuse";

const SYN_ACK_RST_FIN: u8 = 0x17;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const TCP: u8 = 6;
const SCTP: u8 = 132;
const DCCP: u8 = 33;

/// A mark for connections that a stateful rule opened. Needed only where others are accepted, too.
const OURS: u32 = 0x5257;

fn ct(key: &str) -> Value {
    let (family, dir) = (None, None);
    Expression::Named(NamedExpression::CT(CT {
        key: key.to_owned().into(),
        family,
        dir,
    }))
}

fn has_stateless(builder: &Builder<'_>) -> bool {
    let blocks = builder.policy.blocks.iter();
    blocks
        .flat_map(|block| &block.rules)
        .any(|rule| rule.active() && !rule.stateful)
}

/// Packets of live sessions pass, and errors about them; other errors do not, whatever the rules say.
pub(super) fn live(builder: &mut Builder<'_>, chain: &str) {
    let mut established = vec![has(ct("state"), word("established"))];
    if has_stateless(builder) {
        established.push(is(ct("mark"), number(OURS)));
    }
    established.extend([count(), accept()]);
    builder.rule(chain, established);
    let related = has(ct("state"), word("related"));
    builder.rule(
        chain,
        vec![protocol(&[ICMP, ICMPV6]), related, count(), accept()],
    );
    for v6 in [false, true] {
        let drop = builder.drop();
        builder.rule(
            chain,
            vec![is(field(icmp(v6), "type"), errors(v6)), count(), drop],
        );
    }
}

const fn icmp(v6: bool) -> &'static str {
    if v6 { "icmpv6" } else { "icmp" }
}

/// RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem. RFC 4443: below 128.
fn errors(v6: bool) -> Value {
    if v6 {
        return range(number(0), number(127));
    }
    one_of([3, 4, 5, 11, 12].map(number).into())
}

/// The chains that rules lead to.
pub(super) fn chains(builder: &mut Builder<'_>) {
    admit(builder);
    refuse(builder);
}

fn admit(builder: &mut Builder<'_>) {
    builder.chain(ADMIT);
    let mut open = vec![count(), accept()];
    if has_stateless(builder) {
        open.insert(
            0,
            Statement::Mangle(Mangle {
                key: ct("mark"),
                value: number(OURS),
            }),
        );
    }
    let with = |conditions: Vec<Say>| {
        conditions
            .into_iter()
            .chain(open.iter().cloned())
            .collect::<Vec<_>>()
    };
    let opening = is(flags(SYN_ACK_RST_FIN), number(SYN.into()));
    builder.rule(ADMIT, with(vec![opening]));
    // The first chunk is INIT (RFC 9260 section 3.2), the type is Request (RFC 4340 section 5.1).
    builder.rule(
        ADMIT,
        with(vec![protocol(&[SCTP]), is(transport(96, 8), number(1))]),
    );
    builder.rule(
        ADMIT,
        with(vec![protocol(&[DCCP]), is(transport(67, 4), number(0))]),
    );
    for (v6, requests, replies) in [(false, &[8, 13][..], &[0, 14][..]), (true, &[128], &[129])] {
        let kind = |kinds: &[u32]| {
            is(
                field(icmp(v6), "type"),
                one_of(kinds.iter().map(|k| number(*k)).collect()),
            )
        };
        builder.rule(ADMIT, with(vec![kind(requests)]));
        let drop = builder.drop();
        builder.rule(ADMIT, vec![kind(replies), count(), drop]);
        // Other types have no session by their nature.
        let other = if v6 { ICMPV6 } else { ICMP };
        builder.rule(
            ADMIT,
            vec![family(v6), protocol(&[other]), count(), accept()],
        );
    }
    let strays = vec![TCP, SCTP, DCCP];
    let drop = builder.drop();
    builder.rule(ADMIT, vec![protocol(&strays), count(), drop]);
    builder.rule(ADMIT, open);
}

/// At most 1000 answers a second and 10 to a source, never to a reset; past that silent.
fn refuse(builder: &mut Builder<'_>) {
    builder.chain(REFUSE);
    if builder.monitors() {
        builder.rule(REFUSE, vec![count(), accept()]);
        return;
    }
    let drop = super::say::drop;
    builder.rule(REFUSE, vec![is_not(flags(RST), number(0)), count(), drop()]);
    builder.rule(REFUSE, vec![over(1000), count(), drop()]);
    for v6 in [false, true] {
        let meter = Statement::Meter(Meter {
            name: format!("refused-{}", if v6 { 6 } else { 4 }).into(),
            key: field(ip(v6), "saddr"),
            stmt: Box::new(over(10)),
        });
        builder.rule(REFUSE, vec![family(v6), meter, count(), drop()]);
    }
    let reset = Statement::Reject(Some(Reject::new(Some(RejectType::TCPReset), None)));
    builder.rule(REFUSE, vec![protocol(&[TCP]), count(), reset]);
    let unreachable = Reject::new(Some(RejectType::ICMPX), Some(RejectCode::PortUnreach));
    builder.rule(REFUSE, vec![count(), Statement::Reject(Some(unreachable))]);
}

fn over(rate: u32) -> Say {
    Statement::Limit(Limit {
        rate,
        rate_unit: None,
        per: Some("second".into()),
        burst: Some(rate),
        burst_unit: None,
        inv: Some(true),
    })
}

/// What nothing decided.
pub(super) fn unmatched(builder: &mut Builder<'_>, chain: &str, action: Unmatched) {
    let (word, end) = match action {
        Unmatched::Admit => ("allow", goto(ADMIT)),
        Unmatched::Pass => ("pass", accept()),
        Unmatched::Refuse => ("reject", goto(REFUSE)),
        Unmatched::Drop => ("deny", builder.drop()),
    };
    let comment = format!("unmatched: {word}");
    builder.commented(chain, vec![count(), end], Some(comment));
}

/// How the rest ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unmatched {
    /// A session is opened.
    Admit,
    /// Let by, strays included.
    Pass,
    /// Answered.
    Refuse,
    /// Silently.
    Drop,
}

/// The interface that loopback is.
pub(super) fn loopback(end: MetaKey) -> Say {
    is(meta(end), word("lo"))
}
