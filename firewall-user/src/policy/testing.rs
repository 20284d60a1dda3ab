//! What tests of several modules share.

use super::compiled::Clock;
use super::model::Policy;
use super::{HostContext, read_bytes};

/// The least policy there is, to which a test adds its part.
pub(crate) const HEAD: &str = "\
apiVersion: ringwall/v1
metadata: {name: t, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
sets: {office: [198.51.100.0/24]}
zones: {lan: {cidrs: [10.0.0.0/8, 'fd00::/8']}, internet: {default: true}}
";

pub(crate) fn policy(text: &str) -> Policy {
    let host = HostContext::default();
    match read_bytes("t.yaml", text.as_bytes().to_vec(), &host) {
        Ok(checked) => checked.policy,
        Err(refusal) => panic!("{refusal}"),
    }
}

pub(crate) fn clock() -> Clock {
    Clock {
        boot: 1_000_000_000_000,
        wall: "2027-01-01T00:00:00Z".parse().unwrap(),
    }
}
