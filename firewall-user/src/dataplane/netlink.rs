//! One question to the kernel's routing socket, for who has no event loop.

use std::io;

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// The number of the XDP program on a device, ours or another's; `None` where there is none.
///
/// # Errors
/// The device is gone, or the kernel's answer cannot be read.
pub(super) fn xdp_program(index: u32) -> io::Result<Option<u32>> {
    let link = link(index)?;
    let xdp = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Xdp(parts) => Some(parts),
            _ => None,
        });
    Ok({ xdp.into_iter().flatten() }.find_map(|part| match part {
        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
        _ => None,
    }))
}

fn link(index: u32) -> io::Result<LinkMessage> {
    let mut ask = LinkMessage::default();
    ask.header.index = index;
    let mut ask = NetlinkMessage::from(RouteNetlinkMessage::GetLink(ask));
    ask.header.flags = NLM_F_REQUEST;
    ask.finalize();
    let mut bytes = vec![0; ask.buffer_len()];
    ask.serialize(&mut bytes);
    // Protocol 0 of this family: NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&socket, &bytes, SendFlags::empty())?;
    // One message, larger the more virtual functions a device has; those are not asked for.
    let mut answer = vec![0; 1 << 16];
    let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    match NetlinkMessage::deserialize(answer)
        .map_err(io::Error::other)?
        .payload
    {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("an answer to another question")),
    }
}
