//! Ports that are published: rules of nftables and iptables that send what comes for this host to somewhere else, as
//! container engines make them.

mod iptables;
mod nft;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use super::exposure::Open;

/// What arrives for this host at a port, and is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Door {
    protocol: u8,
    /// The first port and the last.
    ports: (u16, u16),
    /// The one address of this host that it is for.
    address: Option<IpAddr>,
}

impl Door {
    fn open(self, v6: bool, target: String) -> Open {
        let any = if v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            IpAddr::from(Ipv4Addr::UNSPECIFIED)
        };
        let (low, high) = self.ports;
        Open {
            protocol: self.protocol,
            address: self.address.unwrap_or(any),
            port: low,
            last_port: (high > low).then_some(high),
            published_to: Some(target),
            process: None,
        }
    }
}

/// What is published, and how many rules send on and are not understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// What answers.
    pub open: Vec<Open>,
    /// Rules that are not understood.
    pub strange: usize,
}

/// Of the rules that nftables lists, in JSON, and of those that iptables saves, which nftables does not show whole.
#[must_use]
pub fn published(ruleset: Option<&str>) -> Published {
    let saved = saved();
    let mut all = Published::default();
    if let Some(ruleset) = ruleset {
        nft::add(ruleset, saved.is_empty(), &mut all);
    }
    for (v6, text) in saved {
        iptables::add(&text, v6, &mut all);
    }
    all
}

/// What the two forms of iptables save; nothing where they are not installed.
fn saved() -> Vec<(bool, String)> {
    let kinds = ["nft", "legacy"].into_iter();
    let tools = kinds.flat_map(|kind| [(false, "iptables", kind), (true, "ip6tables", kind)]);
    tools
        .filter_map(|(v6, tool, kind)| {
            let mut save = Command::new(format!("{tool}-{kind}-save"));
            let out = save.stderr(Stdio::null()).output().ok()?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            out.status.success().then_some((v6, text))
        })
        .collect()
}
