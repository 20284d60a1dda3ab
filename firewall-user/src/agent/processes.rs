//! Processes as `/proc` shows them. One that ends meanwhile, or that may not be looked into, holds nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::net;
use crate::events::record::Process;

/// The systemd unit of a process, by its control group: the last part of the path that is a service, a scope or the like.
#[must_use]
pub fn unit(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    unit_of(&text)
}

fn unit_of(text: &str) -> Option<String> {
    let paths = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        // The one hierarchy of version 2, or systemd's own of version 1.
        ["", "name=systemd"].contains(&controllers).then_some(path)
    });
    paths.filter_map(unit_in).next()
}

/// The unit of a control group, by its path.
#[must_use]
pub fn unit_in(path: &str) -> Option<String> {
    const KINDS: [&str; 4] = [".service", ".scope", ".socket", ".mount"];
    let is_unit = |part: &&str| KINDS.iter().any(|kind| part.ends_with(kind));
    path.rsplit('/').find(is_unit).map(str::to_owned)
}

/// When a process began, in nanoseconds since boot (proc_pid_stat(5), field 22), by its directory.
#[must_use]
pub fn began(path: &Path) -> Option<u64> {
    const START: usize = 22;
    // What proc(5) counts by, on all that this runs on.
    const TICKS: u64 = 100;
    let text = std::fs::read_to_string(path.join("stat")).ok()?;
    // A name may hold anything, blanks and brackets too; the third field is behind the last one.
    let (_, rest) = text.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(START - 3)?.parse().ok()?;
    ticks.checked_mul(1_000_000_000 / TICKS)
}

/// A process by its directory.
fn process(pid: u32, path: &Path) -> Option<Process> {
    let comm = std::fs::read(path.join("comm")).ok()?;
    Some(Process {
        pid,
        comm: Process::name(comm.trim_ascii_end()),
        unit: unit(pid),
        uid: std::fs::metadata(path).ok()?.uid(),
    })
}

/// Who holds sockets, by their inodes. Of several that hold one the first process of a unit is named; where they are of
/// different units (a service manager hands sockets on) the manager does not count, and of others nobody is.
#[must_use]
pub fn holders() -> HashMap<u32, Process> {
    let mut all: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let inodes = sockets(&path);
        let Some(found) = process(pid, &path).filter(|_| !inodes.is_empty()) else {
            continue;
        };
        for inode in inodes {
            all.entry(inode).or_default().push(found.clone());
        }
    }
    all.into_iter()
        .filter_map(|(inode, held)| Some((inode, one(held)?)))
        .collect()
}

fn one(mut held: Vec<Process>) -> Option<Process> {
    if held.len() > 1 {
        held.retain(|process| process.pid != 1);
    }
    held.sort_by_key(|process| process.pid);
    let same = held
        .windows(2)
        .all(|pair| pair[0].unit == pair[1].unit && pair[0].comm == pair[1].comm);
    held.into_iter().next().filter(|_| same)
}

/// Inodes of the sockets that a process holds.
fn sockets(path: &Path) -> Vec<u32> {
    let files = std::fs::read_dir(path.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let inode = |file: std::fs::DirEntry| {
        let link = std::fs::read_link(file.path()).ok()?;
        let text = link.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']')?.parse().ok()
    };
    files.filter_map(inode).collect()
}

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listens {
    /// Where.
    pub address: IpAddr,
    /// Where.
    pub port: u16,
    /// Its socket takes no IPv4.
    pub only_v6: bool,
    /// Who.
    pub process: Process,
}

/// Who listens for TCP now.
#[must_use]
pub fn listening() -> Vec<Listens> {
    let holders = holders();
    let all = net::listening().unwrap_or_default().into_iter();
    all.filter_map(|(listener, inode)| {
        Some(Listens {
            address: listener.address,
            port: listener.port,
            only_v6: listener.only_v6,
            process: holders.get(&inode)?.clone(),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_the_last_part_that_is_one() {
        let unit = |text: &str| unit_of(text);
        assert_eq!(
            unit("0::/system.slice/nginx.service\n").as_deref(),
            Some("nginx.service")
        );
        assert_eq!(
            unit("1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/\n").as_deref(),
            Some("session-3.scope")
        );
        assert_eq!(unit("5:cpu:/a.service\n0::/\n"), None);
        assert_eq!(
            unit("0::/system.slice/docker.service/inner\n").as_deref(),
            Some("docker.service")
        );
        assert_eq!(unit(""), None);
    }

    #[test]
    fn of_several_holders_one_is_named_only_if_they_are_of_a_kind() {
        let of = |pid, comm: &str, unit: &str| Process {
            pid,
            comm: comm.to_owned(),
            unit: Some(unit.to_owned()),
            uid: 0,
        };
        let web = |pid| of(pid, "nginx", "nginx.service");
        let pid = |held| one(held).map(|process| process.pid);
        assert_eq!(pid(vec![web(9), web(8)]), Some(8));
        assert_eq!(pid(vec![of(1, "systemd", "init.scope"), web(9)]), Some(9));
        assert_eq!(pid(vec![of(7, "other", "other.service"), web(9)]), None);
        assert_eq!(pid(vec![of(1, "systemd", "init.scope")]), Some(1));
    }

    #[test]
    fn this_process_holds_its_own_listener() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let found = listening()
            .into_iter()
            .find(|listens| listens.port == at.port());
        assert_eq!(found.unwrap().process.pid, std::process::id());
    }
}
