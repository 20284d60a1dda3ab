//! A network namespace with a name of its own.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::clean;
use super::process::{self, Command, Ran};

/// Written in each new namespace, before any device is there to inherit: no waiting for duplicate
/// address detection, no routes from advertisements, no forwarding, no second opinion on sources.
const SETTINGS: [(&str, &str); 9] = [
    ("ipv4/ip_forward", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
];

/// A network namespace `rw-PID-N-PREFIX`, visible to `ip netns`, gone when the last clone is dropped.
#[derive(Clone)]
pub struct Netns(Arc<Inner>);

struct Inner {
    name: String,
    fd: OwnedFd,
}

impl Netns {
    /// Makes a namespace with loopback up.
    pub fn new(prefix: &str) -> Result<Self> {
        let name = clean::unique(prefix);
        clean::on_death("ns", &name);
        process::ip_batch(None, &format!("netns add {name}\n"))?;
        let fd = std::fs::File::open(path(&name))
            .context("the namespace just made")?
            .into();
        let ns = Self(Arc::new(Inner { name, fd }));
        ns.run(settings)?;
        process::ip_batch(Some(&ns), "link set lo up\n")?;
        Ok(ns)
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its handle under `/run/netns`.
    pub fn path(&self) -> PathBuf {
        path(&self.0.name)
    }

    /// Runs `work` on a thread inside the namespace. Sockets made there stay there; processes are
    /// better started by [`Netns::command`], for a child dies with the thread that started it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter().expect("the namespace can be entered");
            work()
        };
        // The caller's name goes along: a skip reported inside is the caller's skip.
        let name = std::thread::current().name().unwrap_or("netns").to_owned();
        std::thread::scope(|s| {
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(s, inside);
            match thread.expect("a thread can be started").join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into the namespace for good.
    pub fn enter(&self) -> std::io::Result<()> {
        Ok(move_into_link_name_space(
            self.0.fd.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?)
    }

    /// A command that will run inside, as by `nsenter --net=…`: mounts (bpffs) stay as they are.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        Command::inside(self, program)
    }

    /// Runs a command inside and waits for it.
    pub fn exec(&self, program: &str, args: &[&str]) -> Result<Ran> {
        self.command(program).args(args).run()
    }

    /// Runs lines of `ip -batch` inside.
    pub fn ip(&self, lines: &str) -> Result<()> {
        process::ip_batch(Some(self), lines)
    }

    /// The kernel's number for one of its interfaces.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: the pointer is to a terminated string that outlives the call.
        let index = self.run(move || unsafe { libc::if_nametoindex(name.as_ptr()) });
        anyhow::ensure!(index != 0, "no interface {interface} in {}", self.name());
        Ok(index)
    }

    /// Writes below `/proc/sys/net` of this namespace: `sysctl("ipv4/tcp_syncookies", "2")`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| set(key, value))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        clean::remove_netns(&self.name);
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(clean::NETNS_DIR).join(name)
}

fn settings() -> Result<()> {
    SETTINGS.iter().try_for_each(|(key, value)| set(key, value))
}

fn set(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{key}");
    std::fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_namespaces_come_fast_and_go() {
        crate::need_root!();
        let begin = std::time::Instant::now();
        let all: Vec<_> = (0..3).map(|_| Netns::new("t").unwrap()).collect();
        println!("three namespaces in {:?}", begin.elapsed());
        let paths: Vec<_> = all.iter().map(Netns::path).collect();
        assert!(paths.iter().all(|p| p.exists()));
        drop(all);
        assert!(paths.iter().all(|p| !p.exists()));
    }

    #[test]
    fn a_thread_and_a_command_are_inside() {
        crate::need_root!();
        let ns = Netns::new("t").unwrap();
        let link = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let inside = ns.run(link);
        assert_ne!(inside, link());
        let out = ns.exec("readlink", &["/proc/self/ns/net"]).unwrap();
        assert_eq!(out.out.trim(), inside.to_str().unwrap());
    }
}
