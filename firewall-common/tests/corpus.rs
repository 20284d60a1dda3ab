//! Every frame of the fuzzer's corpus through the parsers: what they reach is what fuzzing reached.

use std::path::Path;

use firewall_common::flow::Tuple;
use firewall_common::packet::Packet;
use firewall_common::parse;
use firewall_common::source::{BareSlice, Slice, Tag};

/// How it comes, the frame, and what follows: as `tests/src/fuzz/packets.rs` cuts an input.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(3)?;
    let length = usize::from(u16::from_be_bytes([head[1], head[2]])).min(rest.len());
    let (frame, rest) = rest.split_at(length);
    Some((head[0], frame, rest))
}

fn read(how: u8, frame: &[u8]) -> bool {
    let tag = (how & 2 != 0).then_some(Tag {
        protocol: 0x8100,
        control: 0,
    });
    let (mut packet, mut tuple) = (Packet::default(), Tuple::default());
    if how & 4 != 0 && frame.len() > 14 {
        let (link, bytes) = frame.split_at(14);
        let ethertype = u16::from_be_bytes([link[12], link[13]]);
        let source = BareSlice { bytes, ethertype };
        return parse::parse(&source, &mut packet).is_ok();
    }
    let source = Slice { bytes: frame, tag };
    let whole = parse::parse(&source, &mut packet).is_ok();
    if whole && packet.family != 0 {
        let _ = parse::quoted::parse(&source, &packet, &mut tuple);
        let end = packet.end as usize;
        assert!(end <= frame.len(), "{packet:?}");
    }
    whole
}

#[test]
fn every_frame_of_the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/packets");
    let [mut whole, mut refused] = [0, 0];
    for file in std::fs::read_dir(corpus).expect("the corpus is there") {
        let input = std::fs::read(file.expect("a file").path()).expect("it can be read");
        let mut rest = &input[..];
        while let Some((how, frame, later)) = next(rest) {
            rest = later;
            if read(how, frame) {
                whole += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        whole > 50 && refused > 50,
        "{whole} read, {refused} refused"
    );
}
