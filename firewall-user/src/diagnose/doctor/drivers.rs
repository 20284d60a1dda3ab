//! The drivers of guarded interfaces: what they can do with XDP, and where `hook: auto` judges because of that.

use super::{Finding, Look};
use crate::agent::config::{HookChoice, HookConfig};
use crate::agent::net::Link;
use crate::agent::net::hook;
use crate::dataplane::{Ingress, netdev};

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let config = look.config.as_ref();
    let config = config.map(|config| config.hook.clone()).unwrap_or_default();
    let guarded = look.guarded();
    if guarded.is_empty() {
        return vec![Finding::ok("drivers", "no interface is guarded")];
    }
    let about = |link: &&Link| {
        let judged = look.agent.as_ref().ok().and_then(|status| {
            let mut lines = status.interfaces.iter();
            lines.find(|line| line.index == link.index)?.place()
        });
        of(
            link,
            &look.links,
            &config,
            netdev::native_xdp(link.index),
            judged,
        )
    };
    guarded.iter().map(about).collect()
}

fn of(
    link: &Link,
    links: &[Link],
    config: &HookConfig,
    native: Option<bool>,
    judged: Option<String>,
) -> Finding {
    let driver = match &link.driver {
        Some(driver) => format!("the driver {driver}"),
        None => "a driver that does not tell its name".to_owned(),
    };
    let can = match native {
        Some(true) => "has XDP (native)",
        Some(false) => "has no XDP, but the stack has (generic)",
        None if hook::keeps_offloads(link) => "has XDP (native)",
        None => "does not say whether it has XDP (Linux 6.3 would)",
    };
    let auto = hook::pick(link, links, HookChoice::Auto);
    let takes = match auto.ingress {
        Ingress::Tc => "tc",
        Ingress::Xdp => "xdp",
        Ingress::XdpGeneric => "xdp-generic",
    };
    let now = judged.map_or_else(String::new, |place| format!("; judged at {place} now"));
    let name = &link.name;
    let found = format!(
        "{name}: {driver} {can}; `hook: auto` takes {takes}: {}{now}",
        auto.why
    );
    let wish = config.of(name);
    if wish == HookChoice::Xdp && native == Some(false) {
        let advice = format!("`hook` asks for xdp at {name}: say tc or auto, else TC judges there");
        return Finding::warn("drivers", found, advice);
    }
    Finding::ok("drivers", found)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn each_driver_is_told_with_what_it_can_do_and_what_auto_makes_of_it() {
        let config = HookConfig::default();
        let told = |driver: &str, native| {
            let link = Link::of_driver(driver);
            of(&link, &[], &config, native, Some("tcx".to_owned())).found
        };
        assert_eq!(
            told("ice", Some(true)),
            "eth0: the driver ice has XDP (native); `hook: auto` takes xdp: the driver ice has XDP and keeps its offloads; judged at tcx now"
        );
        let virtio = told("virtio_net", Some(true));
        assert!(
            virtio.contains("virtio_net has XDP (native); `hook: auto` takes tc"),
            "{virtio}"
        );
        assert!(told("e1000e", Some(false)).contains("has no XDP, but the stack has"));
        assert!(told("ice", None).contains("ice has XDP (native)"));
        assert!(told("e1000e", None).contains("does not say"));
    }

    #[test]
    fn a_wish_that_the_driver_cannot_grant_is_a_warning() {
        let config = HookConfig {
            default: HookChoice::Xdp,
            by_interface: Vec::new(),
        };
        let found = |native| of(&Link::of_driver("e1000e"), &[], &config, native, None);
        assert_eq!(found(Some(false)).state, State::Warn);
        assert_eq!(found(None).state, State::Ok);
        assert_eq!(found(Some(true)).state, State::Ok);
    }
}
