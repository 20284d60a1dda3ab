//! What the end-to-end tests of the agent share: a guarded host between two peers, policies in a few words,
//! traffic that goes on in the background, and places that notice who got through.

mod counters;
pub mod crossing;
mod doors;
pub mod flood;
mod pairs;
mod policy;
mod random;
pub mod records;
mod scene;
mod traffic;
mod worker;

pub use counters::{Counters, metric};
pub use doors::{Door, Traced};
pub use pairs::{Pair, pairs, pairs_behind};
pub use policy::{allow, policy, rule};
pub use random::Random;
pub use scene::{PATIENCE, SHORT, Scene, at_lan, at_wan};
pub use traffic::{Called, Probed, Resent, Talked, call, counter_in, probe, talk, talk_every};
pub use worker::Worker;
