//! nftables beside us: base chains that can drop what our policy allows.
//!
//! Objects are read one by one, so that one that is newer than our reader hides no other.

use nftables::helper;
use nftables::schema::{Chain, NfListObject};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use serde_json::Value;

/// Chains of this network namespace that drop by default what is delivered here, sent or forwarded, each
/// as a sentence; none where nftables is not installed or may not be asked.
#[must_use]
pub fn dropping_chains() -> Vec<String> {
    let args = ["-n", "list", "chains"];
    let ruleset = helper::get_current_ruleset_raw(helper::DEFAULT_NFT, args);
    ruleset.map_or_else(|_| Vec::new(), |text| dropping(&text))
}

fn dropping(ruleset: &str) -> Vec<String> {
    let parsed: Value = serde_json::from_str(ruleset).unwrap_or_default();
    let objects = parsed["nftables"].as_array().cloned().unwrap_or_default();
    objects
        .into_iter()
        .filter_map(chain)
        .filter(drops)
        .map(|chain| sentence(&chain))
        .collect()
}

fn chain(object: Value) -> Option<Chain<'static>> {
    match serde_json::from_value(object) {
        Ok(NfListObject::Chain(chain)) => Some(chain),
        _ => None,
    }
}

fn drops(chain: &Chain<'_>) -> bool {
    let here = matches!(
        chain.hook,
        Some(
            NfHook::Prerouting | NfHook::Input | NfHook::Output | NfHook::Forward | NfHook::Ingress
        )
    );
    here && chain._type == Some(NfChainType::Filter) && chain.policy == Some(NfChainPolicy::Drop)
}

fn sentence(chain: &Chain<'_>) -> String {
    let hook = chain
        .hook
        .map(|hook| format!("{hook:?}").to_lowercase())
        .unwrap_or_default();
    let family = format!("{:?}", chain.family).to_lowercase();
    let handle = chain
        .handle
        .map_or_else(|| "?".to_owned(), |handle| handle.to_string());
    format!(
        "nftables also drops by default at {hook}: chain {} (handle {handle}) of table {family} {}; what this \
         policy allows may end there",
        chain.name, chain.table,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base_chains_that_drop_are_named_and_unknown_objects_hide_none() {
        let ruleset = r#"{"nftables": [
            {"metainfo": {"version": "1.0.6", "release_name": "x", "json_schema_version": 1}},
            {"from the future": {"a": 1}},
            {"chain": {"family": "inet", "table": "filter", "name": "in", "handle": 3, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "filter", "name": "out", "handle": 4, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
            {"chain": {"family": "ip", "table": "filter", "name": "plain", "handle": 5}}
        ]}"#;
        let found = dropping(ruleset);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("chain in ") && found[0].contains("handle 3"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn nonsense_is_no_chain() {
        assert!(dropping("not json").is_empty() && dropping("{}").is_empty());
    }
}
