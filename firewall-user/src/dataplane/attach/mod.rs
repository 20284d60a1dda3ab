//! The programs on interfaces, kept there by pinned links (TCX, XDP) or by the qdisc (clsact, before 6.6).
//!
//! What leaves is always judged at TC, what arrives at TC or at XDP. Egress comes first when an interface is
//! taken under guard: what the host opens from then on has a session by the time ingress begins to ask for one.
//!
//! An interface changes its ingress hook in an order that leaves no packet unjudged: the new program first,
//! then the old one goes. What is judged at XDP in that time says so to TC, which lets it by: see [`handover`].

mod clsact;
mod handover;
mod neighbours;
mod tcx;
mod xdp;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use aya::programs::{SchedClassifier, TcAttachType, Xdp};
use firewall_common::config::{AT_TC, AT_XDP, AT_XDP_GENERIC, AT_XDP_SENDS};
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::{AddressFamily, SocketType, socket};

use super::device;
use super::error::{Error, Result};
use super::maps::Maps;
use super::pin::Paths;
use super::raw;

/// Where the program sits that judges what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// TCX: links of their own, in front of all other programs.
    Tcx,
    /// The clsact qdisc.
    Clsact,
    /// XDP, in the driver.
    Xdp,
    /// XDP, in the stack: for devices whose driver has no XDP.
    XdpGeneric,
}

impl Place {
    /// The word users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp | Self::XdpGeneric => "xdp",
        }
    }

    /// Is this where what arrives is to be judged?
    #[must_use]
    pub const fn serves(self, ingress: Ingress) -> bool {
        match ingress {
            Ingress::Tc => matches!(self, Self::Tcx | Self::Clsact),
            Ingress::Xdp => matches!(self, Self::Xdp),
            Ingress::XdpGeneric => matches!(self, Self::XdpGeneric),
        }
    }

    /// How the hook runs it, as users see it.
    #[must_use]
    pub const fn mode(self) -> &'static str {
        match self {
            Self::Tcx | Self::Clsact => "tc",
            Self::Xdp => "native",
            Self::XdpGeneric => "generic",
        }
    }
}

/// Where what arrives is to be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ingress {
    /// At TC.
    #[default]
    Tc,
    /// At XDP in the driver; at TC where that cannot be.
    Xdp,
    /// At XDP in the stack; at TC where that cannot be.
    XdpGeneric,
}

/// A guarded interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name now.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Where the program sits that judges what arrives.
    pub hook: Place,
    /// Why it is not where it was to be.
    pub instead: Option<String>,
}

/// The programs of an interface.
#[derive(Debug)]
pub(super) struct Set<'p> {
    pub ingress: &'p mut SchedClassifier,
    pub egress: &'p mut SchedClassifier,
    /// What judges at XDP, or why nothing can.
    pub xdp: std::result::Result<&'p Xdp, String>,
}

/// What attaching works on.
pub(super) struct Site<'a> {
    pub maps: &'a Maps,
    pub paths: &'a Paths,
    /// Use TCX; else clsact.
    pub tcx: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Guards an interface in both directions, or gives its hooks the programs of this load. What cannot be at
/// XDP is at TC, and says why; where neither can be it is an error.
pub(super) fn attach(
    mut set: Set<'_>,
    site: &Site<'_>,
    interface: &str,
    ingress: Ingress,
) -> Result<Attached> {
    let failed = |what| {
        move |source: Failure| Error::Attach {
            interface: interface.to_owned(),
            what,
            source,
        }
    };
    let index = index_of(interface).map_err(|error| failed("no such interface")(error.into()))?;
    if !site.tcx {
        clsact::prepare(interface).map_err(failed("adding the clsact qdisc"))?;
    }
    site.tc(set.egress, TcAttachType::Egress, interface, index)
        .map_err(failed("attaching"))?;
    let _handover = site.begin_handover(index, ingress)?;
    let early = site.early(&mut set, interface, index, ingress);
    let (hook, instead) = match &early {
        Ok(Some(place)) => (*place, None),
        Ok(None) | Err(_) => {
            site.tc_ingress(set.ingress, interface, index)
                .map_err(failed("attaching"))?;
            site.remove_early(index, None)?;
            (site.tc_place(), early.err().map(|why| why.to_string()))
        }
    };
    let value = match hook {
        Place::Tcx | Place::Clsact => AT_TC,
        // A veth loses what its peer has no program for (see the answers at XDP).
        Place::Xdp if device::driver(interface).as_deref() == Some("veth") => AT_XDP,
        Place::Xdp => AT_XDP_SENDS,
        Place::XdpGeneric => AT_XDP_GENERIC,
    };
    site.maps.guarded.set(&index, &value)?;
    Ok(Attached {
        interface: interface.to_owned(),
        index,
        hook,
        instead,
    })
}

