//! The machine's interfaces.

use anyhow::Context;
use futures::TryStreamExt;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

/// An interface as far as guarding it is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Index in this network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Kind of a virtual device (`veth`, `bridge` …); `None` for hardware.
    pub kind: Option<String>,
    /// Index of the device it is a port or slave of.
    pub master: Option<u32>,
    /// The type of its hardware: `ARPHRD_…` of linux/if_arp.h.
    pub hardware: u16,
    /// A loopback device.
    pub loopback: bool,
    /// Administratively up.
    pub up: bool,
}

/// All interfaces of this network namespace, by index.
pub async fn links() -> anyhow::Result<Vec<Link>> {
    let handle = super::connect().context("cannot open a netlink socket")?;
    let messages: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .context("cannot list the interfaces")?;
    let mut links: Vec<Link> = messages.iter().map(Link::from).collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            hardware: u16::from(message.header.link_layer_type),
            loopback: flags.contains(LinkFlags::Loopback),
            up: flags.contains(LinkFlags::Up),
            ..Self::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Controller(master) if *master != 0 => link.master = Some(*master),
                LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
                _ => {}
            }
        }
        link
    }
}

fn kind(infos: &[LinkInfo]) -> Option<String> {
    let name = |kind: &InfoKind| kind.to_string().to_lowercase();
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(name(kind)),
        _ => None,
    })
}
