//! The clsact qdisc, for kernels before TCX. A filter in it stays without anybody holding it.

use std::io;

use aya::programs::tc::{
    self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcHandle,
};
use aya::programs::{Link as _, ProgramError, SchedClassifier, TcAttachType};

use super::Failure;
use crate::dataplane::netlink;

/// Our filter: the first, and always the same, so that it is found again.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// Makes sure that the qdisc is there.
pub(super) fn prepare(interface: &str) -> Result<(), Failure> {
    match tc::qdisc_add_clsact(interface) {
        Err(tc::TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

fn filter(interface: &str, direction: TcAttachType) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, direction, PRIORITY, HANDLE, None)
}

/// Puts a program into the filter, or gives it to the filter that is there already.
pub(super) fn attach(
    program: &mut SchedClassifier,
    direction: TcAttachType,
    interface: &str,
) -> Result<(), Failure> {
    let replaced = program.attach_to_link(filter(interface, direction)?);
    let id = match replaced {
        Ok(id) => id,
        Err(_there_was_none) => {
            let options = NlOptions {
                priority: PRIORITY,
                handle: HANDLE,
                classid: None,
            };
            program.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))?
        }
    };
    leave(program, id)?;
    Ok(())
}

/// Dropping a link of this kind would take the filter out of the qdisc.
fn leave(program: &mut SchedClassifier, id: SchedClassifierLinkId) -> Result<(), ProgramError> {
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Is the filter there?
pub(super) fn is_there(index: u32, direction: TcAttachType) -> bool {
    let egress = matches!(direction, TcAttachType::Egress);
    netlink::has_filter(index, egress, PRIORITY, u32::from(HANDLE)).unwrap_or(false)
}

/// Takes the filter out, if it is there.
pub(super) fn detach(interface: &str, direction: TcAttachType) {
    let _there_is_none = filter(interface, direction).map(SchedClassifierLink::detach);
}