impl Site<'_> {
    const fn tc_place(&self) -> Place {
        if self.tcx { Place::Tcx } else { Place::Clsact }
    }

    fn tc(
        &self,
        program: &mut SchedClassifier,
        direction: TcAttachType,
        interface: &str,
        index: u32,
    ) -> std::result::Result<(), Failure> {
        if self.tcx {
            let pin = self.link(index, word(direction));
            tcx::attach(program, direction, interface, &pin)
        } else {
            clsact::attach(program, direction, interface)
        }
    }

    /// Puts what arrives under TC. That it is there is noted before, so that also who finds this half done
    /// knows that it may be.
    fn tc_ingress(
        &self,
        program: &mut SchedClassifier,
        interface: &str,
        index: u32,
    ) -> std::result::Result<(), Failure> {
        if self.maps.guarded.get(&index)?.is_some() {
            self.maps.guarded.set(&index, &AT_TC)?;
        }
        self.tc(program, TcAttachType::Ingress, interface, index)
    }

    /// Puts what arrives under XDP, if that is asked for; `None` where it is not.
    ///
    /// The kernel has one mode at a time on a device, so between two of them TC judges.
    fn early(
        &self,
        set: &mut Set<'_>,
        interface: &str,
        index: u32,
        ingress: Ingress,
    ) -> std::result::Result<Option<Place>, Failure> {
        let place = match ingress {
            Ingress::Tc => return Ok(None),
            Ingress::Xdp => Place::Xdp,
            Ingress::XdpGeneric => Place::XdpGeneric,
        };
        let program = set.xdp.clone()?;
        if self.has_other(index, place) {
            self.tc_ingress(set.ingress, interface, index)?;
            self.remove_early(index, Some(place))?;
        }
        xdp::attach(program, place, index, &self.link(index, xdp::pin(place)))?;
        self.remove_tc_ingress(interface, index)?;
        Ok(Some(place))
    }

    fn has_other(&self, index: u32, place: Place) -> bool {
        let others = xdp::PLACES.into_iter().filter(|other| *other != place);
        { others }.any(|other| self.link(index, xdp::pin(other)).exists())
    }

    /// Takes XDP links from an interface, all but that of one place.
    fn remove_early(&self, index: u32, but: Option<Place>) -> Result<()> {
        let others = xdp::PLACES.into_iter().filter(|place| Some(*place) != but);
        { others }.try_for_each(|place| self.unlink(index, xdp::pin(place)))
    }

    /// What arrives is judged at XDP from now on: TC has nothing more to do with it.
    fn remove_tc_ingress(&self, interface: &str, index: u32) -> Result<()> {
        match self.maps.guarded.get(&index)? {
            Some(AT_XDP | AT_XDP_SENDS | AT_XDP_GENERIC) => return Ok(()),
            Some(_) => handover::wait(),
            None => {}
        }
        if !self.tcx {
            clsact::detach(interface, TcAttachType::Ingress);
        }
        self.unlink(index, word(TcAttachType::Ingress))
    }

    fn link(&self, index: u32, word: &str) -> PathBuf {
        self.paths.links.join(format!("{index}-{word}"))
    }

    fn linked(&self, index: u32, words: &[&str]) -> bool {
        words.iter().any(|word| self.link(index, word).exists())
    }

    /// Takes a pinned link from its hook, and its pin away.
    fn unlink(&self, index: u32, word: &str) -> Result<()> {
        let pin = self.link(index, word);
        if let Ok(link) = raw::open_pin(&pin) {
            let _severed_already = raw::detach(link.as_fd());
        }
        match fs::remove_file(pin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Directory(self.paths.links.clone(), error))
            }
            _ => Ok(()),
        }
    }
}

