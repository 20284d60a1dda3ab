//! Single questions to the kernel's routing socket, for who has no event loop.

use std::io;

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rtnetlink::packet_route::tc::{TcHandle, TcMessage};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// The number of the XDP program on a device, ours or another's, and whether it is run in the stack; `None` where
/// there is none.
///
/// # Errors
/// The device is gone, or the kernel's answer cannot be read.
pub(super) fn xdp_program(index: u32) -> io::Result<Option<(u32, bool)>> {
    let link = link(index)?;
    let xdp = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Xdp(parts) => Some(parts),
            _ => None,
        });
    Ok({ xdp.into_iter().flatten() }.find_map(|part| match part {
        LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) if *id != 0 => Some((*id, false)),
        LinkXdp::SkbProgId(id) if *id != 0 => Some((*id, true)),
        _ => None,
    }))
}

/// Is there a filter in an interface's clsact qdisc, of that priority and with that handle?
///
/// # Errors
/// The kernel's answer cannot be read.
pub(super) fn has_filter(index: u32, egress: bool, priority: u16, handle: u32) -> io::Result<bool> {
    // `TC_H_MAKE(TC_H_CLSACT, …)` of linux/pkt_sched.h.
    const INGRESS: u32 = 0xffff_fff2;
    const EGRESS: u32 = 0xffff_fff3;
    let mut ask = TcMessage::default();
    ask.header.index = i32::try_from(index).map_err(io::Error::other)?;
    ask.header.handle = TcHandle::from(handle);
    ask.header.parent = TcHandle::from(if egress { EGRESS } else { INGRESS });
    // No protocol: any.
    ask.header.info = u32::from(priority) << 16;
    match question(RouteNetlinkMessage::GetTrafficFilter(ask)) {
        Ok(RouteNetlinkMessage::NewTrafficFilter(_)) => Ok(true),
        Ok(_) => Err(io::Error::other("an answer to another question")),
        // No such filter, or no qdisc to have one, or no interface.
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(false),
            _ => Err(error),
        },
    }
}

fn link(index: u32) -> io::Result<LinkMessage> {
    let mut ask = LinkMessage::default();
    ask.header.index = index;
    match question(RouteNetlinkMessage::GetLink(ask))? {
        RouteNetlinkMessage::NewLink(link) => Ok(link),
        _ => Err(io::Error::other("an answer to another question")),
    }
}

fn question(ask: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
    let mut ask = NetlinkMessage::from(ask);
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
        NetlinkPayload::InnerMessage(answer) => Ok(answer),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("an answer to another question")),
    }
}
