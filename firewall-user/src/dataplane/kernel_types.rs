//! Where the running kernel keeps the members of its structures, and how it numbers its names: its type
//! information (Documentation/bpf/btf.rst), as far as that is asked.
//!
//! Own code, since aya keeps its reader to itself, and the library that there is has a licence that an agent
//! linked in one piece does not suit.

use std::collections::BTreeMap;

/// Type information as bytes, and where each type begins in it.
pub(super) struct Types<'b> {
    strings: &'b [u8],
    types: &'b [u8],
    starts: Vec<usize>,
}

const MAGIC: u32 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
/// `typedef`, `volatile`, `const`, `restrict` and `type_tag`: another type under a name or with a word more.
const SAME_AS: [u32; 5] = [8, 9, 10, 11, 18];

/// A type's first three words: its name's place, kind and count, size or type.
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    info: u32,
    other: u32,
    /// Where what follows begins.
    rest: usize,
}

impl Head {
    const fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    const fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Bytes behind the head, by kind.
    const fn rest_length(self) -> Option<usize> {
        Some(match self.kind() {
            1 | 14 | 17 => 4,
            3 => 12,
            STRUCT | UNION | 15 | 19 => self.count() * 12,
            ENUM | 13 => self.count() * 8,
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

impl<'b> Types<'b> {
    /// Reads the heads of all types.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        if word(bytes, 0)? & 0xffff != MAGIC {
            return None;
        }
        let header = word(bytes, 4)? as usize;
        let section = |place: usize| -> Option<&'b [u8]> {
            let begin = header.checked_add(word(bytes, place)? as usize)?;
            let length = word(bytes, place + 4)? as usize;
            bytes.get(begin..begin.checked_add(length)?)
        };
        let (types, strings) = (section(8)?, section(16)?);
        // Number 0 is `void`.
        let mut starts = vec![0];
        let mut at = 0;
        while at < types.len() {
            starts.push(at);
            at += 12 + head(types, at)?.rest_length()?;
        }
        Some(Self {
            strings,
            types,
            starts,
        })
    }

    /// Is there a type of this name, whatever its kind?
    pub(super) fn has(&self, name: &str) -> bool {
        let heads = self.starts.iter().skip(1);
        let mut heads = heads.filter_map(|start| head(self.types, *start));
        heads.any(|head| self.name(head.name) == name)
    }

    fn type_of(&self, number: u32) -> Option<Head> {
        let start = self.starts.get(number as usize).filter(|_| number != 0)?;
        head(self.types, *start)
    }

    fn name(&self, at: u32) -> &'b str {
        let text = self.strings.get(at as usize..).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(text.get(..end).unwrap_or_default()).unwrap_or_default()
    }

    fn named(&self, kind: u32, name: &str) -> Option<Head> {
        let heads = self.starts.iter().skip(1);
        let mut heads = heads.filter_map(|start| head(self.types, *start));
        heads.find(|head| head.kind() == kind && head.count() != 0 && self.name(head.name) == name)
    }

    /// Where a member is, in bytes from the structure's beginning: `offset("sock_common", "skc_net.net")`. What is
    /// in structures and unions without a name counts as the outer one's.
    pub(super) fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let bits = self.bit(structure, path)?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// The same in bits, for a member that may share its byte with others.
    pub(super) fn bit(&self, structure: &str, path: &str) -> Option<u32> {
        let mut at = self.named(STRUCT, structure)?;
        let mut bits = 0;
        for name in path.split('.') {
            let (to, of) = self.member(at, name, 0)?;
            bits += to;
            at = self.type_of(of).map_or(at, |head| self.bare(head));
        }
        Some(bits)
    }

    /// Bits to a member, and its type.
    fn member(&self, of: Head, name: &str, depth: usize) -> Option<(u32, u32)> {
        const DEEP: usize = 8;
        let wide = of.info >> 31 != 0;
        (0..of.count())
            .find_map(|place| {
                let at = of.rest + place * 12;
                let own = self.name(word(self.types, at)?);
                let kind = word(self.types, at + 4)?;
                let bits = word(self.types, at + 8)?;
                // With a bit field in it a structure keeps the width in the upper eight bits.
                let bits = if wide { bits & 0x00ff_ffff } else { bits };
                if own == name {
                    return Some((bits, kind));
                }
                let inner = self.bare(self.type_of(kind)?);
                let nameless = own.is_empty() && [STRUCT, UNION].contains(&inner.kind());
                let (more, kind) = self.member(inner, name, depth + 1).filter(|_| nameless)?;
                Some((bits + more, kind))
            })
            .filter(|_| depth < DEEP)
    }