const fn word(direction: TcAttachType) -> &'static str {
    match direction {
        TcAttachType::Egress => "egress",
        _ => "ingress",
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

impl Site<'_> {
    /// Every guarded interface that still exists. What is left of vanished ones is put away.
    pub(super) fn attached(&self) -> Result<Vec<Attached>> {
        let mut all = Vec::new();
        let listed = self.maps.guarded.list()?.into_iter();
        let mut indexes: Vec<u32> = listed.map(|(index, _)| index).collect();
        indexes.extend(self.pinned()?);
        indexes.sort_unstable();
        indexes.dedup();
        for index in indexes {
            match name_of(index) {
                Ok(interface) if !self.severed(index) => all.push(Attached {
                    interface,
                    index,
                    hook: self.place_of(index),
                    instead: None,
                }),
                _ => self.forget(index)?,
            }
        }
        Ok(all)
    }

    /// Did the links go with an interface that had the index before? All of them have, then.
    fn severed(&self, index: u32) -> bool {
        let mut links = self.links(index).peekable();
        links.peek().is_some() && links.all(|link| !sits(&link))
    }

    /// The pinned links of an interface.
    fn links(&self, index: u32) -> impl Iterator<Item = OwnedFd> {
        let pins = LINKS.map(|word| self.link(index, word));
        { pins.into_iter() }.filter_map(|pin| raw::open_pin(&pin).ok())
    }

    /// Of guarded interfaces that are still there, those that have lost a program of ours: somebody took it off.
    pub(super) fn displaced(&self, guarded: &[u32]) -> Vec<u32> {
        let there = |index: &u32| name_of(*index).is_ok();
        let all = guarded.iter().copied();
        all.filter(|index| !self.is_whole(*index) && there(index))
            .collect()
    }

    /// Does every program that guards an interface sit there?
    pub(super) fn is_whole(&self, index: u32) -> bool {
        let at_tc = |direction| {
            self.link(index, word(direction)).exists()
                || (!self.uses_tcx(index) && clsact::is_there(index, direction))
        };
        let early = matches!(self.place_of(index), Place::Xdp | Place::XdpGeneric);
        self.links(index).all(|link| sits(&link))
            && at_tc(TcAttachType::Egress)
            && (early || at_tc(TcAttachType::Ingress))
    }

    /// An agent that died between egress and ingress left only the link of egress. One that died on the way
    /// between TC and XDP left both: XDP is where it is told to be, and attaching it anew clears up.
    pub(super) fn place_of(&self, index: u32) -> Place {
        let early = { xdp::PLACES }.into_iter();
        let mut early = early.filter(|place| self.linked(index, &[xdp::pin(*place)]));
        match early.next() {
            Some(place) => place,
            None if self.uses_tcx(index) => Place::Tcx,
            None => Place::Clsact,
        }
    }

    /// Indexes in the names of pinned links.
    fn pinned(&self) -> Result<Vec<u32>> {
        let failed = |error| Error::Directory(self.paths.links.clone(), error);
        let mut indexes = Vec::new();
        for entry in fs::read_dir(&self.paths.links).map_err(failed)? {
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
    fn forget(&self, index: u32) -> Result<()> {
        self.maps.guarded.delete(&index)?;
        self.maps.shields.delete(&index)?;
        LINKS
            .into_iter()
            .try_for_each(|word| self.unlink(index, word))
    }

    /// Is an interface that is guarded on TCX?
    pub(super) fn uses_tcx(&self, index: u32) -> bool {
        self.linked(index, &TC_LINKS)
    }

    /// Stops guarding an interface.
    pub(super) fn detach(&self, index: u32) -> Result<()> {
        let in_qdisc = !self.uses_tcx(index);
        self.forget(index)?;
        if in_qdisc {
            unfilter(index);
        }
        Ok(())
    }
}

/// Takes our filters from an interface, where there are any.
pub(super) fn unfilter(index: u32) {
    let Ok(interface) = name_of(index) else {
        return;
    };
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        clsact::detach(&interface, direction);
    }
}

fn sits(link: &OwnedFd) -> bool {
    !matches!(raw::interface_of(link.as_fd()), Ok(None))
}

/// Names of the pins of TCX links.
const TC_LINKS: [&str; 2] = ["ingress", "egress"];
/// Names of all pins, in the order in which they are to go.
const LINKS: [&str; 4] = [
    xdp::pin(Place::Xdp),
    xdp::pin(Place::XdpGeneric),
    "ingress",
    "egress",
];

fn any_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::INET, SocketType::DGRAM, None)?)
}

fn index_of(interface: &str) -> io::Result<u32> {
    Ok(name_to_index(any_socket()?, interface)?)
}

fn name_of(index: u32) -> io::Result<String> {
    Ok(index_to_name(any_socket()?, index)?)
}
