//! Devices that the operator names: a VLAN beside its parent, a bridge, a port of a VRF. Tagged traffic is
//! judged on its own device and not on the parent.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ringwall_tests::net::Host;
use ringwall_tests::net::sock::{self, Echo, Seen};
use ringwall_tests::scenario::SHORT;

use crate::devices::{Ends, addresses};
use crate::judged::{judges, openings, policy, wait_for, words};
use crate::report::Report;

/// Nothing for the host comes in by the parents.
const PARENTS: &str = "      - {name: parent, action: deny, interfaces: [eth0, outer], reason: a test, owner: tests}\n";

const GUARD: &str = "interfaces: {guard: [eth0, outer, inner, eth0.100, br0, eth3]}\n";

pub(crate) fn check(report: &mut Report) {
    let started = Ends::new().and_then(|ends| {
        let host = Host::start(&ends.host, &[], GUARD)?;
        let ran = host.apply(&policy(1, PARENTS))?;
        ensure!(ran.ok(), "{ran:?}");
        Ok((ends, host))
    });
    let (ends, host) = match started {
        Ok(started) => started,
        Err(error) => return report.say("named devices", Err(error)),
    };
    for (name, what) in [
        ("eth0.100", "VLAN beside its parent"),
        ("inner", "stacked VLAN beside its parents"),
        ("br0", "bridge, named"),
        ("eth3", "port of a VRF, named"),
    ] {
        match ends.refusal(name) {
            Some(why) => report.left_out(what, why),
            None => report.check(what, || named(&ends, &host, name)),
        }
    }
    report.check("parent of VLANs", || parent(&ends, &host));
}

fn named(ends: &Ends, host: &Host, name: &str) -> Result<String> {
    let line = wait_for(host, name, "guarded")?;
    let before = openings(host, "parent")?;
    judges(host, &ends.peer, &addresses(name))?;
    let refused = openings(host, "parent")? - before;
    ensure!(refused == 0.0, "{refused} packets were judged on a parent");
    Ok(words(&line))
}

fn parent(ends: &Ends, host: &Host) -> Result<String> {
    let line = wait_for(host, "eth0", "guarded")?;
    let _server = Echo::tcp(&host.ns, ([0_u16; 8], 443).into())?;
    let before = openings(host, "parent")?;
    for text in ["10.9.0.1", "fd09:0::1"] {
        let at: IpAddr = text.parse()?;
        let seen = sock::tcp(&ends.peer, (at, 443).into(), SHORT);
        ensure!(seen == Seen::Silence, "{at}: {seen}");
    }
    let refused = openings(host, "parent")? - before;
    ensure!(refused >= 2.0, "in/parent refused {refused}");
    Ok(words(&line))
}
