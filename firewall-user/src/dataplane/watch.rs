//! The kernel's own word on handshakes that it drops beyond our hooks. A program that watches, for as long as
//! somebody holds it; what it tells is evidence and decides nothing. Where a kernel does not allow it, there is less
//! evidence.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use aya::maps::{Map, MapData, RingBuf};
use aya::programs::{Program, RawTracePoint};
use aya::{Ebpf, EbpfLoader};
use firewall_common::user::read;
use firewall_common::watch::{KernelDrop, Offsets};

use super::error::{Error, Result};
use super::kernel_types::Types;
use super::load::OBJECT;
use super::maps::make_slots;
use super::pin::{Paths, shapes};
use super::{Dataplane, Options, bpffs};

const PROGRAM: &str = "ringwall_kernel_drop";
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// How to begin to watch. To read the kernel's types takes a moment, so it is done by a thread of its own.
#[derive(Debug, Clone)]
pub struct WatchPlan {
    pub(super) options: Options,
    pub(super) paths: Paths,
}

/// What the kernel drops of handshakes, and why.
pub struct Watch {
    ring: RingBuf<MapData>,
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
            ..offsets(&types).ok_or_else(unreadable)?
        };
        let mut object = self.load(offsets)?;
        let ring = match object.take_map("KERNEL_DROPS") {
            Some(Map::RingBuf(map)) => map,
            _ => return Err(missing("the ring is not in the object")),
        };
        Ok(Watch {
            ring: RingBuf::try_from(Map::RingBuf(ring))
                .map_err(|error| Error::Table("KERNEL_DROPS", io::Error::other(error)))?,
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
        let refused = |error| Error::Program(PROGRAM, Box::new(error));
        let program: &mut RawTracePoint = match object.program_mut(PROGRAM) {
            Some(Program::RawTracePoint(program)) => program,
            _ => return Err(Error::NoProgram(PROGRAM)),
        };
        program.load().map_err(refused)?;
        let _lives_as_long_as_the_object = program.attach("kfree_skb").map_err(refused)?;
        Ok(object)
    }
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
        ..Offsets::default()
    })
}

impl Watch {
    /// What has come since the last time, with the names of the kernel's reasons.
    pub fn drain(&mut self) -> Vec<(KernelDrop, String)> {
        let mut all = Vec::new();
        while let Some(bytes) = self.ring.next() {
            if let Some(drop) = read::<KernelDrop>(&bytes) {
                let name = self.reasons.get(&drop.reason).cloned();
                all.push((drop, name.unwrap_or_else(|| format!("{:#x}", drop.reason))));
            }
        }
        all
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
