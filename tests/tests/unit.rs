//! What is installed beside the program: the unit, the manual, the completions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::path::{Path, PathBuf};

use ringwall_tests::net::{Command, binary};
use ringwall_tests::skip::is_installed;
use ringwall_tests::{need_program, skip};

/// Tenths: 2.7 is what the unit has; a change that opens it wider is a decision.
const EXPOSURE: &str = "--threshold=28";

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/ringwall.service");
    std::fs::read_to_string(path).unwrap()
}

/// The unit for a program that is there.
fn installed(dir: &Path) -> PathBuf {
    let path = dir.join("ringwall.service");
    let here = binary().unwrap();
    let text = unit().replace("/usr/bin/ringwall", &here.to_string_lossy());
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    need_program!("systemd-analyze");
    let dir = tempfile::tempdir().unwrap();
    let unit = installed(dir.path());
    let verify = Command::outside("systemd-analyze").args(["verify", "--man=no"]);
    let ran = verify.args([&unit]).run().unwrap();
    assert!(ran.ok() && !ran.err.contains("ringwall.service"), "{ran:?}");
}

#[test]
fn the_unit_is_closed() {
    need_program!("systemd-analyze");
    let dir = tempfile::tempdir().unwrap();
    let unit = installed(dir.path());
    let args = ["security", "--no-pager", "--offline=yes", EXPOSURE];
    let ran = Command::outside("systemd-analyze")
        .args(args)
        .args([&unit])
        .run()
        .unwrap();
    if ran.err.contains("unrecognized option") {
        skip!("systemd-analyze is older than 250 and judges no file");
    }
    assert!(ran.ok(), "{}\n{}", ran.out, ran.err);
}

#[test]
fn the_unit_comes_before_the_network_and_ends_nothing() {
    let text = unit();
    for line in [
        "DefaultDependencies=no",
        "Wants=network-pre.target",
        "Before=network-pre.target shutdown.target",
        "Type=notify",
        "WantedBy=sysinit.target",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
    assert!(
        !text.contains("ExecStop"),
        "stopping the agent must not end enforcement"
    );
}

#[test]
fn every_page_of_the_manual_renders() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Command::outside(binary().unwrap())
        .args(["man".as_ref(), dir.path()])
        .run()
        .unwrap();
    assert!(ran.ok(), "{ran:?}");
    let pages: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert!(pages.len() > 10, "{pages:?}");
    need_program!("groff");
    for page in pages {
        let args = ["-man", "-ww", "-Tutf8", "-P-cbou"];
        let ran = Command::outside("groff")
            .args(args)
            .args([&page])
            .run()
            .unwrap();
        assert!(
            ran.ok() && ran.err.is_empty(),
            "{}: {}",
            page.display(),
            ran.err
        );
        for words in ["EXIT STATUS", "SEE ALSO", "/etc/ringwall/agent.yaml"] {
            assert!(
                ran.out.contains(words),
                "{}: {words}\n{}",
                page.display(),
                ran.out
            );
        }
    }
}

#[test]
fn completions_parse_and_know_the_commands() {
    let script = |shell: &str| {
        let ran = Command::outside(binary().unwrap())
            .args(["completions", shell])
            .run()
            .unwrap();
        assert!(ran.ok(), "{ran:?}");
        ran.out
    };
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let text = script(shell);
        assert!(
            text.contains("explain") && text.contains("rollback"),
            "{shell}"
        );
        if is_installed(shell) {
            let ran = Command::outside(shell)
                .args([check])
                .run_with(&text)
                .unwrap();
            assert!(ran.ok() && ran.err.is_empty(), "{shell}: {ran:?}");
        }
    }
    let complete = script("bash")
        + "\nCOMP_WORDS=(ringwall policy expl) COMP_CWORD=2\n_ringwall ringwall expl policy\necho \"${COMPREPLY[@]}\"\n";
    let ran = Command::outside("bash").run_with(&complete).unwrap();
    assert_eq!(ran.out.trim(), "explain", "{ran:?}");
}
