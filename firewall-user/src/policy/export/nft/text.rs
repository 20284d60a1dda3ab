//! The ruleset as nft's own language writes it, for people and for `nft -f`.

use std::fmt::Write as _;

use nftables::expr::{BinaryOperation, Expression, MetaKey, NamedExpression, Payload, SetItem};
use nftables::schema::{Chain, NfListObject, Rule, Set, SetType, SetTypeValue};
use nftables::stmt::{Counter, Match, Operator, RejectType, Statement};

use super::TABLE;

/// Elements in a line.
const IN_A_LINE: usize = 8;

/// All objects of the one table, which replaces what was there under its name.
pub(super) fn ruleset(objects: &[NfListObject<'static>]) -> String {
    let mut text =
        format!("table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    for object in objects {
        match object {
            NfListObject::Set(set) => text += &self::set(set),
            NfListObject::Chain(chain) => text += &self::chain(chain, objects),
            _ => {}
        }
    }
    text + "}\n"
}

fn set(set: &Set<'static>) -> String {
    let kind = match &set.set_type {
        SetTypeValue::Single(SetType::Ipv6Addr) => "ipv6_addr",
        _ => "ipv4_addr",
    };
    let mut text = format!(
        "  set {} {{\n    type {kind}\n    flags interval\n",
        set.name
    );
    let elements: Vec<String> = set
        .elem
        .iter()
        .flat_map(|all| all.iter())
        .map(value)
        .collect();
    let lines: Vec<String> = elements
        .chunks(IN_A_LINE)
        .map(|line| line.join(", "))
        .collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "    elements = {{ {} }}", lines.join(",\n      "));
    }
    text + "  }\n"
}

fn chain(chain: &Chain<'static>, objects: &[NfListObject<'static>]) -> String {
    let mut text = format!("  chain {} {{\n", chain.name);
    if let Some(hook) = chain.hook {
        let hook = format!("{hook:?}").to_lowercase();
        let policy = chain
            .policy
            .map(|policy| format!("{policy:?}").to_lowercase());
        let policy = policy.unwrap_or_else(|| "accept".to_owned());
        let priority = chain.prio.unwrap_or_default();
        let _ = writeln!(
            text,
            "    type filter hook {hook} priority {priority}; policy {policy};"
        );
    }
    for object in objects {
        match object {
            NfListObject::Rule(rule) if rule.chain == chain.name => text += &self::rule(rule),
            _ => {}
        }
    }
    text + "  }\n"
}

fn rule(rule: &Rule<'static>) -> String {
    let statements: Vec<String> = rule.expr.iter().map(statement).collect();
    let comment = rule
        .comment
        .as_ref()
        .map(|text| format!(" comment \"{text}\""));
    format!(
        "    {}{}\n",
        statements.join(" "),
        comment.unwrap_or_default()
    )
}

fn statement(statement: &Statement<'static>) -> String {
    match statement {
        Statement::Match(condition) => matched(condition),
        Statement::Counter(Counter::Anonymous(_)) => "counter".to_owned(),
        Statement::Accept(_) => "accept".to_owned(),
        Statement::Drop(_) => "drop".to_owned(),
        Statement::Jump(to) => format!("jump {}", to.target),
        Statement::Goto(to) => format!("goto {}", to.target),
        Statement::Mangle(set) => format!("{} set {}", value(&set.key), value(&set.value)),
        Statement::Log(Some(log)) => {
            format!(
                "log prefix \"{}\"",
                log.prefix.as_deref().unwrap_or_default()
            )
        }
        Statement::Reject(Some(reject)) => match reject._type {
            Some(RejectType::TCPReset) => "reject with tcp reset".to_owned(),
            _ => "reject with icmpx port-unreachable".to_owned(),
        },
        Statement::Limit(limit) => {
            let over = if limit.inv == Some(true) { "over " } else { "" };
            let burst = limit.burst.map(|burst| format!(" burst {burst} packets"));
            let per = limit.per.as_deref().unwrap_or("second");
            format!(
                "limit rate {over}{}/{per}{}",
                limit.rate,
                burst.unwrap_or_default()
            )
        }
        Statement::Meter(meter) => {
            let (key, inner) = (value(&meter.key), self::statement(&meter.stmt));
            format!("meter {} {{ {key} {inner} }}", meter.name)
        }
        // Nothing else is ever built here; the tests give every rule to nft.
        other => unknown(other),
    }
}

