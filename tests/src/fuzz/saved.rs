//! Bytes that other versions wrote: records in the ring, sessions in a table, compiled policies on the disk.

use firewall_common::event::Kind;
use firewall_common::event::decode::decode;
use firewall_common::event::layout::{OfSession, Refused, VERSION};
use firewall_user::policy::compiled::{Compiled, Numbers};

/// A record is one or it is none; what is one can be shown.
pub(super) fn events(bytes: &[u8]) {
    if let Ok(event) = decode(bytes) {
        drop(format!("{event:?}"));
    }
}

/// A compiled policy as it lies on the disk behind its label, whose checksum keeps these bytes out: nothing may
/// panic all the same.
pub(super) fn compiled(bytes: &[u8]) {
    let Ok((mut compiled, numbers)) = postcard::from_bytes::<(Compiled, Numbers)>(bytes) else {
        return;
    };
    let wall = "2027-01-01T00:00:00Z".parse().expect("a time");
    compiled.retime(&firewall_user::policy::compiled::Clock {
        boot: 1 << 40,
        wall,
    });
    let _ = compiled.interfaces.entry("eth0");
    drop(format!("{compiled:?}{numbers:?}"));
}

/// Records of each kind, all zeros behind their headers.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let record = |(kind, size): (u8, usize)| {
        let mut bytes = (size as u32).to_ne_bytes().to_vec();
        bytes.extend(VERSION.to_ne_bytes());
        bytes.push(kind);
        bytes.resize(size, 0);
        bytes
    };
    let sizes = [
        (Kind::Open, size_of::<OfSession>()),
        (Kind::Close, size_of::<OfSession>()),
        (Kind::Drop, size_of::<Refused>()),
    ];
    sizes.map(|(kind, size)| record((kind as u8, size))).into()
}
