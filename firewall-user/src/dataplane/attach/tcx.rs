//! TCX: links of their own (Linux 6.6), in front of all other programs.

use std::fs;
use std::path::Path;

use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use super::Failure;

/// Puts a program on a hook, or gives it to the link that is pinned already.
pub(super) fn attach(
    program: &mut SchedClassifier,
    direction: TcAttachType,
    interface: &str,
    pin: &Path,
) -> Result<(), Failure> {
    if pin.exists() {
        if update(program, pin)? {
            return Ok(());
        }
        // Its interface is gone, and another has the index now.
        fs::remove_file(pin)?;
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(interface, direction, order)?;
    FdLink::try_from(program.take_link(id)?)?.pin(pin)?;
    Ok(())
}

/// Gives a pinned link this program, in one step for packets. `false` where its interface is gone.
fn update(program: &mut SchedClassifier, pin: &Path) -> Result<bool, Failure> {
    let link: FdLink = PinnedLink::from_pin(pin)?.into();
    match program.attach_to_link(SchedClassifierLink::try_from(link)?) {
        Ok(id) => {
            // Only our descriptor of it is closed: the pin holds the link.
            let _link: FdLink = program.take_link(id)?.try_into()?;
            Ok(true)
        }
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOLINK) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
