//! The table of the ways back to sources, see [`firewall_common::way_back`].

use std::collections::BTreeMap;

use firewall_common::addr::Addr;
use firewall_common::config::Settings;
use firewall_common::way_back::{WAYS_OF_ONE, WAYS_OF_SEVERAL, Ways};

use super::Dataplane;
use super::error::Result;
use super::maps::ONLY;
use super::pin::AddressKey;
use super::swap::address_key;

impl Dataplane {
    /// Tells the interfaces behind every prefix (an address and the length of 128 bits), and whether several
    /// interfaces are guarded.
    ///
    /// Between two writes a packet may find the new way of one prefix and the old one of another. It is an opening
    /// then, in the moment in which its way changes, and is sent again.
    ///
    /// # Errors
    /// Why it could not be told; what was told before, and is not known to be wrong, stays.
    pub fn set_ways(&mut self, ways: &BTreeMap<(Addr, u32), Ways>, several: bool) -> Result<()> {
        let wanted = { ways.iter() }.map(|((address, length), ways)| {
            let key = address_key(*length, &address.to_bytes());
            (key, *ways)
        });
        let wanted: BTreeMap<AddressKey, Ways> = wanted.collect();
        let table = &self.maps.ways;
        let there: BTreeMap<AddressKey, Ways> = table.list()?.into_iter().collect();
        // A change of one route among a million is one write. What is new comes first, so that what stays is
        // never missing.
        let news = wanted
            .iter()
            .filter(|(key, ways)| there.get(*key) != Some(ways));
        let (keys, values): (Vec<AddressKey>, Vec<Ways>) = news.unzip();
        table.fill(&keys, &values)?;
        for key in there.keys().filter(|key| !wanted.contains_key(*key)) {
            table.delete(key)?;
        }
        let settings = self.maps.settings.need(&ONLY)?;
        let ways = if several {
            WAYS_OF_SEVERAL
        } else {
            WAYS_OF_ONE
        };
        self.maps
            .settings
            .set(&ONLY, &Settings { ways, ..settings })
    }
}
