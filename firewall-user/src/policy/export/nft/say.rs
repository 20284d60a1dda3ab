//! Words of nftables, made short.

use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::{
    BinaryOperation, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadBase,
    PayloadField, PayloadRaw, Prefix, Range, SetItem,
};
use nftables::stmt::{Counter, JumpTarget, Match, Operator, Statement};

/// An expression that owns what it says.
pub(super) type Value = Expression<'static>;
/// A statement that owns what it says.
pub(super) type Say = Statement<'static>;

pub(super) fn is(left: Value, right: Value) -> Say {
    compare(left, Operator::EQ, right)
}

/// A set of bits that has this one.
pub(super) fn has(left: Value, right: Value) -> Say {
    compare(left, Operator::IN, right)
}

pub(super) fn is_not(left: Value, right: Value) -> Say {
    compare(left, Operator::NEQ, right)
}

fn compare(left: Value, op: Operator, right: Value) -> Say {
    Statement::Match(Match { left, right, op })
}

pub(super) fn word(text: impl Into<String>) -> Value {
    Expression::String(text.into().into())
}

pub(super) const fn number(value: u32) -> Value {
    Expression::Number(value)
}

pub(super) fn range(low: Value, high: Value) -> Value {
    let range = [low, high];
    Expression::Range(Box::new(Range { range }))
}

/// A range of numbers, or the one number that it is.
pub(super) fn numbers((low, high): (u16, u16)) -> Value {
    if low == high {
        return number(low.into());
    }
    range(number(low.into()), number(high.into()))
}

/// A prefix, or the one address that it is.
pub(super) fn prefix(net: &IpNet) -> Value {
    if net.prefix_len() == net.max_prefix_len() {
        return address(net.addr());
    }
    let addr = Box::new(address(net.addr()));
    let len = net.prefix_len().into();
    Expression::Named(NamedExpression::Prefix(Prefix { addr, len }))
}

pub(super) fn address(address: IpAddr) -> Value {
    word(address.to_string())
}

/// One of several, or the one that there is.
pub(super) fn one_of(mut values: Vec<Value>) -> Value {
    match (values.pop(), values.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            let all = values.into_iter().chain(last);
            let items = all.map(SetItem::Element).collect();
            Expression::Named(NamedExpression::Set(items))
        }
    }
}

pub(super) fn field(protocol: &str, field: &str) -> Value {
    let (protocol, field) = (protocol.to_owned().into(), field.to_owned().into());
    let field = Payload::PayloadField(PayloadField { protocol, field });
    Expression::Named(NamedExpression::Payload(field))
}

/// Bits of the transport header, counted from its beginning.
pub(super) const fn transport(offset: u32, len: u32) -> Value {
    let base = PayloadBase::TH;
    let raw = Payload::PayloadRaw(PayloadRaw { base, offset, len });
    Expression::Named(NamedExpression::Payload(raw))
}

pub(super) const fn meta(key: MetaKey) -> Value {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn protocol(numbers: &[u8]) -> Say {
    let numbers = numbers.iter().map(|n| number((*n).into()));
    is(meta(MetaKey::L4proto), one_of(numbers.collect()))
}

pub(super) fn family(v6: bool) -> Say {
    is(
        meta(MetaKey::Nfproto),
        word(if v6 { "ipv6" } else { "ipv4" }),
    )
}

/// The header's name in this family.
pub(super) const fn ip(v6: bool) -> &'static str {
    if v6 { "ip6" } else { "ip" }
}

/// Some of a TCP segment's flags.
pub(super) fn flags(mask: u8) -> Value {
    let flags = field("tcp", "flags");
    let masked = BinaryOperation::AND(flags, number(mask.into()));
    Expression::BinaryOperation(Box::new(masked))
}

pub(super) const fn count() -> Say {
    Statement::Counter(Counter::Anonymous(None))
}

pub(super) const fn accept() -> Say {
    Statement::Accept(None)
}

pub(super) const fn drop() -> Say {
    Statement::Drop(None)
}

pub(super) fn jump(chain: &str) -> Say {
    let target = chain.to_owned().into();
    Statement::Jump(JumpTarget { target })
}

pub(super) fn goto(chain: &str) -> Say {
    let target = chain.to_owned().into();
    Statement::Goto(JumpTarget { target })
}
