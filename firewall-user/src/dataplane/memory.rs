//! Tables in plain memory: what `explain` and `policy check` decide by without a kernel, and what tests
//! compare the kernel with.

mod prefixes;
mod tables;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use firewall_common::addr::Addr;
use firewall_common::config::{
    Active, Count, FIRST_RULE_COUNTER, Generation, InterfaceEntry, LOCAL_BROADCAST, LOCAL_UNICAST,
    RuleCount, Settings,
};
use firewall_common::flow::{FlowKey, FragmentKey, Hook};
use firewall_common::pipeline::{At, Scratch, decide};
use firewall_common::policy::limits::LimitKey;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::session::Entry;
use firewall_common::source::{Slice, Tag};
use firewall_common::tables::Route;
use firewall_common::verdict::Decision;
use firewall_common::way_back::Ways;
use ipnet::IpNet;

use crate::policy::compiled::{Compiled, InterfacePlan};
use crate::sets::Members;
use prefixes::Prefixes;

/// A generation in a slot.
#[derive(Debug)]
struct Slot {
    head: Generation,
    rules: Vec<Rule>,
    trees: Vec<Line>,
    addresses: Vec<Line>,
    plan: InterfacePlan,
    interfaces: HashMap<u32, InterfaceEntry>,
}

/// What packets change.
#[derive(Debug, Default)]
struct Moving {
    half_open: BTreeMap<FlowKey, Entry>,
    sessions: BTreeMap<FlowKey, Entry>,
    fragments: HashMap<FragmentKey, u64>,
    buckets: HashMap<LimitKey, u64>,
    rules: BTreeMap<u32, RuleCount>,
    packets: BTreeMap<u32, Count>,
}

/// All state of the packet path. What an agent would set is set through `&mut`; `&MemoryTables` is the
/// door for packets.
#[derive(Debug, Default)]
pub struct MemoryTables {
    /// The host's settings.
    pub settings: Settings,
    slots: BTreeMap<u32, Slot>,
    /// Which slot is in force, and until when it waits to be confirmed.
    pub active: Active,
    names: BTreeMap<u32, String>,
    vlans: BTreeSet<(u32, u32)>,
    locals: HashMap<Addr, u32>,
    routes: Prefixes<Route>,
    ways: Prefixes<Ways>,
    guarded: BTreeSet<u32>,
    failsafe_addresses: Vec<(IpNet, u64)>,
    failsafe_services: Prefixes<u64>,
    /// Members of dynamic sets.
    pub members: Arc<Members>,
    moving: RefCell<Moving>,
    /// By hook; as in the kernel, each packet finds it as the one before left it.
    scratch: RefCell<[Scratch; 2]>,
}

/// An address as tables know it.
#[must_use]
pub fn mapped(address: IpAddr) -> Addr {
    match address {
        IpAddr::V4(v4) => Addr::v4(u32::from(v4)),
        IpAddr::V6(v6) => Addr::from_bytes(v6.octets()),
    }
}

fn bits(address: &Addr) -> u128 {
    u128::from_be_bytes(address.to_bytes())
}

/// A prefix as tables know it: bits and length, of 128.
fn mapped_net(net: IpNet) -> (u128, u32) {
    let more = if matches!(net, IpNet::V4(_)) { 96 } else { 0 };
    let length = u32::from(net.prefix_len());
    (bits(&mapped(net.network())), length + more)
}

impl MemoryTables {
    /// Tables with a policy in force under epoch 1, and no interface known yet.
    #[must_use]
    pub fn with(compiled: &Compiled) -> Self {
        let mut tables = Self::default();
        tables.load(1, compiled, 1);
        tables.activate(1);
        tables
    }

    /// A VLAN device is set up on an interface for a tag.
    pub fn add_vlan(&mut self, parent: u32, tag: Tag) {
        self.vlans.insert((parent, tag.word()));
    }

    /// Fills a slot.
    pub fn load(&mut self, slot: u32, compiled: &Compiled, epoch: u32) {
        let plan = compiled.interfaces.clone();
        let names = self.names.iter();
        let loaded = Slot {
            head: Generation {
                epoch,
                trees: slot,
                list: slot,
                addresses: slot,
                ..compiled.head
            },
            rules: compiled.rules.clone(),
            trees: compiled.trees.clone(),
            addresses: compiled.addresses.clone(),
            interfaces: names.map(|(i, name)| (*i, plan.entry(name))).collect(),
            plan,
        };
        self.slots.insert(slot, loaded);
    }

