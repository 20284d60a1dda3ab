//! Capabilities, and the file system for pins.

use std::fs;
use std::path::Path;

use super::{AS_ROOT, Finding, Look};
use crate::dataplane::pins_file_system;

/// Bits of linux/capability.h, and what each is for.
const NEEDED: &[(u32, &str, &str)] = &[
    (12, "CAP_NET_ADMIN", "to attach programs"),
    (38, "CAP_PERFMON", "for the verifier's trust"),
    (39, "CAP_BPF", "to make tables and load programs"),
];
const ADMIN: u32 = 21;

pub(super) fn check(look: &Look) -> Vec<Finding> {
    vec![bpffs(look), own(), of_agent(look)]
}

fn bpffs(look: &Look) -> Finding {
    let wanted = &look.paths.bpf;
    let there = wanted.ancestors().find(|path| fs::metadata(path).is_ok());
    let shown = wanted.display();
    match there.map(pins_file_system) {
        Some(Ok(true)) => Finding::ok("bpffs", format!("{shown} is on a bpffs")),
        Some(Ok(false)) => Finding::warn(
            "bpffs",
            format!("{shown} is on no bpffs"),
            "run as root by hand the agent mounts one there; the service needs it mounted before: `mount -t bpf bpf /sys/fs/bpf`",
        ),
        _ => Finding::skipped("bpffs", format!("{shown} cannot be looked at"), AS_ROOT),
    }
}

fn own() -> Finding {
    let Some(held) = effective(Path::new("/proc/self/status")) else {
        return Finding::skipped(
            "capabilities",
            "/proc/self/status cannot be read",
            "mount /proc",
        );
    };
    let missing = missing(held);
    if missing.is_empty() {
        return Finding::ok("capabilities", "whoever asks could run the agent");
    }
    Finding::skipped(
        "capabilities",
        format!("whoever asks lacks {}", missing.join(", ")),
        "the agent needs root; `ringwall policy check` and members' reading do not",
    )
}

fn of_agent(look: &Look) -> Finding {
    let id = "agent-capabilities";
    let Some(agent) = look
        .agent
        .as_ref()
        .ok()
        .and_then(|status| status.agent.as_ref())
    else {
        return Finding::skipped(id, "no agent answers", "systemctl start ringwall");
    };
    let status = format!("/proc/{}/status", agent.pid);
    let Some(held) = effective(Path::new(&status)) else {
        return Finding::skipped(id, format!("{status} cannot be read"), AS_ROOT);
    };
    let missing = missing(held);
    if !missing.is_empty() {
        let found = format!("the agent lacks {}", missing.join(", "));
        return Finding::fail(id, found, "start it as root, or by the packaged unit");
    }
    let names = if held & (1 << ADMIN) == 0 {
        "; without CAP_SYS_ADMIN it cannot name other owners' programs, which root's `ringwall doctor` can"
    } else {
        ""
    };
    Finding::ok(id, format!("the agent has what it needs{names}"))
}

fn missing(held: u64) -> Vec<String> {
    let lacks = NEEDED.iter().filter(|(bit, ..)| held & (1 << bit) == 0);
    lacks
        .map(|(_, name, why)| format!("{name} ({why})"))
        .collect()
}

/// `CapEff` of a process.
fn effective(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert!(missing(u64::MAX).is_empty());
        let without = missing(!(1 << 39));
        assert_eq!(without, ["CAP_BPF (to make tables and load programs)"]);
        assert_eq!(missing(0).len(), 3);
    }
}
