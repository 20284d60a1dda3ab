//! Which interfaces are guarded: programs put on their hooks, looked after, and taken off.

use std::fs;
use std::path::Path;

use super::attach::{self, Attached, Ingress, Place, Site};
use super::error::{Error, Result};
use super::load::Early;
use super::neighbours::Neighbour;
use super::pin::Paths;
use super::{Dataplane, migrate};

impl Dataplane {
    pub(super) fn renew_all(&mut self) -> Result<()> {
        for old in self.attached()? {
            self.renew(&old)?;
        }
        Ok(())
    }

    pub(super) fn renew(&mut self, old: &Attached) -> Result<Attached> {
        let ingress = match old.hook {
            Place::Tcx | Place::Clsact => Ingress::Tc,
            Place::Xdp => Ingress::Xdp,
            Place::XdpGeneric => Ingress::XdpGeneric,
        };
        let tcx = self.site().uses_tcx(old.index);
        self.put(&old.interface, ingress, tcx)
    }

    pub(super) fn site(&self) -> Site<'_> {
        Site {
            maps: &self.maps,
            paths: &self.paths,
            tcx: self.tcx,
        }
    }

    /// Puts the programs that suit the device on its hooks.
    fn put(&mut self, interface: &str, ingress: Ingress, tcx: bool) -> Result<Attached> {
        let (options, paths) = (&self.options, &self.paths);
        let set = if attach::has_ethernet_header(interface)? {
            self.programs.ethernet(ingress, options, paths)
        } else {
            self.programs.bare(options, paths)?
        };
        let maps = &self.maps;
        let site = Site { maps, paths, tcx };
        attach::attach(set, &site, interface, ingress)
    }

    pub(super) fn early(&mut self) -> Result<&mut Early> {
        let (options, paths) = (&self.options, &self.paths);
        self.programs.early(options, paths)
    }

    /// Guards an interface in both directions, at TC.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn attach(&mut self, interface: &str) -> Result<Attached> {
        self.attach_at(interface, Ingress::Tc)
    }

    /// The same, with what arrives judged at a hook of choice, or at TC where that cannot be.
    ///
    /// # Errors
    /// Why it cannot be guarded at all.
    pub fn attach_at(&mut self, interface: &str, ingress: Ingress) -> Result<Attached> {
        self.mend()?;
        let attached = self.put(interface, ingress, self.tcx);
        // Also where it failed: something may have been pinned by then.
        self.keep.renew(&self.paths)?;
        attached
    }

    /// Puts back pins that somebody took away, as who unmounts their file system does: what was pinned is held by
    /// descriptors, so packets have not noticed. Every look at the pins begins with this.
    ///
    /// # Errors
    /// Why they cannot be put back. Enforcement lasts as long as this agent then.
    pub fn mend(&self) -> Result<()> {
        self.keep.mend(&self.options.bpf_dir, &self.paths)
    }

    /// How many pins were put back since this was last asked.
    #[must_use]
    pub fn restored(&self) -> usize {
        self.keep.restored()
    }

    /// Is what arrives by an interface judged at XDP?
    #[must_use]
    pub fn at_xdp(&self, index: u32) -> bool {
        matches!(self.site().place_of(index), Place::Xdp | Place::XdpGeneric)
    }

    /// Stops guarding one interface.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.mend()?;
        self.site().detach(index)?;
        self.keep.renew(&self.paths)
    }

    /// Every guarded interface. What is left of interfaces that are gone is put away.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn attached(&self) -> Result<Vec<Attached>> {
        self.mend()?;
        let attached = self.site().attached()?;
        self.keep.renew(&self.paths)?;
        Ok(attached)
    }

    /// Of guarded interfaces that are still there, those that have lost a program of ours: somebody took it off.
    #[must_use]
    pub fn displaced(&self, guarded: &[u32]) -> Vec<u32> {
        self.site().displaced(guarded)
    }

    /// Does every program that guards an interface sit there?
    #[must_use]
    pub fn is_whole(&self, index: u32) -> bool {
        self.site().is_whole(index)
    }

    /// Programs of other owners on an interface, in the order in which packets come to them.
    #[must_use]
    pub fn neighbours(&self, index: u32) -> Vec<Neighbour> {
        self.site().neighbours(index)
    }

    /// Ends enforcement: takes the programs from all interfaces and removes all pins. Nothing else does.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn detach_all(self) -> Result<()> {
        for attached in self.attached()? {
            self.site().detach(attached.index)?;
        }
        let root = &self.paths.root;
        fs::remove_dir_all(root).map_err(|error| Error::Directory(root.clone(), error))?;
        // Only if no other layout's directory is in it.
        let _others_may_be_there = root.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Ends the enforcement of what agents of other versions left under other layouts; says whether there was any.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn detach_others(bpf_dir: &Path) -> Result<bool> {
        migrate::detach(&Paths::of(bpf_dir)?)
    }
}
