//! What this kernel can do.

use std::path::Path;

use super::error::{Error, Result};

/// The oldest kernel that is supported: Debian 12's.
pub const FLOOR: (u32, u32) = (6, 1);
/// The first kernel with TCX.
const TCX: (u32, u32) = (6, 6);

/// A kernel that can run Ringwall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// Major and minor number.
    pub version: (u32, u32),
    /// Programs of several owners in a fixed order on one hook, with links that can be pinned.
    pub tcx: bool,
}

/// The running kernel.
///
/// # Errors
/// Why it cannot run Ringwall.
pub fn check() -> Result<Kernel> {
    let kernel = of_release(&release())?;
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        let message =
            "it was built without CONFIG_DEBUG_INFO_BTF (/sys/kernel/btf/vmlinux is missing)";
        return Err(Error::Unsupported(message.to_owned()));
    }
    Ok(kernel)
}

/// The running kernel's release, as `uname -r` says it.
#[must_use]
pub fn release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Major and minor number of a release that can run Ringwall.
///
/// # Errors
/// It is too old.
pub fn version(release: &str) -> Result<(u32, u32)> {
    of_release(release).map(|kernel| kernel.version)
}

fn of_release(release: &str) -> Result<Kernel> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return Err(Error::Unsupported(format!(
            "its version `{release}` cannot be read"
        )));
    };
    let version = (major, minor);
    if version < FLOOR {
        return Err(Error::Unsupported(format!(
            "it is Linux {release}, and at least {}.{} is needed",
            FLOOR.0, FLOOR.1
        )));
    }
    Ok(Kernel {
        release: release.to_owned(),
        version,
        tcx: version >= TCX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_holds_and_tcx_is_known() {
        assert!(of_release("5.15.0-91-generic").is_err());
        assert!(of_release("6.0.19").is_err());
        assert!(of_release("linux").is_err());
        assert!(!of_release("6.1.0-18-cloud-amd64").unwrap().tcx);
        assert!(of_release("6.12.6-amd64").unwrap().tcx);
        assert!(of_release("7.0-rc1").unwrap().tcx);
    }
}
