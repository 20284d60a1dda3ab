//! The ruleset as it is listed, by chain.

use std::collections::BTreeMap;

use nftables::schema::{self, NfListObject};
use nftables::stmt::Statement;
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::Value;

/// Family, table and name of a chain.
pub(super) type Key = (String, String, String);

/// A rule, as far as it is understood.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) handle: u32,
    /// `None`: its statements are newer than our reader.
    pub(super) statements: Option<Vec<Statement<'static>>>,
}

/// A chain with its rules in order.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) key: Key,
    pub(super) family: NfFamily,
    /// Where packets come in, and the order; `None` for chains that are jumped to.
    pub(super) base: Option<(NfHook, i32)>,
    pub(super) device: Option<String>,
    pub(super) kind: Option<NfChainType>,
    /// Its policy is to drop.
    pub(super) drops: bool,
    pub(super) rules: Vec<Rule>,
    /// `chain input (handle 3) of table inet filter`.
    pub(super) place: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    pub(super) chains: BTreeMap<Key, Chain>,
    /// Objects that are not understood and belong to no chain.
    pub(super) strange: usize,
}

impl Ruleset {
    /// Object by object: one that is newer than our reader hides no other.
    pub(super) fn read(text: &str) -> Self {
        let parsed: Value = serde_json::from_str(text).unwrap_or_default();
        let objects = parsed["nftables"].as_array().cloned().unwrap_or_default();
        let mut all = Self::default();
        for object in objects {
            all.take(object);
        }
        all
    }

    fn take(&mut self, object: Value) {
        if let Some(rule) = object.get("rule") {
            return self.take_rule(rule);
        }
        match serde_json::from_value(object) {
            Ok(NfListObject::Chain(chain)) => {
                let chain = read_chain(&chain);
                self.chains.insert(chain.key.clone(), chain);
            }
            Ok(_) => {}
            Err(_) => self.strange += 1,
        }
    }

    /// What cannot be read of a rule is its statements; where it stands can.
    fn take_rule(&mut self, rule: &Value) {
        let word = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let key = (word("family"), word("table"), word("chain"));
        let statements = serde_json::from_value(rule["expr"].clone()).ok();
        let handle = rule["handle"].as_u64().and_then(|h| u32::try_from(h).ok());
        match self.chains.get_mut(&key) {
            Some(chain) => chain.rules.push(Rule {
                handle: handle.unwrap_or_default(),
                statements,
            }),
            None => self.strange += 1,
        }
    }

    /// Chains that packets come into by themselves, in the order in which they do.
    pub(super) fn base_chains(&self, leaving: bool) -> impl Iterator<Item = &Chain> {
        let mut chains: Vec<&Chain> = self.chains.values().filter(|c| c.base.is_some()).collect();
        chains.sort_by_key(|chain| {
            chain
                .base
                .map(|(hook, priority)| (order(hook, leaving), priority))
        });
        chains.into_iter()
    }
}

/// The way of a packet to this host, or from it.
pub(super) const fn order(hook: NfHook, leaving: bool) -> Option<u8> {
    match (hook, leaving) {
        (NfHook::Ingress, false) | (NfHook::Output, true) => Some(0),
        (NfHook::Prerouting, false) | (NfHook::Postrouting, true) => Some(1),
        (NfHook::Input, false) | (NfHook::Egress, true) => Some(2),
        _ => None,
    }
}

pub(super) fn family_word(family: NfFamily) -> &'static str {
    match family {
        NfFamily::IP => "ip",
        NfFamily::IP6 => "ip6",
        NfFamily::INet => "inet",
        NfFamily::ARP => "arp",
        NfFamily::Bridge => "bridge",
        NfFamily::NetDev => "netdev",
    }
}

fn read_chain(chain: &schema::Chain<'_>) -> Chain {
    let family = family_word(chain.family);
    let handle = chain
        .handle
        .map_or_else(|| "?".to_owned(), |h| h.to_string());
    Chain {
        key: (
            family.to_owned(),
            chain.table.to_string(),
            chain.name.to_string(),
        ),
        family: chain.family,
        base: chain
            .hook
            .map(|hook| (hook, chain.prio.unwrap_or_default())),
        device: chain.dev.as_ref().map(ToString::to_string),
        kind: chain._type,
        drops: chain.policy == Some(NfChainPolicy::Drop),
        rules: Vec::new(),
        place: format!(
            "chain {} (handle {handle}) of table {family} {}",
            chain.name, chain.table
        ),
    }
}
