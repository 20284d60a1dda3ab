//! XDP: one program for each device, in its driver (native) or in the stack (generic).
//!
//! aya falls back from a link to netlink where the kernel refuses the link with `EINVAL`. A program attached
//! that way can take the place of another's, and it cannot be pinned. So links are made here by bpf(2).

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::programs::Xdp;

use super::{Failure, Place};
use crate::dataplane::{neighbours, raw};

/// Run in the stack (`XDP_FLAGS_SKB_MODE`).
const GENERIC: u32 = 1 << 1;
/// Run in the driver, or not at all (`XDP_FLAGS_DRV_MODE`).
const NATIVE: u32 = 1 << 2;

/// Both ways to run it.
pub(super) const PLACES: [Place; 2] = [Place::Xdp, Place::XdpGeneric];

/// What the pin of a link is called, behind the interface's index.
pub(super) const fn pin(place: Place) -> &'static str {
    match place {
        Place::XdpGeneric => "xdp-generic",
        _ => "xdp",
    }
}

/// Puts the program on the device, or gives it to the link that is pinned already, in one step for packets.
pub(super) fn attach(program: &Xdp, place: Place, index: u32, pin: &Path) -> Result<(), Failure> {
    let program = program.fd()?;
    if let Ok(link) = raw::open_pin(pin) {
        match raw::update_link(link.as_fd(), program.as_fd()) {
            // Its interface is gone, and another has the index now.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => fs::remove_file(pin)?,
            outcome => return Ok(outcome?),
        }
    }
    let flags = if place == Place::XdpGeneric {
        GENERIC
    } else {
        NATIVE
    };
    let link = raw::link_xdp(program.as_fd(), index, flags).map_err(|e| refused(&e, index))?;
    // Without a pin it would go with this process.
    raw::pin(link.as_fd(), pin)?;
    Ok(())
}

/// Why a device takes no program, as far as the kernel says.
fn refused(error: &io::Error, index: u32) -> String {
    let why = match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => owner(index),
        Some(libc::EOPNOTSUPP) => "its driver has no XDP for it as it is set up now".to_owned(),
        Some(libc::ERANGE) => "its MTU is more than its driver can do with XDP".to_owned(),
        Some(libc::ENOSPC | libc::ENOMEM | libc::ENODEV | libc::EINVAL) => format!(
            "its driver refuses it as the device is set up now (queues, MTU, LRO; the kernel's log may say which): {error}"
        ),
        _ => error.to_string(),
    };
    format!("XDP cannot be attached: {why}")
}

/// Who has the one place that there is.
fn owner(index: u32) -> String {
    let unknown = "another program is there already".to_owned();
    let Ok(Some(other)) = neighbours::at_xdp(index) else {
        return unknown;
    };
    match other.name {
        Some(name) => format!("program {} (`{name}`) is there already", other.id),
        None => format!("program {} is there already", other.id),
    }
}
