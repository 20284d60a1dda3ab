//! The door for packets.

use firewall_common::addr::Addr;
use firewall_common::config::{Generation, InterfaceEntry, Room, RuleCount, ServiceKey, Strays};
use firewall_common::flow::{FRAGMENT_LIFE, FlowKey, FragmentKey, Tuple};
use firewall_common::limit::pay;
use firewall_common::packet::Packet;
use firewall_common::pipeline::At;
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::policy::limits::LimitKey;
use firewall_common::policy::line::Line;
use firewall_common::policy::rule::Rule;
use firewall_common::session::room::{self, CAPPED, MANAGED};
use firewall_common::session::{Entry, Moved, Track};
use firewall_common::tables::{Bounds, Cookie, Put, Route, Sought, Table, Tables, Work};
use firewall_common::way_back::WayBack;

use super::{MemoryTables, Moving, bits};

/// An entry by its key and table.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    key: FlowKey,
    table: Table,
}

impl MemoryTables {
    fn change(&self, handle: Handle, change: impl FnOnce(&mut Entry)) {
        let mut moving = self.moving.borrow_mut();
        let table = match handle.table {
            Table::HalfOpen => &mut moving.half_open,
            Table::Sessions => &mut moving.sessions,
        };
        if let Some(entry) = table.get_mut(&handle.key) {
            change(entry);
        }
    }

    fn count_rule(&self, counter: u32, count: impl FnOnce(&mut RuleCount)) {
        count(self.moving.borrow_mut().rules.entry(counter).or_default());
    }
}

impl Moving {
    /// Open sessions that count at the same place for their rule.
    fn held(&self, at: Option<LimitKey>) -> usize {
        let all = self.half_open.iter().chain(&self.sessions);
        all.filter(|(key, entry)| room::held_at(key, entry) == at)
            .count()
    }

    /// Is there a place among the half-open ones? Where all are taken, the oldest gives way if it must.
    fn admits(&mut self, key: &FlowKey, entry: &Entry, limits: &Room) -> bool {
        let capped = |entry: &Entry| entry.counted & CAPPED != 0;
        // Of two seeds that agree on two sources by chance, another does not; here one is enough.
        let source = room::counts_of(room::opener(key, entry), 0);
        let same = |(key, entry): &(&FlowKey, &Entry)| {
            capped(entry) && room::counts_of(room::opener(key, entry), 0) == source
        };
        let held = self.half_open.iter().filter(same).count();
        if capped(entry) && held >= limits.half_open_per_source as usize {
            return false;
        }
        if self.half_open.len() < limits.half_open_max as usize {
            return true;
        }
        let oldest = self.half_open.iter().min_by_key(|(_, entry)| entry.opened);
        let Some((oldest, opened)) = oldest.map(|(key, entry)| (*key, entry.opened)) else {
            return false;
        };
        let gives_way = room::gives_way(opened, entry.opened, room::is_favoured(entry));
        gives_way && self.half_open.remove(&oldest).is_some()
    }
}

fn service_bits(key: ServiceKey) -> u128 {
    u128::from(u32::from_be_bytes(key)) << 96
}

impl<'t> Tables for &'t MemoryTables {
    type Handle = Handle;
    type Head = &'t Generation;
    type Line = &'t Line;

    fn slot(self, now: u64) -> u32 {
        self.active.deciding(now)
    }

    fn generation(self, slot: u32) -> Option<Self::Head> {
        self.slots.get(&slot).map(|slot| &slot.head)
    }

    fn timeout(self, state: u8) -> u64 {
        let timeout = self.settings.timeouts.get(usize::from(state));
        timeout.copied().unwrap_or(0)
    }

    fn strays(self) -> Strays {
        self.settings.strays
    }

    fn has_failsafe(self) -> bool {
        self.settings.failsafe != 0
    }

    fn interface(self, slot: u32, index: u32) -> Option<InterfaceEntry> {
        self.slots.get(&slot)?.interfaces.get(&index).copied()
    }

    fn tree_line(self, place: u32, index: u32) -> Option<Self::Line> {
        self.slots.get(&place)?.trees.get(index as usize)
    }

    fn address_line(self, place: u32, index: u32) -> Option<Self::Line> {
        self.slots.get(&place)?.addresses.get(index as usize)
    }

    fn rule(self, place: u32, index: u32) -> Option<Rule> {
        self.slots.get(&place)?.rules.get(index as usize).copied()
    }

    fn member(self, key: &MemberKey) -> u64 {
        self.members.until(key)
    }

    fn repeat<W: Work<Self>>(self, limit: u32, work: &mut W) {
        for _ in 0..limit {
            if work.go(self) == Sought::Done {
                break;
            }
        }
    }

    fn local(self, address: &Addr) -> u32 {
        self.locals.get(address).copied().unwrap_or(0)
    }

    fn route(self, tuple: &Tuple, _interface: u32) -> Route {
        // The kernel never forwards link-local addresses (bpf_ipv6_fib_lookup of net/core/filter.c).
        let stays = tuple.source.is_link_local_v6() || tuple.destination.is_link_local_v6();
        let nowhere = Route {
            here: stays,
            interface: 0,
        };
        if stays {
            return nowhere;
        }
        let route = self.routes.longest(bits(&tuple.destination));
        route.copied().unwrap_or(nowhere)
    }

    fn ways_known(self) -> u32 {
        self.settings.ways
    }

    fn way_back(self, source: &Addr, interface: u32) -> WayBack {
        let ways = self.ways.longest(bits(source));
        ways.map_or(WayBack::Nowhere, |ways| ways.judge(interface))
    }

    fn guarded(self, interface: u32) -> bool {
        self.guarded.contains(&interface)
    }

