//! Who runs the compiled form.

use std::sync::Arc;

use firewall_common::flow::Hook;
use firewall_common::tables::Route;
use firewall_common::verdict::Decision;
use firewall_common::way_back::{WAYS_OF_ONE, WAYS_OF_SEVERAL, Ways};

use super::{world, world_with_ways_back};
use crate::dataplane::memory::MemoryTables;
use crate::policy::compiled::{Clock, Compiled};
use crate::policy::oracle::{Way, World};
use crate::sets::Members;

/// Decides about packets by a compiled policy. Each error is what went wrong, or did not fit.
pub trait Judge {
    /// What time it is.
    fn clock(&self) -> Clock;

    /// Seconds within which no rule expires: as long as the packets of one policy may take.
    fn margin(&self) -> i64;

    /// The host that random packets cross, as [`super::world`] makes it.
    fn world(&self) -> World;

    /// Two more interfaces: what arrives by the first and is not for this host leaves by the second.
    fn gateway(&self) -> (u32, u32);

    /// Puts a policy in force.
    fn load(&mut self, compiled: &Compiled) -> Result<(), String>;

    /// Makes a host's addresses and interface names those of this one.
    fn enter(&mut self, world: &World) -> Result<(), String>;

    /// Makes these the members of dynamic sets, and no others.
    fn fill(&mut self, members: &Members) -> Result<(), String>;

    /// Decides about a packet that crosses an interface, as if it had come.
    fn decide(&mut self, frame: &[u8], way: &Way) -> Result<Decision, String>;

    /// Forgets all sessions.
    fn forget(&mut self) -> Result<(), String>;

    /// The last packet of a policy is through.
    fn done(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// The hook, the interface there, and on leaving the one that the packet came in by.
#[must_use]
pub fn crossing(way: &Way) -> (Hook, u32, u32) {
    match *way {
        Way::In { by, .. } => (Hook::Ingress, by, 0),
        Way::Out { by, from } => (Hook::Egress, by, from.unwrap_or(0)),
    }
}

const BOOT: u64 = 1_000_000_000_000_000;

/// `decide()` over tables in memory, at a moment that stands still.
#[derive(Debug, Default)]
pub struct Memory {
    compiled: Option<Compiled>,
    tables: MemoryTables,
    routes: World,
    members: Arc<Members>,
    /// Sources are held against the way back.
    with_ways_back: bool,
}

impl Memory {
    /// Sources are held against the way back, too.
    #[must_use]
    pub fn with_ways_back() -> Self {
        Self {
            with_ways_back: true,
            ..Self::default()
        }
    }

    /// The tables hold the routes of one host at a time.
    fn build(&mut self, world: &World) {
        self.tables = self
            .compiled
            .as_ref()
            .map(MemoryTables::with)
            .unwrap_or_default();
        for (net, interface) in &world.routes {
            let route = Route {
                here: false,
                interface: *interface,
            };
            self.tables.add_route(*net, route);
        }
        self.tables.members = Arc::clone(&self.members);
        for (net, by) in &world.back {
            let mut ways = Ways::default();
            let places = ways.interfaces.iter_mut().zip(by);
            places.for_each(|(place, index)| *place = *index);
            self.tables.add_ways(*net, ways);
        }
        if !world.back.is_empty() {
            // As the agent has it: no way of IPv6 is one of IPv4.
            self.tables
                .add_ways("0.0.0.0/0".parse().unwrap(), Ways::default());
            self.tables.settings.ways = if world.several {
                WAYS_OF_SEVERAL
            } else {
                WAYS_OF_ONE
            };
        }
        self.routes = world.clone();
    }
}

impl Judge for Memory {
    fn clock(&self) -> Clock {
        Clock {
            boot: BOOT,
            wall: "2027-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn margin(&self) -> i64 {
        1
    }

    fn world(&self) -> World {
        let indexes = [1, 2, 3, 4, 5];
        if self.with_ways_back {
            world_with_ways_back(&indexes)
        } else {
            world(&indexes)
        }
    }

    fn gateway(&self) -> (u32, u32) {
        (6, 7)
    }

    fn load(&mut self, compiled: &Compiled) -> Result<(), String> {
        self.compiled = Some(compiled.clone());
        self.build(&World::default());
        Ok(())
    }

    fn enter(&mut self, world: &World) -> Result<(), String> {
        if self.routes.routes != world.routes {
            self.build(world);
        }
        let tables = &mut self.tables;
        tables.clear_locals();
        world.own.iter().for_each(|own| tables.add_local(*own));
        let all = world.broadcasts.iter();
        all.for_each(|all| tables.add_broadcast(*all));
        for (index, name) in &world.interfaces {
            tables.name_interface(*index, name);
        }
        Ok(())
    }

    fn fill(&mut self, members: &Members) -> Result<(), String> {
        self.members = Arc::new(members.clone());
        self.tables.members = Arc::clone(&self.members);
        Ok(())
    }

    fn decide(&mut self, frame: &[u8], way: &Way) -> Result<Decision, String> {
        let (hook, interface, came_by) = crossing(way);
        Ok(self.tables.decide(frame, hook, interface, came_by, BOOT))
    }

    fn forget(&mut self) -> Result<(), String> {
        self.tables.forget();
        Ok(())
    }
}
