//! What XDP a device can do, as its driver tells: the generic netlink family `netdev` (Linux 6.3,
//! Documentation/netlink/specs/netdev.yaml).

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

use crate::attribute::attribute;

/// `GENL_ID_CTRL`, and its command and attributes that find a family (linux/genetlink.h).
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// The command of `netdev`, and its attributes (linux/netdev.h).
const GET_DEVICE: u8 = 1;
const INDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`: it runs programs and does what they say.
const BASIC: u64 = 1;

/// Has a device XDP in its driver? `None` where the kernel does not tell.
#[must_use]
pub fn native_xdp(index: u32) -> Option<bool> {
    let family = ask(CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0").ok()?;
    let id = attribute(&family, FAMILY_ID)?;
    let id = u16::from_ne_bytes(id.get(..2)?.try_into().ok()?);
    let device = ask(id, GET_DEVICE, INDEX, &index.to_ne_bytes()).ok()?;
    let features = attribute(&device, XDP_FEATURES)?;
    let features = u64::from_ne_bytes(features.get(..8)?.try_into().ok()?);
    Some(features & BASIC != 0)
}

/// Asks a family one thing by one attribute; the attributes of the answer.
fn ask(family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    /// `NLM_F_REQUEST`.
    const REQUEST: u16 = 1;
    let mut body = vec![command, 1, 0, 0];
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = Vec::new();
    message.extend((HEADER as u32 + body.len() as u32).to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let generic = Some(rustix::net::netlink::GENERIC);
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, generic)?;
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = vec![0; 1 << 14];
    let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    answer.truncate(length);
    // `NLMSG_ERROR`: no such family, no such device.
    match answer.get(4..6) {
        Some([2, 0]) | None => Err(io::Error::other("the kernel does not say")),
        _ => Ok(answer.split_off((HEADER + 4).min(length))),
    }
}

/// Bytes of `struct nlmsghdr`; behind it are four of the generic one.
const HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_has_no_features() {
        assert_eq!(native_xdp(u32::MAX), None);
    }
}
