//! Leaving nothing behind, also when killed.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, OnceLock};

use super::cgroup;
use rustix::mount::{UnmountFlags, unmount};

/// Where `ip netns` keeps its handles.
pub(super) const NETNS_DIR: &str = "/run/netns";
/// Where agents under test keep their files.
pub(super) const RUN_DIR: &str = "/run/ringwall-tests";

/// Waits for our death (the end of its input) and removes what was named to it and still exists.
const JANITOR: &str = r#"
while read -r kind what; do
  case $kind in ns) spaces="$spaces $what";; dir) dirs="$dirs $what";; esac
done
for n in $spaces; do
  [ -e "/run/netns/$n" ] || continue
  for p in $(ip netns pids "$n"); do kill -9 "$p"; done
  ip netns del "$n"
done
for d in $dirs; do
  [ -e "$d" ] || continue
  while umount -l "$d/bpf"; do :; done
  rm -rf "$d"
done
"#;

/// A name no living process uses: `rw-PID-N-PREFIX`. Clears what dead processes left, once.
pub(super) fn unique(prefix: &str) -> String {
    static SWEPT: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    SWEPT.call_once(sweep_dead);
    format!(
        "rw-{}-{}-{prefix}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Tells the janitor to remove a namespace (`ns NAME`) or a directory (`dir PATH`) after our death.
pub(super) fn on_death(kind: &str, what: &str) {
    static JANITOR_INPUT: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = JANITOR_INPUT.get_or_init(|| Mutex::new(start_janitor()));
    let mut input = input
        .lock()
        .expect("nothing panics while it writes to the janitor");
    // Without a janitor there is still the sweep at the next start.
    let _ = writeln!(input, "{kind} {what}");
}

#[expect(
    clippy::zombie_processes,
    reason = "it outlives us, and init waits for it"
)]
fn start_janitor() -> ChildStdin {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new("sh");
    command
        .args(["-c", JANITOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // A group of its own, so that Ctrl-C on the terminal does not reach it.
    let mut child = command.process_group(0).spawn().expect("sh can be started");
    child.stdin.take().expect("its input is a pipe")
}

/// Removes what processes that are no longer there left behind.
pub fn sweep_dead() {
    sweep(|pid| !Path::new(&format!("/proc/{pid}")).exists());
}

/// Removes everything this process made: for a signal handler's last act.
pub fn sweep_own() {
    sweep(|pid| pid == std::process::id());
}

fn sweep(which: impl Fn(u32) -> bool) {
    for name in names(NETNS_DIR).filter(|n| owner(n).is_some_and(&which)) {
        kill_inside(&name);
        remove_netns(&name);
    }
    for name in names(RUN_DIR).filter(|n| owner(n).is_some_and(&which)) {
        remove_dir(&Path::new(RUN_DIR).join(name));
    }
    for groups in cgroup::tops() {
        for name in names(&groups.to_string_lossy()).filter(|n| owner(n).is_some_and(&which)) {
            cgroup::remove_cgroup(&groups.join(name));
        }
    }
}

fn names(dir: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok())
}

/// The pid in `rw-PID-N-PREFIX`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("rw-")?.split('-').next()?.parse().ok()
}

fn kill_inside(name: &str) {
    let Ok(space) = std::fs::metadata(Path::new(NETNS_DIR).join(name)) else {
        return;
    };
    for pid in names("/proc").filter_map(|n| n.parse::<i32>().ok()) {
        let same = |m: std::fs::Metadata| (m.dev(), m.ino()) == (space.dev(), space.ino());
        let inside = std::fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(same);
        if let (true, Some(pid)) = (inside, rustix::process::Pid::from_raw(pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

pub(super) fn remove_netns(name: &str) {
    let path = Path::new(NETNS_DIR).join(name);
    let _ = unmount(&path, UnmountFlags::DETACH);
    let _ = std::fs::remove_file(path);
}

/// Unmounts every bpffs under a run directory, then removes it.
pub(super) fn remove_dir(dir: &Path) {
    while unmount(dir.join("bpf"), UnmountFlags::DETACH).is_ok() {}
    let _ = std::fs::remove_dir_all(dir);
    // The last one out removes the common parent; it is not empty while others live.
    let _ = std::fs::remove_dir(RUN_DIR);
}

/// Removes the lock that a killed agent left: it is by network namespace, and that goes, too.
pub fn remove_locks(pid: u32) {
    let pid = pid.to_string();
    let locks = names("/run/ringwall").filter(|n| n.starts_with("netns-"));
    for path in locks.map(|n| Path::new("/run/ringwall").join(n)) {
        if std::fs::read_to_string(&path).is_ok_and(|text| text.lines().next() == Some(&pid)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("rw-123-4-host"), Some(123));
        assert_eq!(owner("rw-x-4-host"), None);
        assert_eq!(owner("blue"), None);
    }
}
