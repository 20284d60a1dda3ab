//! The first way: `decide()` on the host, over tables in memory, with a clock of its own.

use anyhow::Result;
use firewall_common::config::packet_counter;
use firewall_common::flow::Hook;
use firewall_common::pipeline::{At, Scratch, decide};
use firewall_common::reason::Reason;
use firewall_common::reply::{Reply, Toward, build};
use firewall_common::source::{BareSlice, PacketSource, Slice, Tag};
use firewall_common::tables::Route;
use firewall_common::verdict::Verdict;
use firewall_common::way_back::WAYS_OF_SEVERAL;
use firewall_common::zone::ZONES;
use firewall_user::dataplane::memory::MemoryTables;
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};

use super::{Bench, Packets, Rules, Seen, Zones, rule_names, vlans, ways, ways_back};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const SECOND: u64 = 1_000_000_000;
/// When the first packet comes.
const BEGIN: u64 = 1000 * SECOND;

/// A host in memory.
pub struct HostBench {
    tables: MemoryTables,
    now: u64,
    epoch: u32,
    /// Packets go without their Ethernet header, as by a tunnel.
    pub bare: bool,
    /// As the kernel has it: what one packet leaves there, the next one finds.
    scratch: Scratch,
}

impl Default for HostBench {
    fn default() -> Self {
        let mut tables = MemoryTables::default();
        tables.name_interface(ETH0, "eth0");
        tables.name_interface(ETH1, "eth1");
        tables.guard(ETH0);
        for (protocol, control) in vlans() {
            tables.add_vlan(ETH0, Tag { protocol, control });
        }
        for own in ["10.77.0.1", "fd77::1", "10.78.0.1", "fd78::1"] {
            tables.add_local(own.parse().expect("an address"));
        }
        for broadcast in ["10.77.0.255", "10.78.0.255"] {
            tables.add_broadcast(broadcast.parse().expect("an address"));
        }
        let route = |interface| Route {
            here: false,
            interface,
        };
        for (prefix, interface) in [
            ("0.0.0.0/0", ETH0),
            ("::/0", ETH0),
            ("10.78.0.0/24", ETH1),
            ("fd78::/64", ETH1),
        ] {
            tables.add_route(prefix.parse().expect("a prefix"), route(interface));
        }
        for (net, eth0, eth1) in ways_back() {
            tables.add_ways(net, ways(eth0.then_some(ETH0), eth1.then_some(ETH1)));
        }
        tables.settings.ways = WAYS_OF_SEVERAL;
        Self {
            tables,
            now: BEGIN,
            epoch: 0,
            bare: false,
            scratch: Scratch::default(),
        }
    }
}

impl HostBench {
    /// As before the first packet, with the policy in force.
    pub fn forget(&mut self) {
        self.tables.forget();
        (self.now, self.bare, self.scratch) = (BEGIN, false, Scratch::default());
    }

    fn judge<S: PacketSource>(&mut self, source: &S, at: &mut At) -> Seen {
        let decision = decide(source, &self.tables, at, &mut self.scratch);
        let answer = if decision.answer {
            reply(source, &self.scratch)
        } else {
            None
        };
        Seen {
            passed: decision.passes(),
            answer,
        }
    }
}

impl Bench for HostBench {
    fn apply(&mut self, compiled: &Compiled) -> Result<()> {
        self.epoch += 1;
        let slot = 1 + self.epoch % 2;
        self.tables.load(slot, compiled, self.epoch);
        self.tables.activate(slot);
        Ok(())
    }

    fn send(&mut self, hook: Hook, frame: &[u8], tag: Option<Tag>) -> Result<Seen> {
        self.now += SECOND / 1000;
        let mut at = At {
            now: self.now,
            interface: ETH0,
            came_by: 0,
            packets: 0,
            bytes: 0,
            slot: 0,
            hook,
        };
        if self.bare {
            let [.., kind, low] = frame[..14] else {
                unreachable!("fourteen bytes")
            };
            let source = BareSlice {
                bytes: &frame[14..],
                ethertype: u16::from_be_bytes([kind, low]),
            };
            let mut seen = self.judge(&source, &mut at);
            // With the header that the tables of cases compare.
            let link = [&frame[6..12], &frame[..6], &frame[12..14]].concat();
            if let Some(answer) = &mut seen.answer {
                answer.splice(..14, link.iter().copied());
            }
            return Ok(seen);
        }
        Ok(self.judge(&Slice { bytes: frame, tag }, &mut at))
    }

    fn wait(&mut self, seconds: u64) -> Result<()> {
        self.now += seconds * SECOND;
        Ok(())
    }

    fn packets(&mut self, zones: &Zones) -> Result<Packets> {
        let mut found = Packets::new();
        for verdict in Verdict::ALL {
            for (hook, word) in [(0, "ingress"), (1, "egress")] {
                for zone in 0..ZONES as u8 {
                    for reason in Reason::ALL {
                        let place = packet_counter(*verdict as u8, hook, zone, *reason as u8);
                        let count = self.tables.packet_count(place).packets;
                        if count > 0 {
                            let zone = zones.get(&zone).cloned().unwrap_or_default();
                            found.insert((verdict.word(), word, zone, reason.word()), count);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    fn rules(&mut self, numbers: &Numbers) -> Result<Rules> {
        let names = rule_names(numbers);
        let counts = self.tables.rule_counts();
        let counted = counts
            .iter()
            .filter(|(_, c)| c.packets + c.would_packets > 0);
        Ok(counted
            .map(|(n, c)| (names[n].clone(), (c.packets, c.would_packets)))
            .collect())
    }

    fn clock(&self) -> Clock {
        Clock {
            boot: self.now,
            wall: "2026-06-01T00:00:00Z".parse().expect("a time"),
        }
    }
}

fn reply<S: PacketSource>(source: &S, scratch: &Scratch) -> Option<Vec<u8>> {
    let mut reply = Reply::default();
    let length = build(source, &scratch.packet, Toward::Sender, &mut reply)?;
    let bytes: Vec<u8> = reply
        .words
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    bytes.get(..length as usize).map(<[u8]>::to_vec)
}
