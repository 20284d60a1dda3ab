//! The kernel's own word on handshakes that it drops beyond our hooks. A program that watches, for as long as
//! somebody holds it; what it tells is evidence and decides nothing. Where a kernel does not allow it, there is less
//! evidence.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use aya::maps::{MapData, RingBuf};
use aya::programs::{CgroupAttachMode, CgroupSockAddr, Program, RawTracePoint};
use aya::{Ebpf, EbpfLoader};
use firewall_common::user::read;
use firewall_common::watch::{KernelDrop, Offsets, SocketCall};

use super::error::{Error, Result};
use super::groups;
use super::kernel_types::Types;
use super::load::OBJECT;
use super::maps::make_slots;
use super::pin::{Paths, shapes};
use super::{Dataplane, Options, bpffs, raw};

/// The program that tells of drops, and the tracepoint that it is at.
const DROPS: (&str, &str) = ("ringwall_kernel_drop", "kfree_skb");
/// The same of what processes do with sockets.
const CALLS: (&str, &str) = ("ringwall_socket_state", "inet_sock_set_state");
/// Those at the root of the control groups, which see a process call before there is a way.
const TRIES: [&str; 2] = ["ringwall_connect4", "ringwall_connect6"];
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// What this kernel has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Senses {
    /// It tells what it drops, and why.
    pub drops: bool,
    /// It tells whose sockets connect and listen.
    pub owners: bool,
    /// Calls are seen that find no route.
    pub tries: bool,
}

/// Looks whether this kernel has what is needed, without beginning to watch.
#[must_use]
pub fn senses() -> Senses {
    let bytes = std::fs::read(TYPES).unwrap_or_default();
    let types = Types::read(&bytes);
    let has = |name: &str| types.as_ref().is_some_and(|types| types.has(name));
    let known = types.as_ref().is_some_and(|types| offsets(types).is_some());
    Senses {
        drops: known && has("btf_trace_kfree_skb") && has("skb_drop_reason"),
        owners: known && has("btf_trace_inet_sock_set_state"),
        tries: groups::root().is_ok(),
    }
}

/// How to begin to watch. To read the kernel's types takes a moment, so it is done by a thread of its own.
#[derive(Debug, Clone)]
pub struct WatchPlan {
    pub(super) options: Options,
    pub(super) paths: Paths,
}

/// What the kernel drops of handshakes, and why.
pub struct Watch {
    drops: RingBuf<MapData>,
    calls: RingBuf<MapData>,
    reasons: BTreeMap<u32, String>,
    /// Its program is attached for as long as this lives.
    _object: Ebpf,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Dataplane {
    /// How to watch what the kernel drops of handshakes.
    #[must_use]
    pub fn watch(&self) -> WatchPlan {
        WatchPlan {
            options: self.options.clone(),
            paths: self.paths.clone(),
        }
    }
}

impl WatchPlan {
    /// Begins to watch this thread's network namespace.
    ///
    /// # Errors
    /// Why it cannot be: no type information, no right to trace, a kernel without reasons.
    pub fn start(&self) -> Result<Watch> {
        let path = PathBuf::from(TYPES);
        let bytes = std::fs::read(&path).map_err(|error| Error::Directory(path, error))?;
        let unreadable = || missing("the kernel's type information is not as expected");
        let types = Types::read(&bytes).ok_or_else(unreadable)?;
        let reasons = types.names("skb_drop_reason", "SKB_DROP_REASON_");
        let number = |name: &str| {
            let found = reasons.iter().find(|(_, known)| *known == name);
            // Where a kernel does not tell these apart, none is dropped by a hook.
            found.map_or(u32::MAX, |(number, _)| *number)
        };
        let offsets = Offsets {
            hooks: [number("TC_INGRESS"), number("TC_EGRESS")],
            namespace: bpffs::namespace()? as u32,
            cookie: raw::namespace_cookie().unwrap_or(u64::MAX),
            ..offsets(&types).ok_or_else(unreadable)?
        };
        let mut object = self.load(offsets)?;
        Ok(Watch {
            drops: ring(&mut object, "KERNEL_DROPS")?,
            calls: ring(&mut object, "SOCKET_CALLS")?,
            reasons,
            _object: object,
        })
    }

