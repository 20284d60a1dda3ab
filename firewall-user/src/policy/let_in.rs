//! The line that would let a refused packet in: a rule for exactly it, at the place where it decides.

use std::net::IpAddr;

use firewall_common::reason::Reason;
use firewall_common::zone::Course;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Block, Policy};

/// A refused packet that opens something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Where it goes to.
    pub course: Course,
    /// The sender.
    pub source: IpAddr,
    /// The addressee.
    pub destination: IpAddr,
    /// The service as the language writes it: `tcp/22`, `icmp/8`, `gre`.
    pub service: String,
    /// Why it was refused.
    pub reason: Reason,
    /// The rule that refused it.
    pub rule: Option<String>,
    /// Zone of the sender.
    pub source_zone: String,
    /// Zone of the addressee.
    pub destination_zone: String,
}

/// A line for a policy's file, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetIn {
    /// The policy whose rule it becomes; absent: the line is a policy of its own.
    pub policy: Option<String>,
    /// The rule that it must stand before; absent: at the end.
    pub before: Option<String>,
    /// The line, YAML.
    pub line: String,
}

impl LetIn {
    /// Where it goes, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.policy, &self.before) {
            (Some(policy), Some(rule)) => format!("in `{policy}`, before the rule `{rule}`"),
            (Some(policy), None) => format!("in `{policy}`, as its last rule"),
            (None, _) => "at the end of `policies`".to_owned(),
        }
    }
}

/// The line that lets it in, where a rule can.
#[must_use]
pub fn line(policy: &Policy, wish: &Wish) -> Option<LetIn> {
    match wish.reason {
        Reason::RuleDeny | Reason::RuleReject | Reason::DefaultDeny | Reason::DefaultReject => {
            let (name, rule) = wish.rule.as_deref()?.split_once('/')?;
            let block = policy.blocks.iter().find(|block| block.name == name)?;
            let known = block.rules.iter().any(|known| known.name == rule);
            Some(LetIn {
                policy: Some(name.to_owned()),
                before: known.then(|| rule.to_owned()),
                line: format!(
                    "- {}",
                    rule_text(wish, &free(wish, |name| taken(block, name)))
                ),
            })
        }
        Reason::NoPolicy => {
            let in_use = |name: &str| policy.blocks.iter().any(|block| block.name == name);
            let name = free(wish, in_use);
            let (from, to) = (zone(&wish.source_zone)?, zone(&wish.destination_zone)?);
            let rule = rule_text(wish, "allow");
            Some(LetIn {
                policy: None,
                before: None,
                line: format!("- {{name: {name}, from: {from}, to: {to}, rules: [{rule}]}}"),
            })
        }
        _ => None,
    }
}

/// What to do where no line helps.
#[must_use]
pub const fn hint(reason: Reason) -> &'static str {
    match reason {
        Reason::NoSession => {
            "it belongs to no session: look for the packet that should have opened it"
        }
        Reason::Revoked | Reason::RuleExpired => {
            "its session was let in by a rule that is gone: see `ringwall policy explain`"
        }
        Reason::RateLimited | Reason::SourceLimit | Reason::SessionLimit => {
            "a rule lets it in and its limit is used up"
        }
        Reason::SessionTableFull | Reason::HalfOpenLimit => {
            "the policy lets it in and the table is full: see `sessions` in the agent file"
        }
        Reason::SpoofedSource | Reason::Martian => {
            "nobody on that link can have this address: look for loops and wrong routes, and at `source_check` by `ringwall zone of ADDR in IF`"
        }
        _ => "no rule can let this in: it is dropped before the policy",
    }
}

fn zone(name: &str) -> Option<&str> {
    (!name.is_empty() && name != "-").then_some(name)
}

fn taken(block: &Block, name: &str) -> bool {
    block.rules.iter().any(|rule| rule.name == name)
}

/// A name that nothing has yet, and that no line for another packet gets either.
fn free(wish: &Wish, taken: impl Fn(&str) -> bool) -> String {
    let peer = match wish.course {
        Course::Outbound => wish.destination,
        Course::Inbound | Course::Routed => wish.source,
    };
    let base = format!("let-in-{}-{peer}", wish.service).replace(['/', ':'], "-");
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone())
        .chain(numbered)
        .find(|name| !taken(name))
        .unwrap_or(base)
}

fn rule_text(wish: &Wish, name: &str) -> String {
    let mut conditions = String::new();
    if wish.course != Course::Outbound {
        conditions.push_str(&format!(", sources: [{}]", address(wish.source)));
    }
    if wish.course != Course::Inbound {
        conditions.push_str(&format!(", destinations: [{}]", address(wish.destination)));
    }
    let service = &wish.service;
    format!(
        "{{name: {name}, action: allow, services: [{service}]{conditions}, reason: WHY, owner: WHO}}"
    )
}

/// Quoted where YAML would take a colon for its own.
fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"{v6}\""),
    }
}

#[cfg(test)]
#[path = "let_in_tests.rs"]
mod tests;
