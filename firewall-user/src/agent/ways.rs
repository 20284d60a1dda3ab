//! The ways back to sources follow the routes, for `source_check`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use firewall_common::addr::Addr;
use firewall_common::way_back::{MAX_WAYS, WAYS_OF_ONE, WAYS_OF_SEVERAL, WayBack};
use ipnet::IpNet;

use super::net::{self, Feasible};
use super::owner::{Gone, Owner};
use super::state::Agent;
use crate::api::types::InterfaceLine;
use crate::dataplane::memory::{MemoryTables, mapped};
use crate::policy::explain::Chosen;
use crate::policy::model::{Endpoint, PacketSpec, Policy, SourceCheck, Zone};
use crate::policy::zone_of::zone_of;

/// What was worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) feasible: Feasible,
    /// Several interfaces are guarded.
    pub(super) several: bool,
}

/// Where a routing daemon never rests, the routes are read for one part in so many of the time.
const SHARE: u32 = 20;

/// Looks again whenever the bell rings. What rings meanwhile is one more look.
pub(super) async fn follow(owner: Owner) {
    let Ok(bell) = owner.with(|agent| Arc::clone(&agent.ways_again)).await else {
        return;
    };
    loop {
        bell.notified().await;
        let begin = Instant::now();
        if try_to_look(&owner).await.is_err() {
            return;
        }
        tokio::time::sleep(begin.elapsed() * SHARE).await;
    }
}

/// The same; trouble is told and holds nothing up.
pub(super) async fn try_to_look(owner: &Owner) -> Result<(), Gone> {
    let looked = look(owner).await;
    let failed = |e| format!("`source_check` does not follow the routes: {e:#}");
    let trouble = looked.err().map(failed);
    owner.with(move |agent| agent.note("routes", trouble)).await
}

/// Reads the routes, and tells the tables what follows from them.
async fn look(owner: &Owner) -> anyhow::Result<()> {
    let routes = net::routes().await?;
    let (links, guarded) = owner
        .with(|agent| (agent.links.clone(), agent.to_be_guarded()))
        .await?;
    let several = guarded.len() > 1;
    // Of a million routes this takes seconds, and the owner has other things to do.
    let work = move || net::feasible(&routes, &links, &guarded, MAX_WAYS as usize);
    let feasible = tokio::task::spawn_blocking(work).await;
    let feasible = feasible.context("the ways back to sources could not be worked out")?;
    let ways = Ways { feasible, several };
    owner.with(move |agent| agent.set_ways(ways)).await?
}

impl Agent {
    /// The ways back to sources changed.
    fn set_ways(&mut self, ways: Ways) -> anyhow::Result<()> {
        if self.ways.as_ref() == Some(&ways) {
            return Ok(());
        }
        let cut = ways.feasible.cut.map(|length| {
            let v4 = length.saturating_sub(96);
            format!(
                "the routes lead to more than {MAX_WAYS} prefixes: for `source_check` those longer than /{v4} (IPv4) and /{length} (IPv6) are taken together, so some false sources pass"
            )
        });
        self.note("ways", cut);
        if let Some(plane) = self.plane.as_mut() {
            plane.set_ways(&ways.feasible, ways.several)?;
        }
        self.ways = Some(ways);
        Ok(())
    }
}

impl Ways {
    /// Tells tables in memory the ways back to these addresses.
    pub(super) fn hold_in(&self, tables: &mut MemoryTables, far: impl Iterator<Item = IpAddr>) {
        tables.settings.ways = if self.several {
            WAYS_OF_SEVERAL
        } else {
            WAYS_OF_ONE
        };
        for address in far {
            let ways = self.feasible.of(&mapped(address));
            tables.add_ways(address.into(), ways.copied().unwrap_or_default());
        }
    }

    /// Where the way back to an address leads; `None` where it is on no route by nature.
    fn back(&self, address: IpAddr, index: u32) -> Option<WayBack> {
        let address = mapped(address);
        let judged = !address.is_link_local() && !address.is_unspecified();
        let ways = self.feasible.of(&address);
        judged.then(|| ways.map_or(WayBack::Nowhere, |ways| ways.judge(index)))
    }
}

