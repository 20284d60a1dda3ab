//! Where what arrives by an interface is judged, and why. Pure.
//!
//! XDP is the place where a flood costs least, if the driver has it natively and keeps its offloads. Where
//! it does not, the same connection is several times slower with the emptiest program at XDP than with one
//! at TC, so `auto` stays at TC there.

use super::Link;
use crate::agent::config::HookChoice;
use crate::dataplane::Ingress;

/// A place, and why it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The place.
    pub ingress: Ingress,
    /// Why.
    pub why: String,
}

/// Drivers of hardware that run XDP natively from Linux 6.1 on, and go on with several queues, receive
/// checksums and GRO in software while they do. Each stands beside the file of the kernel that takes the
/// program (`XDP_SETUP_PROG`).
const NATIVE: &[(&str, &str)] = &[
    ("bnxt_en", "drivers/net/ethernet/broadcom/bnxt/bnxt_xdp.c"),
    ("i40e", "drivers/net/ethernet/intel/i40e/i40e_main.c"),
    ("ice", "drivers/net/ethernet/intel/ice/ice_main.c"),
    ("igb", "drivers/net/ethernet/intel/igb/igb_main.c"),
    ("igc", "drivers/net/ethernet/intel/igc/igc_main.c"),
    ("ixgbe", "drivers/net/ethernet/intel/ixgbe/ixgbe_main.c"),
    (
        "ixgbevf",
        "drivers/net/ethernet/intel/ixgbevf/ixgbevf_main.c",
    ),
    (
        "mlx5_core",
        "drivers/net/ethernet/mellanox/mlx5/core/en_main.c",
    ),
    ("sfc", "drivers/net/ethernet/sfc/efx.c"),
];

/// Decides for one of `links`.
#[must_use]
pub fn pick(link: &Link, links: &[Link], wish: HookChoice) -> Pick {
    let (ingress, why) = match wish {
        HookChoice::Auto => auto(link, links),
        HookChoice::Tc => (Ingress::Tc, "`hook` says tc".to_owned()),
        HookChoice::Xdp => (Ingress::Xdp, "`hook` says xdp".to_owned()),
        HookChoice::XdpGeneric => (Ingress::XdpGeneric, "`hook` says xdp-generic".to_owned()),
    };
    Pick { ingress, why }
}

/// Is its driver known to have XDP, and to keep its offloads under it?
#[must_use]
pub fn keeps_offloads(link: &Link) -> bool {
    let driver = link.driver.as_deref();
    NATIVE.iter().any(|(name, _)| Some(*name) == driver)
}

fn auto(link: &Link, links: &[Link]) -> (Ingress, String) {
    let tc = |why: String| (Ingress::Tc, why);
    if link.hardware != libc::ARPHRD_ETHER {
        return tc("no Ethernet header, which XDP needs".to_owned());
    }
    if let Some(kind) = &link.kind {
        return tc(format!("XDP would cost a {kind} device its offloads"));
    }
    let Some(driver) = link.driver.as_deref() else {
        return tc("its driver does not tell its name".to_owned());
    };
    if !keeps_offloads(link) {
        return tc(format!(
            "the driver {driver} is not known to keep its offloads under XDP"
        ));
    }
    let above = |other: &&Link| other.vlan.is_some_and(|vlan| vlan.parent == link.index);
    match links.iter().find(above) {
        // A frame for that device would look at XDP like one for this.
        Some(vlan) if link.takes_tags_out => tc(format!(
            "the driver takes VLAN tags out of frames, which {} needs: `ethtool -K {} rxvlan off` would change that",
            vlan.name, link.name
        )),
        _ => (
            Ingress::Xdp,
            format!("the driver {driver} has XDP and keeps its offloads"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use firewall_common::source::Tag;

    use super::super::Vlan;
    use super::*;

    fn auto(link: &Link, links: &[Link]) -> Ingress {
        pick(link, links, HookChoice::Auto).ingress
    }

    #[test]
    fn auto_takes_xdp_where_the_driver_keeps_its_offloads() {
        for driver in ["ice", "mlx5_core"] {
            assert_eq!(auto(&Link::of_driver(driver), &[]), Ingress::Xdp);
        }
        for driver in ["virtio_net", "e1000e", "ena", "hv_netvsc"] {
            assert_eq!(auto(&Link::of_driver(driver), &[]), Ingress::Tc, "{driver}");
        }
        for kind in ["veth", "bridge", "bond", "vlan", "wireguard", "vxlan"] {
            let link = Link {
                kind: Some(kind.to_owned()),
                ..Link::of_driver("ice")
            };
            assert_eq!(auto(&link, &[]), Ingress::Tc, "{kind}");
        }
        let bare = Link {
            hardware: libc::ARPHRD_NONE,
            ..Link::of_driver("ice")
        };
        assert_eq!(auto(&bare, &[]), Ingress::Tc);
        assert_eq!(auto(&Link::default(), &[]), Ingress::Tc);
    }

    #[test]
    fn auto_stays_where_the_tags_of_a_vlan_device_are_seen() {
        let vlan = Link {
            index: 3,
            name: "eth0.7".to_owned(),
            kind: Some("vlan".to_owned()),
            vlan: Some(Vlan {
                parent: 2,
                tag: Tag {
                    protocol: 0x8100,
                    control: 7,
                },
            }),
            ..Link::of_driver("ice")
        };
        let takes = |takes_tags_out| Link {
            takes_tags_out,
            ..Link::of_driver("ice")
        };
        let links = [vlan];
        assert_eq!(auto(&takes(true), &links), Ingress::Tc);
        assert_eq!(auto(&takes(false), &links), Ingress::Xdp);
        assert_eq!(auto(&takes(true), &[]), Ingress::Xdp);
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let veth = Link {
            kind: Some("veth".to_owned()),
            ..Link::of_driver("veth")
        };
        for (wish, ingress) in [
            (HookChoice::Tc, Ingress::Tc),
            (HookChoice::Xdp, Ingress::Xdp),
            (HookChoice::XdpGeneric, Ingress::XdpGeneric),
        ] {
            assert_eq!(pick(&veth, &[], wish).ingress, ingress);
        }
    }
}
