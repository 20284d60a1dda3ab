//! The machine's interfaces.

use anyhow::Context;
use firewall_common::source::Tag;
use futures::TryStreamExt;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};

use crate::dataplane::device;

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
    /// Of a macvlan or an ipvlan: index of the device below, in this network namespace, which sees its frames first.
    pub lower: Option<u32>,
    /// The name of its driver.
    pub driver: Option<String>,
    /// Its driver takes VLAN tags out of the frames that arrive.
    pub takes_tags_out: bool,
    /// The type of its hardware: `ARPHRD_…` of linux/if_arp.h.
    pub hardware: u16,
    /// What a VLAN device takes from the device below it.
    pub vlan: Option<Vlan>,
    /// A loopback device.
    pub loopback: bool,
    /// Administratively up.
    pub up: bool,
}

#[cfg(test)]
impl Link {
    /// A card with a driver.
    pub(crate) fn of_driver(driver: &str) -> Self {
        Self {
            index: 2,
            name: "eth0".to_owned(),
            hardware: libc::ARPHRD_ETHER,
            driver: Some(driver.to_owned()),
            ..Self::default()
        }
    }
}

/// Kinds of devices whose frames are not told apart from those of the device below by any header.
const SHARERS: [&str; 4] = ["macvlan", "macvtap", "ipvlan", "ipvtap"];

/// The frames of a VLAN device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the device below, in this network namespace.
    pub parent: u32,
    /// Their tag.
    pub tag: Tag,
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
    for link in &mut links {
        link.driver = device::driver(&link.name);
        link.takes_tags_out = device::takes_tags_out(&link.name);
    }
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
        let mut below = None;
        let mut elsewhere = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Controller(master) if *master != 0 => link.master = Some(*master),
                LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
                LinkAttribute::Link(index) => below = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                _ => {}
            }
        }
        // The device below may be in another namespace, where its index means another.
        if let (Some(parent), false, Some(tag)) = (below, elsewhere, tag(message)) {
            link.vlan = Some(Vlan { parent, tag });
        }
        let shares = |kind: &str| SHARERS.contains(&kind);
        if !elsewhere && link.kind.as_deref().is_some_and(shares) {
            link.lower = below;
        }
        link
    }
}

/// The tag of a VLAN device.
fn tag(message: &LinkMessage) -> Option<Tag> {
    let infos = message.attributes.iter().find_map(|a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => Some(data),
        _ => None,
    })?;
    let mut tag = Tag {
        protocol: 0x8100,
        control: 0,
    };
    for info in data {
        match info {
            InfoVlan::Id(id) => tag.control = *id,
            InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => tag.protocol = 0x88a8,
            _ => {}
        }
    }
    Some(tag)
}

fn kind(infos: &[LinkInfo]) -> Option<String> {
    let name = |kind: &InfoKind| kind.to_string().to_lowercase();
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(name(kind)),
        _ => None,
    })
}
