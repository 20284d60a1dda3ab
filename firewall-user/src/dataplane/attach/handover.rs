//! The moment in which an interface changes its ingress hook and has programs at both.
//!
//! Every packet of that moment is judged once. What XDP lets by bears a word before its link header that says so
//! (`firewall_ebpf::flood`), and TC lets by what bears it. That costs something for each packet at XDP, so programs do it
//! only while a setting asks for it.
//!
//! - From TC to XDP: the setting, XDP, a wait until what came before XDP has been judged at TC, then TC goes.
//! - From XDP to TC: the setting, a wait until what XDP let by without the word has passed TC, TC, then XDP goes.
//!
//! An agent that is killed in between leaves both programs and the setting, and packets are still judged once. The next
//! agent finishes the change. Drivers without room before the frame (`xdp_set_data_meta_invalid`) drop the word: with
//! those TC judges such packets again. The second judgement finds the session, or the rule, of the first one, so it is the
//! same; but it is counted.

use std::time::Duration;

use firewall_common::config::{AT_XDP, AT_XDP_GENERIC, AT_XDP_SENDS, SETTINGS_HANDS_OVER};

use super::{Ingress, Place, Site};
use crate::dataplane::error::Result;
use crate::dataplane::maps::{Maps, grace};
use crate::dataplane::shield::flag;

/// Longer than a frame takes from the driver to TC, queues between them included.
const IN_FLIGHT: Duration = Duration::from_millis(100);

/// Until what is under way between the driver and TC has come there.
pub(super) fn wait() {
    std::thread::sleep(IN_FLIGHT);
}

/// While it lives, what XDP lets by says so.
pub(super) struct Handover<'m>(&'m Maps);

impl Site<'_> {
    /// Has XDP say what it has judged, if the interface is about to change its hook.
    pub(super) fn begin_handover(
        &self,
        index: u32,
        ingress: Ingress,
    ) -> Result<Option<Handover<'_>>> {
        let Some(value) = self.maps.guarded.get(&index)? else {
            return Ok(None);
        };
        let early = matches!(value, AT_XDP | AT_XDP_SENDS | AT_XDP_GENERIC);
        let place = self.place_of(index);
        if early && place.serves(ingress) || !early && ingress == Ingress::Tc && !is_early(place) {
            return Ok(None);
        }
        flag(self.maps, SETTINGS_HANDS_OVER, true)?;
        if early {
            wait();
        }
        Ok(Some(Handover(self.maps)))
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        // A program that still runs has read the setting; without the wait it might not have.
        let _one_counted_twice = grace();
        let _the_next_change_does = flag(self.0, SETTINGS_HANDS_OVER, false);
    }
}

const fn is_early(place: Place) -> bool {
    matches!(place, Place::Xdp | Place::XdpGeneric)
}