    fn load(&self, offsets: Offsets) -> Result<Ebpf> {
        let mut loader = EbpfLoader::new();
        for shape in shapes(&self.options) {
            loader.map_max_entries(shape.name, shape.places);
            loader.map_pin_path(shape.name, shape.pin(&self.paths.maps));
        }
        make_slots(&self.paths)?;
        loader.override_global("WATCH", &offsets, true);
        let mut object = loader.load(OBJECT)?;
        attach(&mut object, DROPS)?;
        // Owners are good to know, and what is dropped is good to know without them.
        if let Err(error) = attach(&mut object, CALLS) {
            tracing::info!("the kernel does not tell who calls, so owners are not known: {error}");
        }
        if let Err(error) = attach_to_groups(&mut object) {
            tracing::info!("calls that find no route are not seen: {error}");
        }
        Ok(object)
    }
}

fn attach_to_groups(object: &mut Ebpf) -> Result<()> {
    let failed = |error| Error::Directory(PathBuf::from("cgroup2"), error);
    let root = groups::root().map_err(failed)?;
    for name in TRIES {
        let refused = |error| Error::Program(name, Box::new(error));
        let program: &mut CgroupSockAddr = match object.program_mut(name) {
            Some(Program::CgroupSockAddr(program)) => program,
            _ => return Err(Error::NoProgram(name)),
        };
        program.load().map_err(refused)?;
        // Links of programs at control groups stand beside each other, whatever this word says.
        let mode = CgroupAttachMode::Single;
        let _lives_as_long_as_the_object = program.attach(&root, mode).map_err(refused)?;
    }
    Ok(())
}

fn attach(object: &mut Ebpf, (name, place): (&'static str, &str)) -> Result<()> {
    let refused = |error| Error::Program(name, Box::new(error));
    let program: &mut RawTracePoint = match object.program_mut(name) {
        Some(Program::RawTracePoint(program)) => program,
        _ => return Err(Error::NoProgram(name)),
    };
    program.load().map_err(refused)?;
    let _lives_as_long_as_the_object = program.attach(place).map_err(refused)?;
    Ok(())
}

fn ring(object: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>> {
    let map = object.take_map(name);
    let map = map.ok_or_else(|| missing("the ring is not in the object"))?;
    RingBuf::try_from(map).map_err(|error| Error::Table(name, io::Error::other(error)))
}

fn missing(why: &'static str) -> Error {
    Error::Table("KERNEL_DROPS", io::Error::other(why))
}

fn offsets(types: &Types<'_>) -> Option<Offsets> {
    Some(Offsets {
        skb_head: types.offset("sk_buff", "head")?,
        skb_network_header: types.offset("sk_buff", "network_header")?,
        skb_dev: types.offset("sk_buff", "dev")?,
        skb_sk: types.offset("sk_buff", "sk")?,
        dev_index: types.offset("net_device", "ifindex")?,
        dev_net: types.offset("net_device", "nd_net.net")?,
        sock_net: types.offset("sock_common", "skc_net.net")?,
        net_number: types.offset("net", "ns.inum")?,
        sock_protocol: types.offset("sock", "sk_protocol")?,
        sock_family: types.offset("sock_common", "skc_family")?,
        sock_port: types.offset("inet_sock", "inet_sport")?,
        sock_far_port: types.offset("sock_common", "skc_dport")?,
        sock_address: [
            types.offset("sock_common", "skc_rcv_saddr")?,
            types.offset("sock_common", "skc_v6_rcv_saddr")?,
        ],
        sock_far: [
            types.offset("sock_common", "skc_daddr")?,
            types.offset("sock_common", "skc_v6_daddr")?,
        ],
        sock_only_v6: types.bit("sock_common", "skc_ipv6only")?,
        ..Offsets::default()
    })
}

impl Watch {
    /// What the kernel has dropped since the last time, with the names of its reasons.
    pub fn drops(&mut self) -> Vec<(KernelDrop, String)> {
        let mut all = Vec::new();
        while let Some(bytes) = self.drops.next() {
            if let Some(drop) = read::<KernelDrop>(&bytes) {
                let name = self.reasons.get(&drop.reason).cloned();
                all.push((drop, name.unwrap_or_else(|| format!("{:#x}", drop.reason))));
            }
        }
        all
    }

    /// What processes have done with sockets since the last time.
    pub fn calls(&mut self) -> Vec<SocketCall> {
        let mut all = Vec::new();
        while let Some(bytes) = self.calls.next() {
            all.extend(read::<SocketCall>(&bytes));
        }
        all
    }
}
