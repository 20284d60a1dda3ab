//! What people and programs write: policies, the agent's file, packets and filters in words, bodies of requests.

use firewall_user::agent::config::AgentConfig;
use firewall_user::api::types::{ApplyRequest, ExplainRequest, ZoneRequest};
use firewall_user::policy::compile::compile;
use firewall_user::policy::compiled::{Clock, Numbers};
use firewall_user::policy::export::nft;
use firewall_user::policy::{HostContext, packet, read_bytes};
use firewall_user::sessions::filter::Filter;

fn clock() -> Clock {
    let wall = "2027-01-01T00:00:00Z".parse().expect("a time");
    Clock {
        boot: 1_000_000_000_000,
        wall,
    }
}

/// A policy is refused with an error that can be shown, or it can be compiled and exported.
pub(super) fn policy(bytes: &[u8]) {
    let host = HostContext::default();
    match read_bytes("fuzz.yaml", bytes.to_vec(), &host) {
        Err(refusal) => drop(refusal.to_string()),
        Ok(checked) => {
            let clock = clock();
            // Some are read and then found too large for the tables.
            let _ = compile(&checked.policy, &mut Numbers::default(), &clock);
            let export = nft::export(&checked.policy, &[], clock.wall);
            assert!(!export.text().contains('<'), "a statement without words");
            drop(export.json());
        }
    }
}

/// The agent's file, packets and assertions, filters.
pub(super) fn words(bytes: &[u8]) {
    let _ =
        AgentConfig::read_bytes("fuzz.yaml".as_ref(), bytes.to_vec()).map_err(|e| e.to_string());
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = packet::parse(text, &[]).map_err(|e| e.to_string());
    let _ = packet::parse_assertion(text, Default::default(), &[], &[]);
    let _ = text.parse::<Filter>().map_err(|e| e.to_string());
    let _ = Filter::of_flows(text).map_err(|e| e.to_string());
}

/// Bodies of requests; what is read can be written and read again.
pub(super) fn api(bytes: &[u8]) {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
        if let Ok(value) = serde_json::from_slice::<T>(bytes) {
            let text = serde_json::to_vec(&value).expect("it can be written");
            let again = serde_json::from_slice::<T>(&text).expect("what was written can be read");
            let twice = serde_json::to_vec(&again).expect("it can be written");
            assert_eq!(text, twice);
        }
    }
    same::<ApplyRequest>(bytes);
    same::<ExplainRequest>(bytes);
    same::<ZoneRequest>(bytes);
}
