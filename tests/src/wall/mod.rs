//! What is on a wall: dashboards and alerts, put to a real Prometheus that scrapes real agents with real
//! traffic.

mod board;
mod fleet;
mod prometheus;

pub use board::{Board, Kind, Query, asked};
pub use fleet::{Fleet, HOSTS, Sent};
pub use prometheus::{Prometheus, Sample, Series, find};
