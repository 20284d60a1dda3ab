//! The table itself, a file a subject.

mod essentials;
mod extension_headers;
mod fragments;
mod framing;
mod groups;
mod icmp_errors;
mod link;
mod monitor;
mod other_protocols;
mod policies;
mod reject;
mod revocation;
mod routed;
mod rules;
mod source_check;
mod strays;
mod tcp;
mod timeouts;
mod udp_and_ping;
mod windows;
mod zones;

use crate::case::Case;

pub use policies::WEB;

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        framing::CASES,
        link::CASES,
        extension_headers::CASES,
        fragments::CASES,
        essentials::CASES,
        zones::CASES,
        source_check::CASES,
        rules::CASES,
        tcp::CASES,
        windows::CASES,
        timeouts::CASES,
        udp_and_ping::CASES,
        groups::CASES,
        other_protocols::CASES,
        icmp_errors::CASES,
        strays::CASES,
        reject::CASES,
        monitor::CASES,
        revocation::CASES,
        routed::CASES,
    ]
    .concat()
}