    /// A type without what is said beside it.
    fn bare(&self, mut head: Head) -> Head {
        for _ in 0..16 {
            match self.type_of(head.other) {
                Some(next) if SAME_AS.contains(&head.kind()) => head = next,
                _ => break,
            }
        }
        head
    }

    /// The names of an enumeration by number, each without what all begin with.
    pub(super) fn names(&self, of: &str, prefix: &str) -> BTreeMap<u32, String> {
        let Some(head) = self.named(ENUM, of) else {
            return BTreeMap::new();
        };
        let one = |place: usize| {
            let at = head.rest + place * 8;
            let name = self.name(word(self.types, at)?);
            let name = name.strip_prefix(prefix).unwrap_or(name);
            Some((word(self.types, at + 4)?, name.to_owned()))
        };
        (0..head.count()).filter_map(one).collect()
    }
}

fn head(types: &[u8], at: usize) -> Option<Head> {
    Some(Head {
        name: word(types, at)?,
        info: word(types, at + 4)?,
        other: word(types, at + 8)?,
        rest: at + 12,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct inner { u64 x; int wanted; }`, `struct outer { u32 a; union { struct inner b; }; }`, an
    /// enumeration.
    fn bytes() -> Vec<u8> {
        let strings = b"\0inner\0x\0wanted\0outer\0a\0reason\0R_ONE\0R_TWO\0int\0";
        let at = |name: &str| {
            let bytes = name.as_bytes();
            let place = strings.windows(bytes.len() + 1);
            let same = |w: &[u8]| &w[..bytes.len()] == bytes && w[bytes.len()] == 0;
            place.into_iter().position(same).unwrap() as u32
        };
        let of = |kind: u32, count: u32| kind << 24 | count;
        let types: Vec<u32> = [
            vec![at("int"), of(1, 0), 4, 32],
            vec![
                at("inner"),
                of(STRUCT, 2),
                12,
                at("x"),
                1,
                0,
                at("wanted"),
                1,
                64,
            ],
            vec![0, of(UNION, 1), 12, 0, 2, 0],
            vec![at("outer"), of(STRUCT, 2), 16, at("a"), 1, 0, 0, 3, 32],
            vec![at("reason"), of(ENUM, 2), 4, at("R_ONE"), 0, at("R_TWO"), 7],
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let (t, s) = (types.len() as u32, strings.len() as u32);
        let header = [MAGIC | 1 << 16, 24, 0, t, t, s];
        let header = header.iter().flat_map(|word| word.to_ne_bytes());
        header.chain(types).chain(strings.iter().copied()).collect()
    }

    #[test]
    fn members_are_found_inside_what_has_no_name() {
        let bytes = bytes();
        let types = Types::read(&bytes).unwrap();
        assert_eq!(types.offset("inner", "wanted"), Some(8));
        assert_eq!(types.offset("outer", "wanted"), Some(4 + 8));
        assert_eq!(types.offset("outer", "missing"), None);
        assert_eq!(types.offset("missing", "wanted"), None);
        let names = types.names("reason", "R_");
        assert_eq!(
            names,
            BTreeMap::from([(0, "ONE".into()), (7, "TWO".into())])
        );
    }

    #[test]
    fn what_is_cut_short_is_refused_and_not_believed() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            let _no_panic = Types::read(&bytes[..length]);
        }
        assert!(Types::read(&bytes[..20]).is_none() && Types::read(&[0; 64]).is_none());
    }

    #[test]
    fn this_kernels_own_is_read() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("this kernel has no type information");
            return;
        };
        let types = Types::read(&bytes).unwrap();
        assert_eq!(types.offset("sock", "__sk_common.skc_daddr"), Some(0));
        assert!(types.offset("net", "ns.inum").is_some());
        assert!(types.offset("sock_common", "skc_net.net").is_some());
        let reasons = types.names("skb_drop_reason", "SKB_DROP_REASON_");
        assert!(reasons.is_empty() || reasons.values().any(|name| name == "NETFILTER_DROP"));
    }
}
