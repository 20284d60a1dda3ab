//! Settings of the kernel that work against the policy, in this network namespace.

use std::fs;

use super::{Finding, Look, State};
use crate::policy::model::{Action, Block, Ends, Policy};

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let read = |key: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/{key}")).ok()?;
        Some(text.trim().to_owned())
    };
    let policy = look.policy.as_ref().map(|(policy, _)| policy);
    judge(read, policy)
}

fn judge(read: impl Fn(&str) -> Option<String>, policy: Option<&Policy>) -> Vec<Finding> {
    let mut all = Vec::new();
    if read("ipv4/tcp_syncookies").as_deref() == Some("0") {
        all.push(Finding::warn(
            "sysctls",
            "tcp_syncookies is 0: a flood of SYNs fills the queues of listeners",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ));
    }
    if read("ipv4/tcp_syncookies").as_deref() == Some("1") {
        all.push(Finding::ok(
            "sysctls",
            "tcp_syncookies is 1: in a flood of SYNs half-open sessions give way in turn, and what a source may have is bounded; \
             with 2, Ringwall answers openings to listeners with SYN cookies then (sysctl -w net.ipv4.tcp_syncookies=2)",
        ));
    }
    let routes = policy.and_then(|policy| policy.blocks.iter().find(|block| routed(block)));
    for (key, family) in [
        ("ipv4/ip_forward", "IPv4"),
        ("ipv6/conf/all/forwarding", "IPv6"),
    ] {
        if let (Some(block), Some("0")) = (routes, read(key).as_deref()) {
            all.push(Finding::warn(
                "sysctls",
                format!(
                    "`{}` allows routed traffic, and this host does not forward {family}",
                    block.name
                ),
                format!("if it should: sysctl -w net.{}=1", key.replace('/', ".")),
            ));
        }
    }
    if all.iter().all(|found| found.state == State::Ok) {
        let rp_filter = read("ipv4/conf/all/rp_filter").unwrap_or_else(|| "unknown".to_owned());
        let found = format!("nothing works against the policy (rp_filter of all is {rp_filter})");
        all.push(Finding::ok("sysctls", found));
    }
    all
}

/// Does a block let through what neither comes from this host nor goes to it?
fn routed(block: &Block) -> bool {
    let zones = |ends: &Ends| matches!(ends, Ends::Zones { zones, .. } if !zones.is_empty());
    let allows = block
        .rules
        .iter()
        .any(|rule| rule.active() && rule.action == Action::Allow);
    block.for_this_host && zones(&block.from) && zones(&block.to) && allows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_are_off_are_named() {
        let off = |key: &str| Some(if key.contains("syncookies") { "0" } else { "1" }.to_owned());
        let found = judge(off, None);
        assert_eq!((found.len(), found[0].state), (1, State::Warn));
        assert_eq!(judge(|_| None, None)[0].state, State::Ok);
    }
}