impl Agent {
    /// Where the check of a zone refuses a source, and why, as the end of a sentence.
    pub(super) fn refuses_source(
        &self,
        zone: &Zone,
        address: IpAddr,
        index: Option<u32>,
    ) -> Option<String> {
        let ways = self.ways.as_ref()?;
        let (check, back) = (
            zone.checks(ways.several),
            ways.back(address, index.unwrap_or(0))?,
        );
        let strict = check == SourceCheck::Strict;
        let word = if strict { "strict" } else { "loose" };
        match back {
            _ if check == SourceCheck::Off => None,
            WayBack::Nowhere => Some(format!(
                "; source_check {word} refuses packets from it: there is no way back"
            )),
            WayBack::Elsewhere if strict && index.is_some() => Some(format!(
                "; source_check strict refuses packets from it here: the way back leads by {}",
                self.by(ways, address)
            )),
            _ => None,
        }
    }

    fn by(&self, ways: &Ways, address: IpAddr) -> String {
        let found = ways.feasible.of(&mapped(address));
        let indexes = found.map(|ways| ways.interfaces).unwrap_or_default();
        let named = self
            .links
            .iter()
            .filter(|link| indexes.contains(&link.index));
        let names: Vec<&str> = named.map(|link| link.name.as_str()).collect();
        names.join(", ")
    }

    /// The interface that a packet comes by which an operator asks about: `came`, unless none was named and the way
    /// back leads to another that is guarded. A zone's example becomes one that can come by it, where there is any.
    pub(super) fn come_by(
        &self,
        came: u32,
        policy: &Policy,
        spec: &PacketSpec,
        chosen: &mut Chosen,
    ) -> u32 {
        let Some(ways) = &self.ways else { return came };
        let source = chosen.packet.source;
        let leads = |index: u32| {
            !matches!(
                ways.back(source, index),
                Some(WayBack::Nowhere | WayBack::Elsewhere)
            )
        };
        let zone = matches!(spec.source, Endpoint::Zone(_) | Endpoint::Any);
        if leads(came) && !(zone && self.is_own(source)) {
            return came;
        }
        let here = { self.interfaces.iter() }.filter(|line| line.index == came);
        let guarded = { self.interfaces.iter() }
            .filter(|line| line.state == "guarded" && spec.interface.is_none());
        let mut lines = here.chain(guarded);
        if !zone {
            let led = lines.find(|line| leads(line.index));
            return led.map_or(came, |line| line.index);
        }
        let name = self.link_name(came).unwrap_or_default();
        let zone = zone_of(policy, source, name).zone;
        let found = lines.find_map(|line| {
            let example = self.example(ways, policy, line, &zone, source.is_ipv6())?;
            Some((line.index, example))
        });
        let (index, example) = found.unwrap_or((came, source));
        chosen.packet.source = example;
        index
    }

    fn link_name(&self, index: u32) -> Option<&str> {
        let link = self.links.iter().find(|link| link.index == index)?;
        Some(&link.name)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let mut locals = self.locals().iter();
        locals.any(|local| local.net.contains(&address))
    }

    /// An address that is in a zone at an interface, and whose way back leads there.
    fn example(
        &self,
        ways: &Ways,
        policy: &Policy,
        line: &InterfaceLine,
        zone: &str,
        v6: bool,
    ) -> Option<IpAddr> {
        let mut leading = { ways.feasible.ways.iter() }
            .filter(|(_, ways)| ways.judge(line.index) == WayBack::Here)
            .filter_map(|((address, length), _)| prefix(*address, *length))
            .filter(|net| net.prefix_len() > 0 && net.addr().is_ipv6() == v6);
        leading.find_map(|net| {
            let mut hosts = net.hosts().take(SOME);
            hosts
                .find(|host| !self.is_own(*host) && zone_of(policy, *host, &line.name).zone == zone)
        })
    }
}

/// Addresses of a prefix that are tried as an example of a zone.
const SOME: usize = 4;

fn prefix(address: Addr, length: u32) -> Option<IpNet> {
    let more = if address.is_v4() { 96 } else { 0 };
    let length = u8::try_from(length.checked_sub(more)?).ok()?;
    IpNet::new(crate::sessions::address(address), length).ok()
}
