//! Whole policies through the reading: what parses, what is refused, where and why.

mod accepted;
mod files;
mod fuzz;
mod linted;
mod refused;

use crate::policy::{Checked, HostContext, Refusal, read_bytes};

/// The contract's example without the words that have no effect yet.
pub(super) const EXAMPLE: &str = include_str!("example.yaml");

/// The least policy there is, to which a test adds its part.
pub(super) const HEAD: &str = "\
apiVersion: ringwall/v1
metadata: {name: t, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
sets: {office: [198.51.100.0/24]}
zones: {lan: {cidrs: [10.0.0.0/8]}, internet: {default: true}}
";

/// The line of the first word behind [`HEAD`].
pub(super) const BODY: usize = 6;

pub(super) fn host() -> HostContext {
    HostContext {
        labels: [("role".into(), "web".into())].into(),
        hostname: "web-03".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        roles: [("storage".into(), vec!["bond0.20".into()])].into(),
        connected: [
            ("eth0".into(), nets(&["192.0.2.0/24", "2001:db8:1::/64"])),
            ("eth1".into(), nets(&["192.0.2.0/24", "172.16.0.0/12"])),
        ]
        .into(),
        failsafe: Vec::new(),
    }
}

fn nets(texts: &[&str]) -> Vec<ipnet::IpNet> {
    let nets = texts.iter().map(|text| text.parse().unwrap());
    nets.collect()
}

pub(super) fn read(text: &str) -> Result<Checked, Refusal> {
    read_bytes("t.yaml", text.as_bytes().to_vec(), &host())
}
