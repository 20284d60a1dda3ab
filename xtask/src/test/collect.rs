//! Which test binaries there are: cargo builds them and says where they are.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::command::{cargo, root, target_dir, text};

/// Something to run that talks like libtest.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Job {
    /// `firewall-user`, `ringwall-tests::restart`: goes before the tests' own names.
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) env: Vec<(String, String)>,
    /// Where its output goes.
    pub(super) log: PathBuf,
}

/// Builds the test binaries of the workspace's default members, with cargo's progress shown.
pub(super) fn build(filter: Option<&str>) -> Result<Vec<Job>> {
    let mut cargo = cargo();
    cargo.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    eprintln!("$ {}", text(&cargo));
    let out = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(out.status.success(), "the tests do not build");
    let text = String::from_utf8_lossy(&out.stdout);
    let messages = text.lines().filter_map(|l| serde_json::from_str(l).ok());
    Ok(messages.filter_map(|m| job(&m, filter)).collect())
}

/// A job from one of cargo's messages, if it tells of a test binary.
fn job(message: &serde_json::Value, filter: Option<&str>) -> Option<Job> {
    let is_test = message["profile"]["test"].as_bool()?;
    let program = PathBuf::from(message["executable"].as_str().filter(|_| is_test)?);
    let directory = PathBuf::from(message["manifest_path"].as_str()?)
        .parent()?
        .to_owned();
    let package = package_name(message["package_id"].as_str()?, &directory);
    let target = message["target"]["name"].as_str()?;
    let is_library = message["target"]["kind"]
        .as_array()?
        .iter()
        .any(|k| k == "lib");
    let name = if is_library {
        package
    } else {
        format!("{package}::{target}")
    };
    let env = environment(&directory);
    Some(Job::new(
        name,
        program,
        filter.map(str::to_owned).into_iter().collect(),
        directory,
        env,
    ))
}

/// `path+file:///…/xtask#0.1.0` or `path+file:///…/tests#ringwall-tests@0.1.0`.
fn package_name(id: &str, directory: &std::path::Path) -> String {
    let after = id.rsplit('#').next().unwrap_or(id);
    let fallback = || {
        directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    after
        .split_once('@')
        .map_or_else(fallback, |(name, _)| name.to_owned())
}

/// What cargo would set, and what of ours sudo would drop.
fn environment(directory: &std::path::Path) -> Vec<(String, String)> {
    let own = |name: &str, value: PathBuf| (name.to_owned(), value.to_string_lossy().into_owned());
    let mut env = vec![
        own("CARGO_MANIFEST_DIR", directory.to_owned()),
        own("RINGWALL_BIN", target_dir().join("debug/ringwall")),
    ];
    let passed = |name: &str| name.starts_with("RINGWALL_") || name.starts_with("PROPTEST_");
    let kept = std::env::vars().filter(|(n, _)| passed(n) || n == "RUST_BACKTRACE" || n == "CI");
    env.extend(kept.filter(|(n, _)| n != "RINGWALL_BIN"));
    env
}

/// The examples in the documentation; rustdoc builds and runs them itself.
pub(super) fn doc_tests(packages: &[&str], filter: Option<&str>) -> Vec<Job> {
    let job = |package: &&str| {
        let args = ["test", "--quiet", "--doc", "--package", package];
        let mut args: Vec<_> = args.map(str::to_owned).into();
        args.extend(
            filter
                .iter()
                .flat_map(|f| ["--".to_owned(), (*f).to_owned()]),
        );
        let program = cargo().get_program().into();
        Job::new(
            format!("{package} (documentation)"),
            program,
            args,
            root().to_owned(),
            Vec::new(),
        )
    };
    packages.iter().map(job).collect()
}

impl Job {
    fn new(
        name: String,
        program: PathBuf,
        args: Vec<String>,
        directory: PathBuf,
        env: Vec<(String, String)>,
    ) -> Self {
        let file: String = name
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .collect();
        let log = target_dir().join("xtask/test-logs").join(file + ".log");
        Self {
            name,
            program,
            args,
            directory,
            env,
            log,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_is_found_in_cargo_s_messages() {
        let message = serde_json::json!({
            "reason": "compiler-artifact",
            "package_id": "path+file:///ws/tests#ringwall-tests@0.1.0",
            "manifest_path": "/ws/tests/Cargo.toml",
            "target": {"kind": ["test"], "name": "restart"},
            "profile": {"test": true},
            "executable": "/ws/target/debug/deps/restart-1",
        });
        let job = job(&message, Some("x")).unwrap();
        assert_eq!(job.name, "ringwall-tests::restart");
        assert_eq!(
            (job.args, job.directory),
            (vec!["x".to_owned()], "/ws/tests".into())
        );
    }

    #[test]
    fn other_messages_are_passed_over() {
        assert!(
            job(
                &serde_json::json!({"reason": "build-finished", "success": true}),
                None
            )
            .is_none()
        );
    }

    #[test]
    fn a_package_is_named_by_its_id_or_its_directory() {
        let dir = std::path::Path::new("/ws/xtask");
        assert_eq!(package_name("path+file:///ws/xtask#0.1.0", dir), "xtask");
        assert_eq!(package_name("path+file:///ws/tests#a-b@0.1.0", dir), "a-b");
    }
}
