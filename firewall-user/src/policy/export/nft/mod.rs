//! A policy as an nftables ruleset of the same meaning, in one table of its own.
//!
//! It is also what Ringwall is held against: the same packets through both must have the same fate, see
//! `docs/differences.md`. What nftables cannot say is told in [`Export::notes`]: nothing is dropped in silence.

mod frame;
mod rules;
mod say;
mod sessions;
mod text;
mod zones;

use std::collections::HashSet;

use jiff::Timestamp;
use nftables::batch::Batch;
use nftables::schema::{
    Chain, NfListObject, NfObject, Rule, Set, SetFlag, SetType, SetTypeValue, Table,
};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::model::{Mode, Policy};
use crate::agent::config::FailsafeRule;
use say::Say;

/// The table's name.
pub const TABLE: &str = "ringwall";

/// Longest comment that nft takes.
const COMMENT: usize = 127;

/// Something that nftables does not say, or says in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about: a rule's id, or a word of the language.
    pub about: String,
    /// What is different.
    pub note: String,
    /// Is a part of the policy missing from the ruleset?
    pub left_out: bool,
}

/// A ruleset and what it leaves open.
#[derive(Debug, Clone)]
pub struct Export {
    objects: Vec<NfListObject<'static>>,
    /// What nftables cannot say.
    pub notes: Vec<Note>,
}

impl Export {
    /// Does the ruleset say all that the policy says?
    #[must_use]
    pub fn complete(&self) -> bool {
        self.notes.iter().all(|note| !note.left_out)
    }

    /// For `nft -f`, the notes as comments before it.
    #[must_use]
    pub fn text(&self) -> String {
        let notes = self.notes.iter().map(|note| {
            let kind = if note.left_out { "LEFT OUT" } else { "differs" };
            format!("# {kind}: {}: {}\n", note.about, note.note)
        });
        notes.collect::<String>() + &text::ruleset(&self.objects)
    }

    /// For `nft -j -f`, the notes in a field of their own, which nft passes over.
    #[must_use]
    pub fn json(&self) -> Value {
        let table = || {
            NfListObject::Table(Table {
                family: NfFamily::INet,
                name: TABLE.into(),
                handle: None,
            })
        };
        let mut batch = Batch::new();
        // So that deleting it finds one in any case: what was there is replaced as a whole.
        batch.add(table());
        batch.delete(table());
        batch.add(table());
        batch.add_all(
            self.objects
                .iter()
                .cloned()
                .map(|object| NfObject::CmdObject(nftables::schema::NfCmd::Add(object))),
        );
        let mut all = json!(batch.to_nftables());
        all["notes"] = json!(self.notes);
        all
    }
}

/// Renders a policy as it is for this host now, with the host's own failsafe rules.
#[must_use]
pub fn export(policy: &Policy, failsafe: &[FailsafeRule], now: Timestamp) -> Export {
    let mut builder = Builder {
        policy,
        now,
        sets: Vec::new(),
        chains: Vec::new(),
        rules: Vec::new(),
        notes: Vec::new(),
    };
    match zones::Zones::of(policy) {
        Some(zones) => {
            frame::base(&mut builder, failsafe);
            sessions::chains(&mut builder);
            rules::list(&mut builder, &zones);
        }
        None => builder.left_out("zones", "their interfaces are told apart by globs that nftables cannot match: only one star, at the end; no ruleset is made"),
    }
    frame::notes(&mut builder);
    let Builder {
        sets,
        chains,
        rules,
        notes,
        ..
    } = builder;
    Export {
        objects: sets.into_iter().chain(chains).chain(rules).collect(),
        notes,
    }
}

/// A ruleset under construction.
struct Builder<'p> {
    policy: &'p Policy,
    now: Timestamp,
    sets: Vec<NfListObject<'static>>,
    chains: Vec<NfListObject<'static>>,
    rules: Vec<NfListObject<'static>>,
    notes: Vec<Note>,
}

impl Builder<'_> {
    /// Is nothing dropped at all?
    fn monitors(&self) -> bool {
        self.policy.mode == Mode::Monitor
    }

    /// How a packet is dropped: not at all where the policy only monitors.
    fn drop(&self) -> Say {
        if self.monitors() {
            say::accept()
        } else {
            say::drop()
        }
    }

    fn differs(&mut self, about: &str, note: impl Into<String>) {
        self.note(about, note.into(), false);
    }

    fn left_out(&mut self, about: &str, note: impl Into<String>) {
        self.note(about, note.into(), true);
    }

    fn note(&mut self, about: &str, note: String, left_out: bool) {
        let about = about.to_owned();
        self.notes.push(Note {
            about,
            note,
            left_out,
        });
    }

    /// Where packets come in.
    fn hook(&mut self, name: &str, hook: NfHook, prio: i32, policy: NfChainPolicy) {
        self.chains.push(NfListObject::Chain(Chain {
            _type: Some(NfChainType::Filter),
            hook: Some(hook),
            prio: Some(prio),
            policy: Some(policy),
            ..plain(name)
        }));
    }

    /// A chain that others lead to.
    fn chain(&mut self, name: &str) {
        self.chains.push(NfListObject::Chain(plain(name)));
    }

    fn rule(&mut self, chain: &str, statements: Vec<Say>) {
        self.commented(chain, statements, None);
    }

    fn commented(&mut self, chain: &str, statements: Vec<Say>, comment: Option<String>) {
        let comment = comment.map(|mut text| {
            text.truncate(COMMENT);
            text.into()
        });
        self.rules.push(NfListObject::Rule(Rule {
            family: NfFamily::INet,
            table: TABLE.into(),
            chain: chain.to_owned().into(),
            expr: statements.into(),
            handle: None,
            index: None,
            comment,
        }));
    }

    /// A named set of addresses, made once.
    fn set(&mut self, name: &str, v6: bool, elements: impl FnOnce() -> Vec<say::Value>) {
        let known =
            |set: &NfListObject<'_>| matches!(set, NfListObject::Set(set) if set.name == name);
        if self.sets.iter().any(known) {
            return;
        }
        let kind = if v6 {
            SetType::Ipv6Addr
        } else {
            SetType::Ipv4Addr
        };
        let elements = elements();
        self.sets.push(NfListObject::Set(Box::new(Set {
            family: NfFamily::INet,
            table: TABLE.into(),
            name: name.to_owned().into(),
            set_type: SetTypeValue::Single(kind),
            flags: Some(HashSet::from([SetFlag::Interval])),
            elem: (!elements.is_empty()).then(|| elements.into()),
            ..Set::default()
        })));
    }
}

fn plain(name: &str) -> Chain<'static> {
    Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.to_owned().into(),
        ..Chain::default()
    }
}
