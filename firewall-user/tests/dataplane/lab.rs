//! Two network namespaces joined by a veth pair, and a directory for pins; all gone with the value.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use firewall_common::addr::Addr;
use firewall_common::config::{LOCAL_BROADCAST, LOCAL_UNICAST};
use firewall_user::dataplane::{Dataplane, Info, Options};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::policy;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The guarded host is this thread's namespace; its peer another.
pub(crate) struct Lab {
    host: String,
    peer: String,
    directory: TempDir,
}

/// The interface to guard.
pub(crate) const INTERFACE: &str = "rw0";
pub(crate) const HERE4: &str = "192.0.2.1";
pub(crate) const PEER4: &str = "192.0.2.2";
pub(crate) const HERE6: &str = "2001:db8::1";
pub(crate) const PEER6: &str = "2001:db8::2";

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

/// Removes the namespaces of runs that were killed.
fn sweep() {
    let names = std::fs::read_dir("/run/netns").into_iter().flatten();
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in names {
        let own = name
            .strip_prefix("rwt")
            .and_then(|rest| rest.split_once('x'));
        let Some(pid) = own.and_then(|(pid, _)| pid.parse::<u32>().ok()) else {
            continue;
        };
        if !PathBuf::from(format!("/proc/{pid}")).exists() {
            // Another test may be doing the same.
            let _swept = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

impl Lab {
    /// `None`, and a word about it, without root.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIP: needs root");
            return None;
        }
        sweep();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("rwt{}x{number}", std::process::id());
        let (host, peer) = (format!("{id}h"), format!("{id}p"));
        for own in [&host, &peer] {
            ip(&format!("netns add {own}"));
            ip(&format!("-n {own} link set lo up"));
        }
        ip(&format!(
            "-n {host} link add rw0 type veth peer name rw1 netns {peer}"
        ));
        for (own, name, v4, v6) in [
            (&host, INTERFACE, HERE4, HERE6),
            (&peer, "rw1", PEER4, PEER6),
        ] {
            ip(&format!("-n {own} addr add {v4}/24 dev {name}"));
            ip(&format!("-n {own} addr add {v6}/64 dev {name} nodad"));
            ip(&format!("-n {own} link set {name} up"));
        }
        let lab = Self {
            host,
            peer,
            directory: TempDir::new().unwrap(),
        };
        enter(&lab.host);
        Some(lab)
    }

    /// The pinned tables.
    pub(crate) fn maps(&self) -> PathBuf {
        let only = |path: PathBuf| path.read_dir().unwrap().next().unwrap().unwrap().path();
        let namespace = self
            .pins()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let namespace = namespace.filter(|path| path.is_dir()).last().unwrap();
        only(namespace).join("maps")
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            bpf_dir: self.pins(),
            sessions_max: 1024,
            half_open_max: 128,
            ..Options::default()
        }
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    /// Opens a data plane that knows this host's addresses.
    pub(crate) fn open(&self) -> Dataplane {
        self.open_with(&self.options())
    }

    pub(crate) fn open_with(&self, options: &Options) -> Dataplane {
        let mut plane = Dataplane::open(options).unwrap();
        let unicast = [HERE4, HERE6].map(|text| (addr(text), LOCAL_UNICAST));
        let broadcast = (addr("192.0.2.255"), LOCAL_BROADCAST);
        let locals: Vec<_> = unicast.into_iter().chain([broadcast]).collect();
        plane.set_locals(&locals).unwrap();
        plane
    }

    /// Puts the test policy in force.
    pub(crate) fn apply(&self, plane: &mut Dataplane) {
        self.apply_with(plane, |_| {});
    }

    pub(crate) fn apply_with(
        &self,
        plane: &mut Dataplane,
        change: impl FnOnce(&mut firewall_user::policy::compiled::Compiled),
    ) {
        let mut compiled = policy::compiled();
        change(&mut compiled);
        let info = Info {
            name: "test".to_owned(),
            revision: 7,
            digest: [9; 32],
            applied: 1,
        };
        let interfaces = [(INTERFACE.to_owned(), index())];
        plane.apply(&compiled, &info, &interfaces).unwrap();
    }

    /// Deletes the interface and makes one with the same name and index.
    pub(crate) fn replace_interface(&self) {
        let (host, peer) = (&self.host, &self.peer);
        let index = index();
        ip(&format!("-n {host} link del {INTERFACE}"));
        ip(&format!(
            "-n {host} link add {INTERFACE} index {index} type veth peer name rw1 netns {peer}"
        ));
    }

    /// Makes this host a router.
    pub(crate) fn forward(&self, version: u8) {
        let path = match version {
            4 => "/proc/sys/net/ipv4/conf/all/forwarding",
            _ => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        std::fs::write(path, "1").unwrap();
    }

    /// Does something at the peer's.
    pub(crate) fn at_peer<R: Send>(&self, what: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let work = scope.spawn(|| {
                enter(&self.peer);
                what()
            });
            work.join().unwrap()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.pins()).status();
        for own in [&self.host, &self.peer] {
            let _ = Command::new("ip").args(["netns", "del", own]).status();
        }
    }
}

fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(LinkNameSpaceType::Network),
    )
    .unwrap();
}

/// The guarded interface's index, in this thread's namespace.
pub(crate) fn index() -> u32 {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    rustix::net::netdevice::name_to_index(&socket, INTERFACE).unwrap()
}

pub(crate) fn addr(text: &str) -> Addr {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(v4) => Addr::v4(u32::from(v4)),
        std::net::IpAddr::V6(v6) => Addr::from_bytes(v6.octets()),
    }
}
