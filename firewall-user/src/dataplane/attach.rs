//! The programs on interfaces, kept there by pinned links (TCX) or by the qdisc (clsact, before 6.6).
//!
//! Egress comes first when an interface is taken under guard: what the host opens from then on has a
//! session by the time ingress begins to ask for one.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{
    self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcHandle,
};
use aya::programs::{Link as _, ProgramError, SchedClassifier, TcAttachType};
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::{AddressFamily, SocketType, socket};

use super::error::{Error, Result};
use super::maps::Maps;
use super::pin::Paths;
use super::raw;

/// Where programs sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// TCX: links of their own, in front of all other programs.
    Tcx,
    /// The clsact qdisc.
    Clsact,
}

impl Place {
    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// A guarded interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name now.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Where the programs sit.
    pub hook: Place,
}

/// The programs of an interface.
#[derive(Debug)]
pub(super) struct Pair<'p> {
    pub ingress: &'p mut SchedClassifier,
    pub egress: &'p mut SchedClassifier,
}

/// Our filter in a clsact qdisc: the first, and always the same, so that it is found again.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Guards an interface in both directions, or gives its hooks the programs of this load.
pub(super) fn attach(
    mut pair: Pair<'_>,
    maps: &Maps,
    paths: &Paths,
    place: Place,
    interface: &str,
) -> Result<Attached> {
    let failed = |what| {
        move |source: Failure| Error::Attach {
            interface: interface.to_owned(),
            what,
            source,
        }
    };
    let index = index_of(interface).map_err(|error| failed("no such interface")(error.into()))?;
    if place == Place::Clsact {
        add_clsact(interface).map_err(failed("adding the clsact qdisc"))?;
    }
    for direction in [TcAttachType::Egress, TcAttachType::Ingress] {
        let program = of(&mut pair, direction);
        match place {
            Place::Tcx => attach_tcx(
                program,
                direction,
                interface,
                &link(paths, index, direction),
            ),
            Place::Clsact => attach_clsact(program, direction, interface),
        }
        .map_err(failed("attaching"))?;
    }
    maps.guarded.set(&index, &1)?;
    Ok(Attached {
        interface: interface.to_owned(),
        index,
        hook: place,
    })
}

fn of<'p>(pair: &'p mut Pair<'_>, direction: TcAttachType) -> &'p mut SchedClassifier {
    match direction {
        TcAttachType::Egress => pair.egress,
        _ => pair.ingress,
    }
}

/// Do a device's frames begin with an Ethernet header? The kernel says by the type of its hardware
/// (`ARPHRD_…` of linux/if_arp.h); loopback has that header, too.
pub(super) fn has_ethernet_header(interface: &str) -> Result<bool> {
    let failed = |error: io::Error| Error::Attach {
        interface: interface.to_owned(),
        what: "asking what kind of device it is",
        source: error.into(),
    };
    let kind = any_socket().and_then(|socket| raw::hardware_type(socket.as_fd(), interface));
    let kind = kind.map_err(failed)?;
    Ok(matches!(kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK))
}

fn link(paths: &Paths, index: u32, direction: TcAttachType) -> PathBuf {
    let word = match direction {
        TcAttachType::Egress => "egress",
        _ => "ingress",
    };
    paths.links.join(format!("{index}-{word}"))
}

