//! What else on this host stands in a packet's way.

pub mod doctor;
pub mod exposure;
#[cfg(test)]
mod exposure_tests;
pub mod ladder;
pub mod nft;
pub mod published;

/// The rules of nftables as it lists them in JSON; `None` where it is not there, or may not be asked.
#[must_use]
pub fn listed_rules() -> Option<String> {
    doctor::nft::listed().ok()
}
