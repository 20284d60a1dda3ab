//! A policy in the words of others.

pub mod nft;
