//! Addresses: sixteen bytes for both families, IPv4 as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2).

/// An IPv6 address, or an IPv4 address mapped into IPv6. Both words are in host byte order, so that
/// prefixes are masks and ranges are comparisons.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr {
    /// The first eight bytes.
    pub hi: u64,
    /// The last eight bytes.
    pub lo: u64,
}

const MAPPED: u64 = 0xffff_0000_0000;

impl Addr {
    /// The unspecified IPv6 address, `::`.
    pub const UNSPECIFIED: Self = Self { hi: 0, lo: 0 };

    /// From an IPv4 address in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn v4(address: u32) -> Self {
        Self {
            hi: 0,
            lo: MAPPED | address as u64,
        }
    }

    /// From the sixteen bytes as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn from_bytes(b: [u8; 16]) -> Self {
        Self {
            hi: u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            lo: u64::from_be_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        }
    }

    /// The sixteen bytes as on the wire; what longest-prefix tables are keyed by.
    #[inline(always)]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        let h = self.hi.to_be_bytes();
        let l = self.lo.to_be_bytes();
        [
            h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], l[0], l[1], l[2], l[3], l[4], l[5],
            l[6], l[7],
        ]
    }

    /// Is it an IPv4 address?
    #[inline(always)]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.hi == 0 && self.lo >> 32 == 0xffff
    }

    /// The IPv4 address in host byte order; meaningful where [`Self::is_v4`].
    #[inline(always)]
    #[must_use]
    pub const fn as_v4(self) -> u32 {
        self.lo as u32
    }

    /// 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7).
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        if self.is_v4() {
            self.as_v4() >> 28 == 0xe
        } else {
            self.hi >> 56 == 0xff
        }
    }

    /// 255.255.255.255 (RFC 919).
    #[inline(always)]
    #[must_use]
    pub const fn is_limited_broadcast(self) -> bool {
        self.is_v4() && self.as_v4() == u32::MAX
    }

    /// 240.0.0.0/4 (RFC 1112 section 4), which holds the limited broadcast address too.
    #[inline(always)]
    #[must_use]
    pub const fn is_class_e(self) -> bool {
        self.is_v4() && self.as_v4() >> 28 == 0xf
    }

    /// 0.0.0.0/8 (RFC 1122 section 3.2.1.3) or `::`.
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        if self.is_v4() {
            self.as_v4() >> 24 == 0
        } else {
            self.hi == 0 && self.lo == 0
        }
    }

    /// 127.0.0.0/8 or `::1`.
    #[inline(always)]
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        if self.is_v4() {
            self.as_v4() >> 24 == 127
        } else {
            self.hi == 0 && self.lo == 1
        }
    }

    /// 169.254.0.0/16 (RFC 3927) or fe80::/10.
    #[inline(always)]
    #[must_use]
    pub const fn is_link_local(self) -> bool {
        self.is_link_local_v6() || (self.is_v4() && self.as_v4() >> 16 == 0xa9fe)
    }

    /// fe80::/10 (RFC 4291 section 2.5.6).
    #[inline(always)]
    #[must_use]
    pub const fn is_link_local_v6(self) -> bool {
        self.hi >> 54 == 0xfe80 >> 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        match text.parse().unwrap() {
            core::net::IpAddr::V4(v4) => Addr::v4(u32::from(v4)),
            core::net::IpAddr::V6(v6) => Addr::from_bytes(v6.octets()),
        }
    }

    #[test]
    fn kinds_follow_their_rfcs() {
        assert!(addr("224.0.0.1").is_multicast() && addr("239.255.255.255").is_multicast());
        assert!(!addr("223.255.255.255").is_multicast() && !addr("240.0.0.0").is_multicast());
        assert!(addr("ff02::1").is_multicast() && !addr("fe80::1").is_multicast());
        assert!(addr("fe80::1").is_link_local_v6() && addr("febf::1").is_link_local_v6());
        assert!(!addr("fec0::1").is_link_local_v6() && !addr("169.254.0.1").is_link_local_v6());
        assert!(addr("169.254.0.1").is_link_local() && addr("fe80::1").is_link_local());
        assert!(!addr("169.253.0.1").is_link_local() && !addr("fec0::1").is_link_local());
        assert!(addr("127.9.9.9").is_loopback() && addr("::1").is_loopback());
        assert!(addr("0.0.0.0").is_unspecified() && addr("::").is_unspecified());
        assert!(addr("255.255.255.255").is_class_e() && addr("240.0.0.1").is_class_e());
    }

    #[test]
    fn bytes_round_trip_in_wire_order() {
        let a = addr("2001:db8::1:2");
        assert_eq!(a.to_bytes()[0..4], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(Addr::from_bytes(a.to_bytes()), a);
        assert_eq!(addr("1.2.3.4").to_bytes()[10..], [0xff, 0xff, 1, 2, 3, 4]);
    }
}
