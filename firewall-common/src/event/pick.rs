//! `log: {sample: 1/N}`: which one in so many is recorded.

use crate::addr::Addr;
use crate::flow::{FlowKey, Tuple};

/// Is this one of those that are recorded, of which there is one in `one_in`? 0 and 1: all are.
///
/// By a hash and not by counting: every CPU decides alone, and nobody can be sure to stay unseen by
/// keeping a rhythm, since the time in nanoseconds is part of `seed`.
#[inline(always)]
#[must_use]
pub const fn picked(seed: u64, one_in: u32) -> bool {
    ((mix(seed) >> 32) * one_in as u64) >> 32 == 0
}

/// The seed of a packet.
#[inline(always)]
#[must_use]
pub const fn of_packet(tuple: &Tuple, now: u64) -> u64 {
    let ports = (tuple.source_port as u64) << 16 | tuple.destination_port as u64;
    ends(&tuple.source, &tuple.destination) ^ ports ^ mix(now)
}

/// The seed of a session that is opened now.
#[inline(always)]
#[must_use]
pub const fn of_session(key: &FlowKey, now: u64) -> u64 {
    let ports = (key.low_port as u64) << 16 | key.high_port as u64;
    ends(&key.low, &key.high) ^ ports ^ mix(now)
}

#[inline(always)]
const fn ends(a: &Addr, b: &Addr) -> u64 {
    (a.lo ^ a.hi).wrapping_mul(3) ^ b.lo ^ b.hi
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[inline(always)]
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_picked() {
        for one_in in [1_u32, 2, 10, 100] {
            let start = 1_700_000_000_000_000_u64;
            let seeds = (0..100_000_u64).map(|i| {
                let tuple = Tuple {
                    source: Addr::v4(0x0a00_0001),
                    destination: Addr::v4(0x0a00_0002),
                    source_port: 40000,
                    destination_port: 443,
                    protocol: 6,
                    pad: [0; 3],
                };
                of_packet(&tuple, start + i * 1000)
            });
            let count = seeds.filter(|seed| picked(*seed, one_in)).count() as f64;
            let wanted = 100_000.0 / f64::from(one_in);
            assert!(
                (count - wanted).abs() < wanted * 0.15 + 1.0,
                "{one_in}: {count}"
            );
        }
        assert!(picked(u64::MAX, 0));
    }
}
