//! Fragments: whole packets cut up, in and out of order, overlapping, tiny, missing, under one identification.

use super::framed::{any, essential};
use super::step::{Maker, host};
use super::world::Key;
use crate::case::packet::{self, Packet};

/// What fits in a frame beside any header.
const LARGEST: usize = 1400;

/// One fragment: offset, bytes, whether more follows.
type Cut = (usize, Vec<u8>, bool);

pub(super) fn group(maker: &mut Maker) {
    let v6 = maker.v6();
    let whole = long(maker, v6);
    let body = whole.transport();
    let mut cuts = cut(maker, &body);
    let class = spoil(maker, &mut cuts);
    maker.class(class);
    let key = maker.key(v6);
    send(maker, &whole, &cuts, key);
    if class == "fragments: id reuse" {
        // The rest of another packet under the same identification: to a port that is closed.
        let other = packet::udp((whole.source, 7777), (host(v6), 161), &vec![0x42; 1200]);
        let body = other.transport();
        let cuts = [
            (0, body[..600].to_vec(), true),
            (600, body[600..].to_vec(), false),
        ];
        let (from, to) = (other.source, other.destination);
        let alike = packet::raw(from, to, whole.protocol, body);
        send(maker, &alike, &cuts, key);
    }
}

fn long(maker: &mut Maker, v6: bool) -> Packet {
    let length = 64 + maker.below(3000) as usize;
    let (peer, port, to) = (maker.peer(v6), maker.high_port(), maker.port());
    let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
    match maker.below(5) {
        0 => packet::syn((peer, port), (host(v6), to)).data(&data),
        1 => any(maker, v6).data(&data),
        2 => essential(maker, v6).data(&data),
        _ => packet::udp((peer, port), (host(v6), to), &data),
    }
}

/// In pieces of a multiple of eight bytes.
fn cut(maker: &mut Maker, body: &[u8]) -> Vec<Cut> {
    let parts = 2 + maker.below(4) as usize;
    let size = body
        .len()
        .div_ceil(parts)
        .next_multiple_of(8)
        .clamp(8, LARGEST);
    let pieces: Vec<&[u8]> = body.chunks(size).collect();
    let last = pieces.len() - 1;
    let numbered = pieces.into_iter().enumerate();
    numbered
        .map(|(index, piece)| (index * size, piece.to_vec(), index != last))
        .collect()
}

/// Changes what is sent, and says how.
fn spoil(maker: &mut Maker, cuts: &mut Vec<Cut>) -> &'static str {
    match maker.below(12) {
        0..5 => "fragments: in order",
        5 => {
            cuts.reverse();
            "fragments: last first"
        }
        6 => {
            let at = maker.below(cuts.len() as u64) as usize;
            cuts.swap(0, at);
            if at == 0 {
                "fragments: in order"
            } else {
                "fragments: shuffled"
            }
        }
        7 => {
            let at = maker.below(cuts.len() as u64) as usize;
            cuts.remove(at);
            "fragments: one missing"
        }
        8 => {
            let at = maker.below(cuts.len() as u64) as usize;
            cuts.insert(at, cuts[at].clone());
            "fragments: one twice"
        }
        9 => {
            // Other bytes over the end of the first, so that they would stand where its ports are.
            let first = cuts[0].1.len();
            let reach = 8 * (1 + maker.below(first as u64 / 8) as usize);
            cuts.insert(1, (first - reach, vec![0xff; reach + 8], true));
            "fragments: overlapping"
        }
        10 => {
            let (_, body, more) = cuts.remove(0);
            cuts.insert(0, (8, body[8..].to_vec(), more));
            cuts.insert(0, (0, body[..8].to_vec(), true));
            "fragments: tiny first"
        }
        _ => "fragments: id reuse",
    }
}

fn send(maker: &mut Maker, whole: &Packet, cuts: &[Cut], key: Key) {
    for (offset, bytes, more) in cuts {
        // The checksum is that of the whole, so the piece must not get its own.
        let piece = whole.clone().carrying(bytes);
        let piece = piece.fragment(*offset as u16, *more, key.1);
        maker.arrive_as(&piece, key);
    }
}
