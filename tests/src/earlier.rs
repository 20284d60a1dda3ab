//! A host as an agent of layout 1 leaves it: its programs on the interfaces, its tables filled, its state on
//! disk. From [the fixture](../fixtures/layout-1/README.md), so that upgrades can be tried without the old program.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::EbpfLoader;
use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{SchedClassifier, TcAttachType};

use crate::bpf::{create, open, pin, update};
use crate::net::{Host, Netns};

/// Tables that an agent of layout 1 pinned, the tables of tables first.
const TABLES: [&str; 22] = [
    "VECTORS",
    "ADDRESSES",
    "SERVICES",
    "ACTIVE",
    "GENERATIONS",
    "SETTINGS",
    "RULES",
    "INTERFACES",
    "GUARDED",
    "LOCALS",
    "FAILSAFE_ADDRESSES",
    "FAILSAFE_SERVICES",
    "SESSIONS",
    "HALF_OPEN",
    "FRAGMENTS",
    "PACKETS",
    "RULE_COUNTS",
    "ANSWER_LIMIT",
    "ANSWERS",
    "RULE_NAMES",
    "ZONE_NAMES",
    "POLICY_INFO",
];
const PROGRAMS: [&str; 4] = [
    "ringwall_ingress",
    "ringwall_egress",
    "ringwall_explain_ingress",
    "ringwall_explain_egress",
];
/// The revision that the fixture's history and tables hold.
pub const REVISION: u64 = 7;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout-1")
}

/// The pins of layout 1 in a namespace.
pub fn pins(host: &Host) -> Result<PathBuf> {
    let file = std::fs::metadata(host.ns.path())?;
    let namespace = std::os::unix::fs::MetadataExt::ino(&file).to_string();
    Ok(host.dir.bpf().join(namespace).join("1"))
}

/// Puts programs, tables and state of layout 1 in force on a host whose agent was never started.
pub fn put_in_force(host: &Host, interfaces: &[&str]) -> Result<()> {
    copy(&fixture().join("state"), &host.dir.state())?;
    host.dir.mount_bpffs()?;
    let pins = pins(host)?;
    for part in ["maps", "programs", "links"] {
        std::fs::create_dir_all(pins.join(part))?;
    }
    let numbers = interfaces
        .iter()
        .map(|name| Ok((*name, host.ns.ifindex(name)?)));
    let numbers: BTreeMap<&str, u32> = numbers.collect::<Result<_>>()?;
    host.ns.run(|| enforce(&pins, &numbers))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (from, to) = (entry.as_ref().map(|e| e.path()), to);
        let (from, entry) = (from.map_err(|_| anyhow::anyhow!("unreadable"))?, entry?);
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn enforce(pins: &Path, interfaces: &BTreeMap<&str, u32>) -> Result<()> {
    let maps = pins.join("maps");
    make_outer(&maps)?;
    let object = std::fs::read(fixture().join("ringwall.o"))?;
    let mut loader = EbpfLoader::new();
    for name in TABLES {
        loader.map_pin_path(name, maps.join(name));
    }
    let mut object = loader.load(&object)?;
    fill(&maps, interfaces)?;
    for name in PROGRAMS {
        let program: &mut SchedClassifier = object.program_mut(name).context(name)?.try_into()?;
        program.load()?;
        program.pin(pins.join("programs").join(name))?;
    }
    for (interface, index) in interfaces {
        for (name, way, word) in [
            (PROGRAMS[1], TcAttachType::Egress, "egress"),
            (PROGRAMS[0], TcAttachType::Ingress, "ingress"),
        ] {
            let program: &mut SchedClassifier =
                object.program_mut(name).context(name)?.try_into()?;
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program.attach_with_options(interface, way, first)?;
            let link = FdLink::try_from(program.take_link(id)?)?;
            link.pin(pins.join("links").join(format!("{index}-{word}")))?;
        }
        let guarded = open(&maps.join("GUARDED"))?;
        update(&guarded, &index.to_ne_bytes(), &1_u32.to_ne_bytes())?;
    }
    Ok(())
}

/// Kind, bytes of a key and of a value, and flags of the tables inside a slot.
const INNER: [(&str, [u32; 4]); 3] = [
    ("VECTORS", [2, 4, 128, 0x1000]),
    ("ADDRESSES", [11, 20, 24, 1]),
    ("SERVICES", [11, 8, 4, 1]),
];
const ARRAY_OF_MAPS: u32 = 12;
const SLOTS: u32 = 5;

fn make_outer(maps: &Path) -> Result<()> {
    for (name, [kind, key, value, flags]) in INNER {
        let inner = create([kind, key, value, 1, flags, 0])?;
        let number = inner.as_raw_fd().unsigned_abs();
        let outer = create([ARRAY_OF_MAPS, 4, 4, SLOTS, 0, number])?;
        pin(&outer, &maps.join(name))?;
    }
    Ok(())
}

/// Writes the tables of the fixture.
fn fill(maps: &Path, interfaces: &BTreeMap<&str, u32>) -> Result<()> {
    let text = std::fs::read_to_string(fixture().join("tables.txt"))?;
    let mut inner: BTreeMap<String, OwnedFd> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [table, key, value] = words[..] else {
            bail!("not three words: {line}");
        };
        let Some(key) = bytes_of(key, interfaces) else {
            continue;
        };
        let value = bytes(value);
        if let Some((name, slot)) = table.split_once('/') {
            if !inner.contains_key(table) {
                inner.insert(table.to_owned(), slot_of(maps, name, slot.parse()?)?);
            }
            update(&inner[table], &key, &value)?;
        } else {
            update(&open(&maps.join(table))?, &key, &value)?;
        }
    }
    Ok(())
}

/// A new table in a slot of a table of tables.
fn slot_of(maps: &Path, name: &str, slot: u32) -> Result<OwnedFd> {
    let found = INNER
        .iter()
        .find(|(n, _)| *n == name)
        .context("which table")?;
    let [kind, key, value, flags] = found.1;
    let inner = create([kind, key, value, 256, flags, 0])?;
    let number = inner.as_raw_fd().to_ne_bytes();
    update(&open(&maps.join(name))?, &slot.to_ne_bytes(), &number)?;
    Ok(inner)
}

/// A key; `None` for an interface that is not there.
fn bytes_of(key: &str, interfaces: &BTreeMap<&str, u32>) -> Option<Vec<u8>> {
    let Some((slot, interface)) = key.split_once('/') else {
        return Some(bytes(key));
    };
    let index = interfaces.get(interface)?;
    Some([bytes(slot), index.to_ne_bytes().to_vec()].concat())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|two| std::str::from_utf8(two).unwrap_or("00"));
    digits
        .map(|two| u8::from_str_radix(two, 16).unwrap_or(0))
        .collect()
}

/// Interfaces with a TCX program of ours, by how many in each direction: what `ip` and `bpftool` would show.
pub fn programs_on(ns: &Netns, interface: &str) -> Result<[usize; 2]> {
    ns.run(|| {
        let count = |way| {
            let found = SchedClassifier::query_tcx(interface, way);
            found.map(|(_, programs)| programs.len())
        };
        Ok([count(TcAttachType::Ingress)?, count(TcAttachType::Egress)?])
    })
}
