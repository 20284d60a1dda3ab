//! Ethernet II and IEEE 802.3 frames with any stack of VLAN tags (IEEE 802.1Q clause 9), and packets of devices
//! that have no Ethernet header.

use crate::packet::Packet;
use crate::reason::Reason;
use crate::source::{PacketSource, Tag};

/// Bytes of an Ethernet header.
pub const HEADER: u32 = 14;
/// Ethertype of IPv4 (RFC 894).
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP (RFC 826).
pub const ARP: u16 = 0x0806;
/// Ethertype of IPv6 (RFC 2464).
pub const IPV6: u16 = 0x86dd;

/// The greatest value of the type field that is a length (IEEE 802.3 clause 3.2.6).
const MAX_802_3_LENGTH: u16 = 1500;

/// VLAN tags in a frame that are read; more are malformed. Linux takes off any number of priority tags.
const MAX_TAGS: u32 = 8;

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8)
}

/// Keeps the tags that `vlan_do_receive` of net/8021q/vlan_core.c goes by: the outermost, and behind those that
/// only bear a priority the first that names a VLAN.
#[inline(always)]
fn note(packet: &mut Packet, tag: Tag) {
    let [outermost, behind] = &mut packet.tags;
    if *outermost == 0 {
        *outermost = tag.word();
    } else if *outermost & VID == 0 && (*behind & VID == 0) {
        *behind = tag.word();
    }
}

/// The VLAN's number in [`Tag::word`].
const VID: u32 = 0xfff;

/// Finds the ethertype behind all tags and where the network header begins.
///
/// # Errors
/// `truncated` and `malformed`.
#[inline(always)]
pub fn parse<S: PacketSource>(source: &S, packet: &mut Packet) -> Result<(), Reason> {
    packet.length = source.length();
    if let Some(ethertype) = source.bare() {
        packet.ethertype = ethertype;
        packet.end = packet.length;
        return Ok(());
    }
    let header = source.read::<14>(0).ok_or(Reason::Truncated)?;
    packet.group = header.u8::<0>() & 1 != 0;
    let mut ethertype = header.be16::<12>();
    let mut offset = HEADER;
    if let Some(tag) = source.tag_in_metadata() {
        note(packet, tag);
    }
    for _ in 0..MAX_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        let tag = source.read::<4>(offset).ok_or(Reason::Truncated)?;
        let (protocol, control) = (ethertype, tag.be16::<0>());
        note(packet, Tag { protocol, control });
        ethertype = tag.be16::<2>();
        offset += 4;
    }
    if is_tag(ethertype) {
        return Err(Reason::Malformed);
    }
    packet.ethertype = ethertype;
    packet.l3 = offset;
    packet.end = packet.length;
    if ethertype <= MAX_802_3_LENGTH {
        // An IEEE 802.3 length, so a logical link control header follows; three bytes tell which.
        let llc = source.read::<3>(offset).ok_or(Reason::Truncated)?;
        packet.fragment_id = u32::from(llc.be16::<0>()) << 8 | u32::from(llc.u8::<2>());
    }
    Ok(())
}
