//! Every parser of packets, without anything behind it. An input is frames one after the other: a byte that says how
//! each comes, two with its length, its bytes.

use firewall_common::flow::Tuple;
use firewall_common::packet::Packet;
use firewall_common::parse;
use firewall_common::source::{BareSlice, PacketSource, Slice, Tag};

/// Frames of an input.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    /// Can be read.
    pub(crate) read: usize,
    /// Cannot.
    pub(crate) refused: usize,
}

/// Reads every frame of an input; panics where what is read of one cannot be.
pub(crate) fn read_all(mut bytes: &[u8]) -> Count {
    let mut count = Count::default();
    while let Some((how, frame, rest)) = next(bytes) {
        bytes = rest;
        if came(how, frame) {
            count.read += 1;
        } else {
            count.refused += 1;
        }
    }
    count
}

fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(3)?;
    let length = usize::from(u16::from_be_bytes([head[1], head[2]])).min(rest.len());
    let (frame, rest) = rest.split_at(length);
    Some((head[0], frame, rest))
}

/// With a tag in metadata, without a link header, or as it is.
fn came(how: u8, frame: &[u8]) -> bool {
    let tag = (how & 2 != 0).then_some(Tag {
        protocol: 0x8100,
        control: u16::from(how >> 4),
    });
    if how & 4 != 0 && frame.len() > 14 {
        let (link, bytes) = frame.split_at(14);
        let ethertype = u16::from_be_bytes([link[12], link[13]]);
        return read(&BareSlice { bytes, ethertype }, bytes.len(), 0);
    }
    read(&Slice { bytes: frame, tag }, frame.len(), 14)
}

fn read<S: PacketSource>(source: &S, length: usize, link: u32) -> bool {
    let (mut packet, mut tuple) = (Packet::default(), Tuple::default());
    if parse::parse(source, &mut packet).is_err() {
        return false;
    }
    if packet.family != 0 {
        let places = [
            link,
            packet.l3,
            packet.l4,
            packet.payload,
            packet.end,
            length as u32,
        ];
        assert!(places.is_sorted(), "places out of order: {packet:?}");
        // Any packet may be taken for an error that quotes one.
        let _ = parse::quoted::parse(source, &mut packet, &mut tuple);
    }
    true
}