    fn vlan(self, parent: u32, tag: u32) -> bool {
        self.vlans.contains(&(parent, tag))
    }

    fn failsafe_address(self, address: &Addr) -> u64 {
        let holds = |(prefix, _): &&(ipnet::IpNet, u64)| {
            let (key, length) = super::mapped_net(*prefix);
            (key ^ bits(address)).leading_zeros() >= length
        };
        let rules = self.failsafe_addresses.iter().filter(holds);
        rules.fold(0, |all, (_, rule)| all | rule)
    }

    fn failsafe_service(self, key: ServiceKey) -> u64 {
        let rules = self.failsafe_services.all(service_bits(key));
        rules.fold(0, |all, rule| all | rule)
    }

    fn find(self, key: &FlowKey) -> Option<(Handle, Table)> {
        let moving = self.moving.borrow();
        let table = if moving.sessions.contains_key(key) {
            Table::Sessions
        } else if moving.half_open.contains_key(key) {
            Table::HalfOpen
        } else {
            return None;
        };
        Some((Handle { key: *key, table }, table))
    }

    fn read(self, handle: Handle, entry: &mut Entry) {
        self.change(handle, |found| *entry = *found);
    }

    fn write(self, handle: Handle, track: &Track, moved: Moved, last_seen: u64) {
        self.change(handle, |entry| {
            entry.track.take(track, moved);
            entry.last_seen = last_seen;
        });
    }

    fn place(self, handle: Handle, entry: &Entry) {
        self.change(handle, |found| {
            found.source_zone = entry.source_zone;
            found.destination_zone = entry.destination_zone;
            found.interface_in = entry.interface_in;
            found.interface_out = entry.interface_out;
        });
    }

    fn permit(self, handle: Handle, judged: &Entry) {
        self.change(handle, |entry| {
            entry.permit = judged.permit;
            entry.on_change = judged.on_change;
        });
    }

    fn account(self, handle: Handle, responder: bool, packets: u32, bytes: u32) {
        self.change(handle, |entry| {
            let [opener, other] = &mut entry.counts;
            let count = if responder { other } else { opener };
            count.packets += u64::from(packets);
            count.bytes += u64::from(bytes);
        });
    }

    fn open(self, key: &FlowKey, entry: &Entry, bounds: Bounds) -> Put {
        let mut moving = self.moving.borrow_mut();
        if moving.half_open.contains_key(key) {
            return Put::Already;
        }
        let limits = &self.settings.room;
        let managed = |entry: &&Entry| entry.counted & MANAGED != 0;
        let of_management = moving.sessions.values().filter(managed).count() as u64;
        let others = moving.sessions.len() as u64 - of_management;
        if !room::is_there(limits, of_management, others, entry, bounds.reserves) {
            return Put::Full;
        }
        let most = bounds.most as usize;
        if most != 0 && moving.held(room::held_at(key, entry)) >= most {
            return Put::Held;
        }
        if bounds.verified {
            moving.sessions.insert(*key, *entry);
            return Put::There;
        }
        if !moving.admits(key, entry, limits) {
            return Put::Crowded;
        }
        moving.half_open.insert(*key, *entry);
        Put::There
    }

    /// Without a kernel nobody makes cookies.
    fn cookies_wanted(self, _at: &At) -> bool {
        false
    }

    fn cookies_out(self, _now: u64) -> bool {
        false
    }

    fn cookie(self, _packet: &Packet, _now: u64) -> Cookie {
        Cookie::None
    }

    fn take(self, key: &LimitKey, _whole: bool, now: u64, price: u64, tolerance: u64) -> bool {
        let mut moving = self.moving.borrow_mut();
        let bucket = moving.buckets.entry(*key).or_default();
        let next = pay(*bucket, now, price, tolerance);
        *bucket = next.unwrap_or(*bucket);
        next.is_some()
    }

    fn promote(self, key: &FlowKey, entry: &Entry) -> Put {
        let mut moving = self.moving.borrow_mut();
        moving.sessions.insert(*key, *entry);
        moving.half_open.remove(key);
        Put::There
    }

    fn close(self, key: &FlowKey, _entry: &Entry) -> bool {
        let mut moving = self.moving.borrow_mut();
        let half_open = moving.half_open.remove(key).is_some();
        moving.sessions.remove(key).is_some() || half_open
    }

    fn remember_fragment(self, key: &FragmentKey, now: u64) {
        self.moving.borrow_mut().fragments.insert(*key, now);
    }

    fn forget_fragment(self, key: &FragmentKey) {
        self.moving.borrow_mut().fragments.remove(key);
    }

    fn knows_fragment(self, key: &FragmentKey, now: u64) -> bool {
        let moving = self.moving.borrow();
        let seen = moving.fragments.get(key);
        seen.is_some_and(|seen| now.saturating_sub(*seen) < FRAGMENT_LIFE)
    }

    fn hit(self, counter: u32, packets: u32, bytes: u32, now: u64) {
        self.count_rule(counter, |count| {
            count.packets += u64::from(packets);
            count.bytes += u64::from(bytes);
            count.last_hit = now;
        });
    }

    fn would_hit(self, counter: u32, packets: u32, bytes: u32, now: u64) {
        self.count_rule(counter, |count| {
            count.would_packets += u64::from(packets);
            count.would_bytes += u64::from(bytes);
            count.last_hit = now;
        });
    }

    fn count(self, place: u32, packets: u32, bytes: u32) {
        let mut moving = self.moving.borrow_mut();
        let count = moving.packets.entry(place).or_default();
        count.packets += u64::from(packets);
        count.bytes += u64::from(bytes);
    }
}
