//! Files: who may write what the agent reads, and room for what it writes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{AS_ROOT, Finding, Look};
use crate::api::peer::{GROUP, reading_group};

/// Below that the history cannot be relied on.
const ROOM: u64 = 64 << 20;

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let mut all = vec![settings(look)];
    all.extend(owners(look));
    all.push(disk(&look.paths.state));
    all.push(group());
    all
}

fn settings(look: &Look) -> Finding {
    let path = look.paths.config.display();
    match &look.config {
        Ok(_) if look.paths.config.exists() => Finding::ok("settings", format!("{path} is right")),
        Ok(_) => Finding::ok(
            "settings",
            format!("{path} is not there, or not to be seen: every key has a default"),
        ),
        Err(refusal) if look.root => Finding::fail(
            "settings",
            format!("{path} is refused: {refusal}"),
            "the agent does not start with it; correct it",
        ),
        Err(refusal) => Finding::skipped("settings", refusal.clone(), AS_ROOT),
    }
}

fn owners(look: &Look) -> Vec<Finding> {
    let watched = look
        .config
        .as_ref()
        .ok()
        .and_then(|c| c.policy.path.clone());
    let policy = watched.unwrap_or_else(|| look.paths.default_policy());
    let directory = look.paths.config.parent().map(Path::to_owned);
    let paths =
        directory
            .into_iter()
            .chain([look.paths.config.clone(), policy, look.paths.state.clone()]);
    let bad: Vec<Finding> = paths.filter_map(|path| writable(&path)).collect();
    if bad.is_empty() {
        return vec![Finding::ok(
            "files",
            "what the agent reads belongs to root, and nobody else may write it",
        )];
    }
    bad
}

fn writable(path: &Path) -> Option<Finding> {
    let meta = fs::metadata(path).ok()?;
    let shown = path.display();
    if meta.uid() != 0 {
        let found = format!("{shown} belongs to user {}", meta.uid());
        return Some(Finding::fail(
            "files",
            found,
            format!("chown root: {shown}"),
        ));
    }
    // A sticky directory is as good as its files, which are looked at themselves.
    let open = meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0;
    open.then(|| {
        let found = format!(
            "{shown} may be written by others than root (mode {:04o})",
            meta.mode() & 0o7777
        );
        Finding::fail("files", found, format!("chmod go-w {shown}"))
    })
}

fn disk(state: &Path) -> Finding {
    let there = state.ancestors().find(|path| path.exists());
    let Some(Ok(room)) = there.map(rustix::fs::statvfs) else {
        return Finding::skipped(
            "disk",
            format!("{} cannot be looked at", state.display()),
            AS_ROOT,
        );
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let found = format!("{} MiB free for {}", free >> 20, state.display());
    if free < ROOM || room.f_files > 0 && room.f_favail == 0 {
        let advice = "make room: what is in force goes on, but applies cannot be recorded";
        return Finding::fail("disk", found, advice);
    }
    Finding::ok("disk", found)
}

fn group() -> Finding {
    match reading_group() {
        Some(id) => Finding::ok("group", format!("members of `{GROUP}` ({id}) may read")),
        None => Finding::warn(
            "group",
            format!("there is no group `{GROUP}`, so only root may ask the agent"),
            format!("groupadd --system {GROUP}, then restart the agent"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::State;
    use super::*;

    #[test]
    fn what_others_may_write_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.yaml");
        fs::write(&file, "").unwrap();
        let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(writable(&file).unwrap().found.contains("belongs to user"));
            return;
        }
        set(0o644);
        assert_eq!(writable(&file), None);
        set(0o664);
        let found = writable(&file).unwrap();
        assert!(
            found.state == State::Fail && found.found.contains("0664"),
            "{found:?}"
        );
        assert_eq!(writable(&dir.path().join("none")), None);
    }
}
