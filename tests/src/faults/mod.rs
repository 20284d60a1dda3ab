//! Faults made on purpose, so that what the agent says of them can be held against what they are. The agent gets no
//! hint: addresses and ports are fresh, and one kind of address serves all faults.

mod healthy;
mod kinds;
mod world;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

pub use healthy::{Loss, healthy};
pub use kinds::Kind;
pub use world::{Fresh, World, own};

use crate::scenario::Random;

/// What is kept open for a fault to last, whatever it is.
pub type Held = Vec<Box<dyn std::any::Any + Send + Sync>>;

/// A fault that was made.
pub struct Fault {
    /// Which.
    pub kind: Kind,
    /// The family.
    pub v6: bool,
    /// Who opens what.
    pub source: IpAddr,
    /// What is asked for.
    pub destination: SocketAddr,
    /// When the first SYN was sent.
    pub begun: Instant,
    /// The words that are right.
    pub right: &'static [&'static str],
    _held: Held,
}

/// What the agent said of a fault.
#[derive(Debug, Clone)]
pub struct Named {
    /// The cause, if any.
    pub cause: Option<String>,
    /// How long after the first SYN.
    pub after: Duration,
    /// The row.
    pub row: Value,
}

impl Named {
    /// Is it right?
    #[must_use]
    pub fn is_right(&self, fault: &Fault) -> bool {
        self.cause
            .as_deref()
            .is_some_and(|cause| fault.right.contains(&cause))
    }

    /// Does it name a cause that it is not?
    #[must_use]
    pub fn is_wrong(&self, fault: &Fault) -> bool {
        !self.is_right(fault)
            && self
                .cause
                .as_deref()
                .is_some_and(|cause| cause != "unknown")
    }
}

/// Makes faults of these kinds in random order, in both families as far as each kind knows them.
pub fn inject(world: &World, kinds: &[Kind], random: &mut Random) -> Result<Vec<Fault>> {
    let mut all: Vec<(Kind, bool)> = kinds
        .iter()
        .flat_map(|kind| [false, true].map(|v6| (*kind, v6)))
        .filter(|(kind, v6)| kind.knows(*v6))
        .collect();
    for place in (1..all.len()).rev() {
        all.swap(place, random.below(place as u64 + 1) as usize);
    }
    all.into_iter()
        .map(|(kind, v6)| kind.make(world, v6))
        .collect()
}

/// Waits until the agent has named all of them, or for so long after the first SYN of each.
pub fn watch(world: &World, faults: &[Fault], patience: Duration) -> Result<Vec<Named>> {
    let mut named: Vec<Option<Named>> = faults.iter().map(|_| None).collect();
    loop {
        let rows = world.host.json(&["one-sided"])?;
        let rows = rows.as_array().cloned().unwrap_or_default();
        let mut waits = false;
        for (fault, place) in faults.iter().zip(&mut named) {
            let after = fault.begun.elapsed();
            let row = rows.iter().find(|row| is_of(row, fault));
            if let (None, Some(row)) = (&place, row) {
                *place = Some(Named {
                    cause: row["cause"].as_str().map(str::to_owned),
                    after,
                    row: row.clone(),
                });
            }
            waits |= place.is_none() && after < patience;
        }
        if !waits {
            break;
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    let silent = |fault: &Fault| Named {
        cause: None,
        after: fault.begun.elapsed(),
        row: Value::Null,
    };
    let named = named.into_iter().zip(faults);
    Ok(named
        .map(|(named, fault)| named.unwrap_or_else(|| silent(fault)))
        .collect())
}

fn is_of(row: &Value, fault: &Fault) -> bool {
    let ip = |name: &str| {
        row[name]
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok())
    };
    ip("source") == Some(fault.source)
        && ip("destination") == Some(fault.destination.ip())
        && row["destination_port"] == fault.destination.port()
}
