//! The agent: who owns what, reload, signals, restart without letting go.

mod adopt;
mod alive;
mod announce;
pub mod apply;
mod around;
pub mod candidate;
pub mod clock;
pub mod config;
mod confirm;
mod cut;
mod drops;
mod explain;
mod eyes;
#[cfg(test)]
pub(crate) mod fake;
pub mod history;
pub mod interfaces;
mod jump;
pub mod kernel;
mod kill;
mod last_good;
mod lists;
pub mod lock;
mod lockout;
mod neighbours;
pub mod net;
pub mod notify;
pub mod owner;
pub mod paths;
pub mod plane;
pub mod pressure;
mod ready;
pub mod report;
mod restore;
pub mod revision;
mod rollback;
pub mod run;
mod saved;
mod sets;
pub mod state;
pub mod store;
pub mod submit;
#[cfg(test)]
pub(crate) mod tests;
pub mod watch;
mod ways;
mod zones;
