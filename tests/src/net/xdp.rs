//! The smallest XDP program, which passes everything: another owner's, or what makes the far end of a veth
//! take the frames that the near end's program sends back.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};

use super::End;
use super::program::{Place, Program};

/// What the program is called in the kernel.
pub const NAME: &str = "pass_all";

/// `XDP_FLAGS_DRV_MODE`.
const DRIVER_MODE: u32 = 1 << 2;

/// The program on a device, for as long as this lives.
#[derive(Debug)]
pub struct PassAll {
    _link: OwnedFd,
}

impl PassAll {
    /// Puts it into the driver of a device.
    pub fn attach(end: &End) -> Result<Self> {
        end.ns.run(|| {
            let program = Program::answering(Place::Xdp, c"pass_all", Place::Xdp.pass())
                .context("loading a program")?;
            let link = program.attach(end.ifindex, DRIVER_MODE);
            let _link = link.context("attaching it")?;
            Ok(Self { _link })
        })
    }
}
