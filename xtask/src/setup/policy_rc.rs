//! Installing a service without starting it.
//!
//! Debian asks `/usr/sbin/policy-rc.d`, if there is one, before it starts a service. Ours says no while
//! we run. Should we be killed, it is harmless: it asks whether we live, and removes itself if not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command::find;

const PATH: &str = "/usr/sbin/policy-rc.d";

/// While this lives, packages start no service.
pub(super) struct Quiet {
    ours: bool,
}

impl Quiet {
    pub(super) fn begin() -> Result<Self> {
        let ours = !Path::new(PATH).exists();
        if ours {
            std::fs::write(PATH, script(std::process::id())).with_context(|| PATH)?;
            std::fs::set_permissions(PATH, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }

    /// Sees to it that the service, which was not here before, neither runs nor starts at boot.
    pub(super) fn end(self, service: &str) {
        let commands: [&[&str]; 2] = if Path::new("/run/systemd/system").exists() {
            [
                &["systemctl", "stop", service],
                &["systemctl", "disable", service],
            ]
        } else {
            [
                &["service", service, "stop"],
                &["update-rc.d", service, "disable"],
            ]
        };
        for command in commands.iter().filter(|c| find(c[0]).is_some()) {
            let mut quiet = Command::new(command[0]);
            quiet
                .args(&command[1..])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Where there is no init system, there is nothing to disable: then this may fail.
            let _ = quiet.status();
        }
        println!(
            "The service `{service}` is neither started nor enabled: only tests use the program."
        );
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(PATH);
        }
    }
}

fn script(pid: u32) -> String {
    format!(
        "#!/bin/sh\n# Written by `cargo xtask setup` for the time of an installation.\n\
         [ -d /proc/{pid} ] && exit 101\nrm -f \"$0\"\nexit 0\n"
    )
}