fn unknown(what: &impl std::fmt::Debug) -> String {
    format!("<{what:?}>")
}

fn matched(condition: &Match<'static>) -> String {
    let left = value(&condition.left);
    let right = match (&condition.left, &condition.right) {
        (Expression::Named(NamedExpression::Meta(meta)), Expression::String(name))
            if matches!(meta.key, MetaKey::Iifname | MetaKey::Oifname) =>
        {
            format!("\"{name}\"")
        }
        (Expression::BinaryOperation(_), right) => tcp_flags(right),
        (_, right) => value(right),
    };
    match condition.op {
        Operator::NEQ => format!("{left} != {right}"),
        _ => format!("{left} {right}"),
    }
}

pub(super) fn value(expression: &Expression<'static>) -> String {
    match expression {
        Expression::String(text) => text.to_string(),
        Expression::Number(number) => number.to_string(),
        Expression::Range(range) => {
            let [low, high] = &range.range;
            format!("{}-{}", value(low), value(high))
        }
        Expression::BinaryOperation(operation) => match operation.as_ref() {
            BinaryOperation::AND(left, right) => {
                format!("{} & ({})", value(left), tcp_flags(right))
            }
            other => unknown(other),
        },
        Expression::Named(named) => self::named(named),
        other => unknown(other),
    }
}

fn named(named: &NamedExpression<'static>) -> String {
    match named {
        NamedExpression::Set(items) => {
            let items = items.iter().map(|item| match item {
                SetItem::Element(element) => value(element),
                other => unknown(other),
            });
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
        NamedExpression::Prefix(prefix) => format!("{}/{}", value(&prefix.addr), prefix.len),
        NamedExpression::Payload(Payload::PayloadField(field)) => {
            format!("{} {}", field.protocol, field.field)
        }
        NamedExpression::Payload(Payload::PayloadRaw(raw)) => {
            format!("@th,{},{}", raw.offset, raw.len)
        }
        NamedExpression::Exthdr(header) => {
            format!(
                "{} {}",
                header.name,
                header.field.as_deref().unwrap_or("exists")
            )
        }
        NamedExpression::Meta(meta) => match meta.key {
            MetaKey::Iifname => "iifname".to_owned(),
            MetaKey::Oifname => "oifname".to_owned(),
            key => format!("meta {}", format!("{key:?}").to_lowercase()),
        },
        NamedExpression::CT(ct) => format!("ct {}", ct.key),
        NamedExpression::Fib(fib) => {
            let flags = fib
                .flags
                .iter()
                .map(|flag| format!("{flag:?}").to_lowercase());
            format!("fib {} type", flags.collect::<Vec<_>>().join(" . "))
        }
        NamedExpression::Numgen(numgen) => format!("numgen random mod {}", numgen.ng_mod),
        other => unknown(other),
    }
}

/// By name, lowest bit first.
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

fn tcp_flags(expression: &Expression<'static>) -> String {
    let names = |bits: u32| {
        let set = FLAGS
            .iter()
            .enumerate()
            .filter(|(bit, _)| bits & (1 << bit) != 0);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(" | ")
    };
    match expression {
        Expression::Number(0) => "0".to_owned(),
        Expression::Number(bits) => names(*bits),
        Expression::Named(NamedExpression::Set(items)) => {
            let items = items.iter().map(|item| match item {
                SetItem::Element(element) => tcp_flags(element),
                other => unknown(other),
            });
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
        other => value(other),
    }
}
