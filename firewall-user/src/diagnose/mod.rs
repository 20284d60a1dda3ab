//! What else on this host stands in a packet's way.

pub mod doctor;
pub mod nft;