fn attach_tcx(
    program: &mut SchedClassifier,
    direction: TcAttachType,
    interface: &str,
    pin: &Path,
) -> std::result::Result<(), Failure> {
    if pin.exists() {
        if update(program, pin)? {
            return Ok(());
        }
        // Its interface is gone, and another has the index now.
        fs::remove_file(pin)?;
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(interface, direction, order)?;
    FdLink::try_from(program.take_link(id)?)?.pin(pin)?;
    Ok(())
}

/// Gives a pinned link this program, in one step for packets. `false` where its interface is gone.
fn update(program: &mut SchedClassifier, pin: &Path) -> std::result::Result<bool, Failure> {
    let link: FdLink = PinnedLink::from_pin(pin)?.into();
    match program.attach_to_link(SchedClassifierLink::try_from(link)?) {
        Ok(id) => {
            // Only our descriptor of it is closed: the pin holds the link.
            let _link: FdLink = program.take_link(id)?.try_into()?;
            Ok(true)
        }
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOLINK) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn add_clsact(interface: &str) -> std::result::Result<(), Failure> {
    match tc::qdisc_add_clsact(interface) {
        Err(tc::TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

fn filter(interface: &str, direction: TcAttachType) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, direction, PRIORITY, HANDLE, None)
}

fn attach_clsact(
    program: &mut SchedClassifier,
    direction: TcAttachType,
    interface: &str,
) -> std::result::Result<(), Failure> {
    let replaced = program.attach_to_link(filter(interface, direction)?);
    let id = match replaced {
        Ok(id) => id,
        Err(_there_was_none) => {
            let options = NlOptions {
                priority: PRIORITY,
                handle: HANDLE,
                classid: None,
            };
            program.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))?
        }
    };
    leave(program, id)?;
    Ok(())
}

/// Dropping a link of this kind would take the filter out of the qdisc.
fn leave(
    program: &mut SchedClassifier,
    id: SchedClassifierLinkId,
) -> std::result::Result<(), ProgramError> {
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Every guarded interface that still exists. What is left of vanished ones is put away.
pub(super) fn attached(maps: &Maps, paths: &Paths) -> Result<Vec<Attached>> {
    let mut all = Vec::new();
    let mut indexes: Vec<u32> = maps.guarded.list()?.into_iter().map(|(i, _)| i).collect();
    indexes.extend(pinned(paths)?);
    indexes.sort_unstable();
    indexes.dedup();
    for index in indexes {
        match name_of(index) {
            Ok(interface) if !severed(paths, index) => all.push(Attached {
                interface,
                index,
                hook: place_of(paths, index),
            }),
            _ => forget(maps, paths, index)?,
        }
    }
    Ok(all)
}

/// Did the links go with an interface that had the index before?
fn severed(paths: &Paths, index: u32) -> bool {
    [TcAttachType::Ingress, TcAttachType::Egress]
        .into_iter()
        .filter_map(|direction| raw::open_pin(&link(paths, index, direction)).ok())
        .any(|link| matches!(raw::interface_of(link.as_fd()), Ok(None)))
}

/// One pinned link is enough to tell: an agent that died between the two leaves only that of egress.
fn place_of(paths: &Paths, index: u32) -> Place {
    let directions = [TcAttachType::Egress, TcAttachType::Ingress];
    if directions
        .into_iter()
        .any(|direction| link(paths, index, direction).exists())
    {
        Place::Tcx
    } else {
        Place::Clsact
    }
}

/// Indexes in the names of pinned links.
fn pinned(paths: &Paths) -> Result<Vec<u32>> {
    let failed = |error| Error::Directory(paths.links.clone(), error);
    let mut indexes = Vec::new();
    for entry in fs::read_dir(&paths.links).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let index = name.to_str().and_then(|name| name.split_once('-'));
        indexes.extend(index.and_then(|(index, _)| index.parse::<u32>().ok()));
    }
    Ok(indexes)
}

/// Puts away what refers to an interface that is gone, or is no longer guarded.
///
/// First it ceases to count as guarded, so that routed traffic which came by it is judged where it
/// leaves; then ingress goes, then egress.
fn forget(maps: &Maps, paths: &Paths, index: u32) -> Result<()> {
    maps.guarded.delete(&index)?;
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        let pin = link(paths, index, direction);
        if let Ok(link) = raw::open_pin(&pin) {
            let _severed_already = raw::detach(link.as_fd());
        }
        match fs::remove_file(pin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Directory(paths.links.clone(), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Stops guarding an interface.
pub(super) fn detach(maps: &Maps, paths: &Paths, index: u32) -> Result<()> {
    let place = place_of(paths, index);
    forget(maps, paths, index)?;
    if place == Place::Clsact {
        unfilter(index);
    }
    Ok(())
}

/// Takes our filters from an interface, where there are any.
pub(super) fn unfilter(index: u32) {
    let Ok(interface) = name_of(index) else {
        return;
    };
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        let _there_is_none = filter(&interface, direction).map(SchedClassifierLink::detach);
    }
}

fn any_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::INET, SocketType::DGRAM, None)?)
}

fn index_of(interface: &str) -> io::Result<u32> {
    Ok(name_to_index(any_socket()?, interface)?)
}

fn name_of(index: u32) -> io::Result<String> {
    Ok(index_to_name(any_socket()?, index)?)
}
