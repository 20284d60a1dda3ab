//! Do the programs pass this kernel's verifier, and at what price?

use anyhow::Result;
use firewall_common::flow::Hook;
use firewall_user::dataplane::{Dataplane, Options, Trial};
use ringwall_tests::net::{Netns, RunDir};

use crate::report::Report;

pub(crate) fn check(report: &mut Report) {
    match verified() {
        Ok(counts) => {
            for (name, count) in counts {
                report.say(name, Ok(format!("{count} instructions verified")));
            }
        }
        Err(error) => report.say("programs load", Err(error)),
    }
}

fn verified() -> Result<Vec<(&'static str, u32)>> {
    let (ns, dir) = (Netns::new("load")?, RunDir::new("load")?);
    let options = Options {
        bpf_dir: dir.bpf(),
        sessions_max: 1024,
        half_open_max: 1024,
        ..Options::default()
    };
    ns.run(|| {
        let mut plane = Dataplane::open(&options)?;
        // Those for XDP are loaded when they are first asked for.
        plane.explain(&Trial {
            xdp: true,
            ..Trial::new(&[0; 64], Hook::Ingress, 1)
        })?;
        let counts = plane.verified_instructions()?;
        plane.detach_all()?;
        Ok(counts)
    })
}
