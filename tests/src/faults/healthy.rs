//! Connections that lose packets here and there, and come about all the same.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::world::{World, own};
use crate::net::sock::{self, Echo};

/// How many, and how bad it is.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Connections in all.
    pub connections: usize,
    /// How many at once.
    pub workers: usize,
    /// How many packets in a hundred are lost at each end.
    pub percent: u32,
}

/// The port of all of them.
const PORT: u16 = 29_000;
/// Long enough for any retransmission.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes connections both ways in both families over a path that loses packets; how many came about, and the rows that
/// the agent has of them.
///
/// # Errors
/// The world does not do what it is told.
pub fn healthy(world: &World, loss: &Loss) -> Result<(usize, Vec<Value>)> {
    let places = [false, true].map(|v6| world.fresh(v6));
    let mut servers = Vec::new();
    let mut ways = Vec::new();
    for place in places {
        let place = place?;
        let (here, there) = (own(place.v6), place.address);
        servers.push(Echo::tcp(&world.ns, SocketAddr::new(here, PORT))?);
        servers.push(Echo::tcp(&world.peer, SocketAddr::new(there, PORT))?);
        ways.push((&world.peer, there, here));
        ways.push((&world.ns, here, there));
    }
    let lose = format!(
        "tcp dport {PORT} numgen random mod 100 < {} drop",
        loss.percent
    );
    let lost_back = lose.replace("dport", "sport");
    for rule in [lose, lost_back] {
        world.host_filter("in", &rule)?;
        world.peer_filter("in", &rule)?;
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for _ in 0..loss.workers {
            s.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= loss.connections {
                        return;
                    }
                    let (ns, from, to) = ways[number % ways.len()];
                    let to = SocketAddr::new(to, PORT);
                    if sock::connect_from(ns, Some(from), to, PATIENCE).is_ok() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    let rows = world.host.json(&["one-sided"])?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    let of_them = rows
        .into_iter()
        .filter(|row| row["destination_port"] == PORT);
    drop(servers);
    Ok((done.into_inner(), of_them.collect()))
}
