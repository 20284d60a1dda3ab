//! The kernel itself.

use std::fs;

use super::{Finding, Look};
use crate::dataplane::features;
use crate::dataplane::watch::{Senses, senses};

const BTF: &str = "/sys/kernel/btf/vmlinux";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// What later kernels add, with the version and what is done before it.
const LATER: &[((u32, u32), &str, &str)] = &[(
    (6, 6),
    "TCX (several owners in a fixed order, links that can be pinned)",
    "the clsact qdisc is used instead, where others' filters may come first",
)];

pub(super) fn check(_look: &Look) -> Vec<Finding> {
    let mut all = grade();
    all.extend(told(senses()));
    all.extend([
        btf(),
        jit(fs::read_to_string(JIT).ok().as_deref()),
        lockdown(fs::read_to_string(LOCKDOWN).ok().as_deref()),
        Finding::ok(
            "memory-lock",
            "tables are charged to the memory control group, as on every kernel since 5.11: no limit of locked memory applies",
        ),
    ]);
    all
}

fn grade() -> Vec<Finding> {
    let release = features::release();
    let version = match features::version(&release) {
        Ok(version) => version,
        Err(error) => {
            let advice = "boot a newer kernel: Debian 12's 6.1 is enough";
            return vec![Finding::fail("kernel", error.to_string(), advice)];
        }
    };
    let mut all = vec![Finding::ok(
        "kernel",
        format!("Linux {release} can run the agent"),
    )];
    for (since, what, instead) in LATER {
        let found = format!("{what}: from Linux {}.{}", since.0, since.1);
        all.push(if version >= *since {
            Finding::ok("kernel", format!("{found}, and here"))
        } else {
            Finding::warn("kernel", format!("{found}, not here"), *instead)
        });
    }
    all
}

/// What the kernel tells of handshakes beyond our hooks.
fn told(senses: Senses) -> [Finding; 3] {
    let word = |id, there: bool, found: &str, without: &str| match there {
        true => Finding::ok(id, found),
        false => Finding::warn(id, format!("not here: {found}"), without),
    };
    [
        word(
            "drop-reasons",
            senses.drops,
            "the kernel tells which handshakes it drops, and why (kfree_skb)",
            "what another filter dropped is `unknown` more often in `ringwall one-sided`",
        ),
        word(
            "owners",
            senses.owners,
            "the kernel tells which process connects or listens (inet_sock_set_state)",
            "records, sessions and handshakes have no `process`",
        ),
        word(
            "calls",
            senses.tries,
            "calls that find no route are seen at the root of the control groups (cgroup2)",
            "mount cgroup2 for `no-route` to be told where there is no route at all",
        ),
    ]
}

fn btf() -> Finding {
    match fs::File::open(BTF) {
        Ok(_) => Finding::ok("btf", format!("{BTF} is there")),
        Err(error) => Finding::fail(
            "btf",
            format!("{BTF}: {error}"),
            "boot a kernel that was built with CONFIG_DEBUG_INFO_BTF, as those of distributions are",
        ),
    }
}

fn jit(setting: Option<&str>) -> Finding {
    match setting.map(str::trim) {
        None => Finding::skipped(
            "jit",
            "the setting is not shown in this network namespace",
            "ask in the first one: `nsenter -t 1 -n ringwall doctor`",
        ),
        Some("0") => Finding::warn(
            "jit",
            "programs are interpreted, which costs several times as much for each packet",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(level) => Finding::ok(
            "jit",
            format!("programs are compiled (bpf_jit_enable = {level})"),
        ),
    }
}

/// `none [integrity] confidentiality`: the one in brackets holds.
fn lockdown(text: Option<&str>) -> Finding {
    let held = text.and_then(|t| t.split(['[', ']']).nth(1));
    match held {
        None => Finding::ok(
            "lockdown",
            "this kernel has no lockdown, or does not show it",
        ),
        Some(held @ ("none" | "integrity")) => {
            Finding::ok("lockdown", format!("{held}: it does not concern us"))
        }
        Some(held) => Finding::warn(
            "lockdown",
            format!("{held}: programs may not read the kernel's memory"),
            "the programs judge packets all the same; tracing tools beside them may not work",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn settings_are_read_as_the_kernel_writes_them() {
        assert_eq!(jit(Some("0\n")).state, State::Warn);
        assert_eq!(jit(Some("1\n")).state, State::Ok);
        assert_eq!(jit(None).state, State::Skipped);
        assert_eq!(
            lockdown(Some("[none] integrity confidentiality\n")).state,
            State::Ok
        );
        assert_eq!(
            lockdown(Some("none integrity [confidentiality]\n")).state,
            State::Warn
        );
    }
}
