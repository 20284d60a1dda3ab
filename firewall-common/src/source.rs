//! How a hook lets its packet's bytes be read: the first of the two doors.

/// Bytes copied out of a packet; aligned so that reads of whole words are one load.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Bytes<N> {
    /// The byte at `I`. `I` is checked when the program is compiled.
    #[inline(always)]
    #[must_use]
    pub const fn u8<const I: usize>(&self) -> u8 {
        const { assert!(I < N) };
        self.0[I]
    }

    /// The two bytes from `I` on, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn be16<const I: usize>(&self) -> u16 {
        const { assert!(I + 2 <= N) };
        u16::from_be_bytes([self.0[I], self.0[I + 1]])
    }

    /// The four bytes from `I` on, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn be32<const I: usize>(&self) -> u32 {
        const { assert!(I + 4 <= N) };
        u32::from_be_bytes([self.0[I], self.0[I + 1], self.0[I + 2], self.0[I + 3]])
    }

    /// The eight bytes from `I` on, in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn be64<const I: usize>(&self) -> u64 {
        const { assert!(I + 8 <= N) };
        let b = &self.0;
        u64::from_be_bytes([
            b[I],
            b[I + 1],
            b[I + 2],
            b[I + 3],
            b[I + 4],
            b[I + 5],
            b[I + 6],
            b[I + 7],
        ])
    }
}

/// A VLAN tag (IEEE 802.1Q clause 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Its ethertype: 0x8100, or 0x88a8 for service tags.
    pub protocol: u16,
    /// Priority, a bit, and in the lower twelve bits the VLAN's number (VID).
    pub control: u16,
}

impl Tag {
    /// Ethertype and VID, as tables know them; 0 for none.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u32 {
        (self.protocol as u32) << 16 | (self.control & 0xfff) as u32
    }
}

/// A packet as a hook sees it. Offsets count from the first byte of the link header; where there is none, from
/// the first byte of the network header.
pub trait PacketSource {
    /// Bytes of the frame; a large segment counts whole.
    fn length(&self) -> u32;

    /// Copies `N` bytes from `offset` on; `None` where the frame ends before.
    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>>;

    /// The VLAN tag that the driver took out of the frame; `None` without one.
    fn tag_in_metadata(&self) -> Option<Tag>;

    /// Packets on the wire that this one stands for, at least 1.
    fn segments(&self) -> u32;

    /// Bytes of payload in each of those packets, where the driver or a guest gave them and left it to others to
    /// count the packets; else 0.
    #[inline(always)]
    fn segment_size(&self) -> u32 {
        0
    }

    /// The ethertype of a packet without an Ethernet header, as tunnels have them; `None` where the frame
    /// begins with that header. For Ethernet the compiler knows the answer, so it costs nothing there.
    #[inline(always)]
    fn bare(&self) -> Option<u16> {
        None
    }
}

/// A packet in memory: for tests, fuzzers and `explain`.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// The frame from its link header on.
    pub bytes: &'a [u8],
    /// See [`PacketSource::tag_in_metadata`].
    pub tag: Option<Tag>,
}

impl PacketSource for Slice<'_> {
    fn length(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>> {
        let start = offset as usize;
        let part = self.bytes.get(start..start.checked_add(N)?)?;
        Some(Bytes(part.try_into().ok()?))
    }

    fn tag_in_metadata(&self) -> Option<Tag> {
        self.tag
    }

    fn segments(&self) -> u32 {
        1
    }
}

/// A packet without a link header in memory.
#[derive(Debug, Clone, Copy)]
pub struct BareSlice<'a> {
    /// The packet from its network header on.
    pub bytes: &'a [u8],
    /// Its ethertype, which the device says.
    pub ethertype: u16,
}

impl PacketSource for BareSlice<'_> {
    fn length(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<Bytes<N>> {
        let bytes = self.bytes;
        Slice { bytes, tag: None }.read(offset)
    }

    fn tag_in_metadata(&self) -> Option<Tag> {
        None
    }

    fn segments(&self) -> u32 {
        1
    }

    fn bare(&self) -> Option<u16> {
        Some(self.ethertype)
    }
}
