//! Programs on our hooks, ours and others', for people. Naming one takes CAP_SYS_ADMIN: a program is opened by
//! its number for that.

use std::collections::BTreeMap;

use aya::programs::tc::{SchedClassifier, TcAttachType};
use aya::programs::{ProgramError, loaded_programs};

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub id: u32,
    /// Its name, as far as the kernel keeps it (15 bytes).
    pub name: String,
}

impl Program {
    /// Is it one of ours, by its name?
    #[must_use]
    pub fn ours(&self) -> bool {
        self.name.starts_with("ringwall_")
    }
}

/// The programs at TCX of an interface, in the order in which they run; none where the kernel has no TCX.
/// `None`: we may not see them.
#[must_use]
pub fn tcx(interface: &str, ingress: bool) -> Option<Vec<Program>> {
    let direction = if ingress {
        TcAttachType::Ingress
    } else {
        TcAttachType::Egress
    };
    match SchedClassifier::query_tcx(interface, direction) {
        Ok((_revision, programs)) => Some(
            programs
                .iter()
                .map(|info| Program {
                    id: info.id(),
                    name: info.name_as_str().unwrap_or_default().to_owned(),
                })
                .collect(),
        ),
        Err(error) => (!refused(&error)).then(Vec::new),
    }
}

/// Is the kernel's "not permitted" behind it? aya wraps that differently by the call that failed.
fn refused(error: &ProgramError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kernel = error.downcast_ref::<std::io::Error>();
        if kernel.is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Names of all loaded programs by number; empty where we may not see them.
#[must_use]
pub fn names() -> BTreeMap<u32, String> {
    let all = loaded_programs().filter_map(std::result::Result::ok);
    all.map(|info| (info.id(), info.name_as_str().unwrap_or_default().to_owned()))
        .collect()
}
