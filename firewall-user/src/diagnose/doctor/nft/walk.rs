//! A packet's way through the chains.

use nftables::expr::{Expression, NamedExpression, SetItem, Verdict};
use nftables::stmt::{Statement, VerdictMap};
use nftables::types::{NfChainType, NfFamily};

use super::packet::Packet;
use super::ruleset::{Chain, Rule, Ruleset, order};
use super::value::{Tri, is, matches};

/// Chains may jump to chains; nftables itself ends at sixteen.
const DEPTH: usize = 16;

/// What becomes of a packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::diagnose) struct Fate {
    /// The place that drops it for sure.
    pub(in crate::diagnose) drop: Option<String>,
    /// Places that may, if something holds that is not understood.
    pub(in crate::diagnose) doubts: Vec<String>,
}

/// How a chain ends for a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Accept,
    Drop(String),
    /// At its end, or by `return`.
    Through,
}

/// What becomes of a packet on its way to this host, or from it.
pub(super) fn fate(ruleset: &Ruleset, packet: &Packet) -> Fate {
    let mut fate = Fate::default();
    for chain in ruleset
        .base_chains(packet.leaving)
        .filter(|chain| sees(chain, packet))
    {
        let mut walk = Walk {
            ruleset,
            packet,
            certain: true,
            doubts: Vec::new(),
        };
        let end = walk.base(chain);
        fate.doubts.append(&mut walk.doubts);
        match end {
            End::Drop(place) if walk.certain => {
                fate.drop = Some(place);
                return fate;
            }
            End::Drop(place) => fate.doubts.push(place),
            _ => {}
        }
    }
    fate
}

fn place(chain: &Chain, rule: &Rule) -> String {
    format!("rule {} of {}", rule.handle, chain.place)
}

fn sees(chain: &Chain, packet: &Packet) -> bool {
    let family = match chain.family {
        NfFamily::INet => true,
        NfFamily::IP => packet.source.is_ipv4(),
        NfFamily::IP6 => packet.source.is_ipv6(),
        NfFamily::NetDev => true,
        _ => false,
    };
    let on_the_way = chain
        .base
        .is_some_and(|(hook, _)| order(hook, packet.leaving).is_some());
    let here = chain
        .device
        .as_ref()
        .is_none_or(|device| *device == packet.interface);
    family && on_the_way && here && chain.kind == Some(NfChainType::Filter)
}

struct Walk<'r> {
    ruleset: &'r Ruleset,
    packet: &'r Packet,
    /// Nothing that is not understood has had a chance to end the chain before.
    certain: bool,
    doubts: Vec<String>,
}

