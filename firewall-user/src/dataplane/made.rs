//! What pinned programs were made of. The verifier takes seconds for ours: an agent that starts again takes up
//! those that are pinned, where they are of the same object over the same tables.
//!
//! bpffs keeps no text, so it is a directory's name that says so, beside the pins of the programs.

use std::fs;
use std::io;

use aya::maps::MapInfo;
use sha2::{Digest as _, Sha256};

use super::bpffs;
use super::error::{Error, Result};
use super::pin::{Paths, Shape};

/// SHA-256 of the object that this binary carries, in hexadecimal digits.
const OBJECT: &str = env!("RINGWALL_OBJECT_SHA256");

/// Stands for the object that this binary carries over the tables that are pinned now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made(String);

impl Made {
    /// All tables must be pinned. The kernel gives no number of a table twice before it has gone round all 31 bits.
    pub(super) fn of(shapes: &[Shape], paths: &Paths) -> Result<Self> {
        let mut all = Sha256::new_with_prefix(OBJECT);
        for shape in shapes {
            let failed = |error| Error::Table(shape.name, io::Error::other(error));
            let info = MapInfo::from_pin(shape.pin(&paths.maps)).map_err(failed)?;
            all.update(info.id().to_le_bytes());
        }
        let short = all
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self(short))
    }

    /// Are the pinned programs of a group made of this?
    pub(super) fn is_said(&self, paths: &Paths, group: &str) -> bool {
        paths.programs.join(self.name(group)).is_dir()
    }

    /// Says that the pinned programs of a group are made of this.
    pub(super) fn say(&self, paths: &Paths, group: &str) -> Result<()> {
        let path = paths.programs.join(self.name(group));
        bpffs::make(&path).map_err(|error| Error::Directory(path, error))
    }

    /// No longer says of what the programs of a group are made: to be called before the first of them changes, so
    /// that an agent that is killed between two of them leaves none to be taken up.
    pub(super) fn unsay(paths: &Paths, group: &str) -> Result<()> {
        let failed = |error| Error::Directory(paths.programs.clone(), error);
        for entry in fs::read_dir(&paths.programs).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(&prefix(group)) {
                fs::remove_dir(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn name(&self, group: &str) -> String {
        prefix(group) + &self.0
    }
}

fn prefix(group: &str) -> String {
    format!("{group}-of-")
}
