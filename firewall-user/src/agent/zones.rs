//! Which zone an address is in, asked of the policy in force and of this host's addresses.

use std::net::IpAddr;

use super::net::LocalKind;
use super::state::{Agent, Current};
use crate::api::types::{Problem, ZoneRequest, ZoneRow, exit};
use crate::policy::model::Policy;
use crate::policy::zone_of::{Found, zone_of};

impl Agent {
    /// `POST /v1/zone`.
    ///
    /// # Errors
    /// It is no address, there is no such interface, or no policy whose zones could be asked.
    pub fn zone_of(&mut self, request: &ZoneRequest) -> Result<Vec<ZoneRow>, Problem> {
        let input = |text: String| Problem::new(exit::INPUT, text);
        let address: IpAddr = request
            .address
            .parse()
            .map_err(|_| input(format!("{}: no address", request.address)))?;
        let names: Vec<String> = self.links.iter().map(|link| link.name.clone()).collect();
        if let Some(name) = request
            .interface
            .as_ref()
            .filter(|name| !names.contains(name))
        {
            return Err(input(format!("there is no interface `{name}` here")));
        }
        let row = |interface: Option<String>, found: Found| ZoneRow {
            address: address.to_string(),
            interface,
            zone: found.zone,
            why: found.why,
        };
        let index = { self.links.iter() }
            .find(|link| request.interface.as_ref() == Some(&link.name))
            .map(|link| link.index);
        if let Some(found) = self.without_policy(address) {
            return Ok(vec![row(request.interface.clone(), found)]);
        }
        self.read_text();
        let policy = self.in_force().and_then(Current::policy);
        let policy = policy.ok_or_else(|| {
            let text =
                "no policy is in force, so there are no zones: begin with `ringwall apply PATH`";
            Problem::new(exit::NO, text)
        })?;
        let found = match &request.interface {
            Some(name) => vec![(Some(name.clone()), zone_of(policy, address, name))],
            None => differing(policy, address, &names),
        };
        let checked = |(name, mut found): (Option<String>, Found)| {
            let zone = policy.zones.iter().find(|zone| zone.name == found.zone);
            let refused = zone.and_then(|zone| self.refuses_source(zone, address, index));
            found.why.extend(refused);
            row(name, found)
        };
        Ok(found.into_iter().map(checked).collect())
    }

    /// What is so under any policy: this host's own addresses, and groups.
    fn without_policy(&self, address: IpAddr) -> Option<Found> {
        let group = "outgoing; what arrives for it counts as for this host";
        let limited = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let found = |zone: &str, why: String| {
            Some(Found {
                zone: zone.to_owned(),
                why,
            })
        };
        if address.is_multicast() || limited {
            return found("multicast", format!("multicast or broadcast: {group}"));
        }
        let holding = self
            .locals()
            .iter()
            .filter(|local| local.net.contains(&address));
        let local = holding.max_by_key(|local| local.net.prefix_len())?;
        match local.kind {
            LocalKind::Unicast => {
                let route = local.net;
                found(
                    "host",
                    format!("the kernel delivers it here, by the local route {route}"),
                )
            }
            LocalKind::Broadcast => found(
                "multicast",
                format!("the broadcast address of a link: {group}"),
            ),
        }
    }
}

/// The zone at an interface that no zone names, and those interfaces at which it is another.
fn differing(policy: &Policy, address: IpAddr, names: &[String]) -> Vec<(Option<String>, Found)> {
    let anywhere = zone_of(policy, address, "");
    let mut rows = Vec::new();
    for name in names {
        let there = zone_of(policy, address, name);
        if there.zone != anywhere.zone {
            rows.push((Some(name.clone()), there));
        }
    }
    rows.insert(0, (None, anywhere));
    rows
}