impl Walk<'_> {
    fn base(&mut self, chain: &Chain) -> End {
        match self.chain(chain, 0) {
            End::Through if chain.drops => End::Drop(chain.place.clone()),
            end => end,
        }
    }

    fn chain(&mut self, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            match self.rule(chain, rule, depth) {
                Step::Next => {}
                Step::Return => return End::Through,
                Step::End(end) => return end,
            }
        }
        End::Through
    }

    fn rule(&mut self, chain: &Chain, rule: &Rule, depth: usize) -> Step {
        let Some(statements) = &rule.statements else {
            self.certain = false;
            self.doubts.push(place(chain, rule));
            return Step::Next;
        };
        let mut holds = Tri::Yes;
        for statement in statements {
            let step = match self.reads(statement) {
                Read::Condition(Tri::No) => return Step::Next,
                Read::Condition(Tri::Maybe) => {
                    holds = Tri::Maybe;
                    continue;
                }
                Read::Condition(Tri::Yes) | Read::Nothing => continue,
                Read::Ends(how) => self.act(chain, rule, &how, holds, depth),
                // It may be a condition, or end the chain.
                Read::Unknown => {
                    self.certain = false;
                    holds = Tri::Maybe;
                    continue;
                }
            };
            return step;
        }
        Step::Next
    }

    /// A verdict of a rule that holds, or may.
    fn act(&mut self, chain: &Chain, rule: &Rule, how: &How, holds: Tri, depth: usize) -> Step {
        let step = match how {
            How::Accept => Step::End(End::Accept),
            How::Drop => Step::End(End::Drop(place(chain, rule))),
            How::Return => Step::Return,
            How::Continue => Step::Next,
            How::Jump(name) | How::Goto(name) => {
                let (family, table, _) = &chain.key;
                let key = (family.clone(), table.clone(), name.clone());
                let Some(target) = self.ruleset.chains.get(&key).filter(|_| depth < DEPTH) else {
                    self.certain = false;
                    return Step::Next;
                };
                match (self.chain(target, depth + 1), how) {
                    (End::Through, How::Jump(_)) => Step::Next,
                    // What is gone to does not come back; a base chain's policy is next.
                    (End::Through, _) => Step::Return,
                    (end, _) => Step::End(end),
                }
            }
        };
        if holds == Tri::Yes {
            return step;
        }
        match step {
            Step::Next => {}
            Step::End(End::Drop(place)) => self.doubts.push(place),
            _ => self.certain = false,
        }
        Step::Next
    }

    fn reads(&self, statement: &Statement<'_>) -> Read {
        match statement {
            Statement::Match(condition) => Read::Condition(matches(condition, self.packet)),
            Statement::VerdictMap(map) => self.look_up(map),
            Statement::Accept(_) => Read::Ends(How::Accept),
            Statement::Drop(_) | Statement::Reject(_) => Read::Ends(How::Drop),
            Statement::Return(_) => Read::Ends(How::Return),
            Statement::Jump(to) => Read::Ends(How::Jump(to.target.to_string())),
            Statement::Goto(to) => Read::Ends(How::Goto(to.target.to_string())),
            Statement::Continue(_) | Statement::Counter(_) | Statement::Log(_) => Read::Nothing,
            Statement::Mangle(_) | Statement::Notrack | Statement::Dup(_) => Read::Nothing,
            Statement::Limit(_)
            | Statement::Quota(_)
            | Statement::CTCount(_)
            | Statement::Meter(_) => Read::Condition(Tri::Maybe),
            _ => Read::Unknown,
        }
    }

    /// `ct state vmap { established : accept, invalid : drop }`.
    fn look_up(&self, map: &VerdictMap<'_>) -> Read {
        let Expression::Named(NamedExpression::Set(items)) = &map.data else {
            return Read::Unknown;
        };
        for item in items {
            let Some((key, verdict)) = pair(item) else {
                return Read::Unknown;
            };
            match is(&map.key, key, self.packet) {
                Tri::No => {}
                Tri::Maybe => return Read::Unknown,
                Tri::Yes => return of_verdict(verdict),
            }
        }
        Read::Condition(Tri::No)
    }
}

/// The reader takes a pair for a list of two: both come in the same brackets.
fn pair<'i, 'a>(item: &'i SetItem<'a>) -> Option<(&'i Expression<'a>, &'i Verdict<'a>)> {
    match item {
        SetItem::Mapping(key, Expression::Verdict(verdict)) => Some((key, verdict)),
        SetItem::Element(Expression::List(both)) => match both.as_slice() {
            [key, Expression::Verdict(verdict)] => Some((key, verdict)),
            _ => None,
        },
        _ => None,
    }
}

fn of_verdict(verdict: &Verdict<'_>) -> Read {
    match verdict {
        Verdict::Accept => Read::Ends(How::Accept),
        Verdict::Drop => Read::Ends(How::Drop),
        Verdict::Return => Read::Ends(How::Return),
        Verdict::Continue => Read::Ends(How::Continue),
        Verdict::Jump(to) => Read::Ends(How::Jump(to.target.to_string())),
        Verdict::Goto(to) => Read::Ends(How::Goto(to.target.to_string())),
    }
}

/// What a rule does to the way through its chain.
enum Step {
    Next,
    Return,
    End(End),
}

/// What a statement is.
enum Read {
    Condition(Tri),
    Ends(How),
    Nothing,
    /// It may do anything.
    Unknown,
}

enum How {
    Accept,
    Drop,
    Return,
    Continue,
    Jump(String),
    Goto(String),
}