    /// Puts the generation of a slot in force; 0 for none.
    pub fn activate(&mut self, slot: u32) {
        self.active = Active {
            slot,
            ..Active::default()
        };
    }

    /// The slot in force, deadlines aside.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.slot
    }

    /// Gives an interface its name, in every slot.
    pub fn name_interface(&mut self, index: u32, name: &str) {
        self.names.insert(index, name.to_owned());
        for slot in self.slots.values_mut() {
            slot.interfaces.insert(index, slot.plan.entry(name));
        }
    }

    /// Makes an address this machine's own.
    pub fn add_local(&mut self, address: IpAddr) {
        self.locals.insert(mapped(address), LOCAL_UNICAST);
    }

    /// Leaves this machine without addresses.
    pub fn clear_locals(&mut self) {
        self.locals.clear();
    }

    /// Makes an address a broadcast address of one of this machine's links.
    pub fn add_broadcast(&mut self, address: IpAddr) {
        self.locals.insert(mapped(address), LOCAL_BROADCAST);
    }

    /// Routes a prefix; the longest one counts. Without any, packets leave by interface 0.
    pub fn add_route(&mut self, prefix: IpNet, route: Route) {
        let (key, length) = mapped_net(prefix);
        self.routes.insert(key, length, route);
    }

    /// Makes known the interfaces that lead back to a prefix; what is known in all, [`Settings::ways`] says.
    pub fn add_ways(&mut self, prefix: IpNet, ways: Ways) {
        let (key, length) = mapped_net(prefix);
        self.ways.insert(key, length, ways);
    }

    /// Guards an interface on ingress.
    pub fn guard(&mut self, interface: u32) {
        self.guarded.insert(interface);
    }

    /// Adds a failsafe rule: its prefixes, and its services as keys with their lengths in bits.
    pub fn add_failsafe(&mut self, prefixes: &[IpNet], services: &[(u32, [u8; 4])]) {
        let bit = 1 << (self.settings.failsafe & 63);
        self.settings.failsafe += 1;
        let prefixes = prefixes.iter().map(|prefix| (*prefix, bit));
        self.failsafe_addresses.extend(prefixes);
        for (length, key) in services {
            let key = u128::from(u32::from_be_bytes(*key)) << 96;
            self.failsafe_services.add(key, *length, bit);
        }
    }

    /// Decides about one frame and counts it.
    pub fn decide(
        &self,
        frame: &[u8],
        hook: Hook,
        interface: u32,
        came_by: u32,
        now: u64,
    ) -> Decision {
        let mut at = At {
            now,
            interface,
            came_by,
            packets: 0,
            bytes: 0,
            slot: 0,
            hook,
        };
        let (bytes, tag) = (frame, None);
        let [arriving, leaving] = &mut *self.scratch.borrow_mut();
        let scratch = match hook {
            Hook::Ingress => arriving,
            Hook::Egress => leaving,
        };
        decide(&Slice { bytes, tag }, self, &mut at, scratch)
    }

    /// Forgets all sessions and fragments.
    pub fn forget(&self) {
        let mut moving = self.moving.borrow_mut();
        moving.half_open.clear();
        moving.sessions.clear();
        moving.fragments.clear();
        moving.buckets.clear();
    }

    /// Counts by rule counter, of those that were ever hit.
    #[must_use]
    pub fn rule_counts(&self) -> BTreeMap<u32, RuleCount> {
        self.moving.borrow().rules.clone()
    }

    /// The count at a place, see [`firewall_common::config::packet_counter`].
    #[must_use]
    pub fn packet_count(&self, place: u32) -> Count {
        let moving = self.moving.borrow();
        moving.packets.get(&place).copied().unwrap_or_default()
    }

    /// Half-open and verified sessions.
    #[must_use]
    pub fn sessions(&self) -> (BTreeMap<FlowKey, Entry>, BTreeMap<FlowKey, Entry>) {
        let moving = self.moving.borrow();
        (moving.half_open.clone(), moving.sessions.clone())
    }
}

/// Is a counter that of a policy's rule, rather than an essential's or a failsafe rule's?
#[must_use]
pub const fn is_policy_rule(counter: u32) -> bool {
    counter >= FIRST_RULE_COUNTER
}

#[cfg(test)]
mod routed_tests;
#[cfg(test)]
mod tests;
