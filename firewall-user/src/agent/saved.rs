//! A policy's compiled form, saved beside its text: a start, and a reboot above all, puts it in force
//! without reading the text, let alone lists, tests and assertions.
//!
//! A line of JSON says what follows and for whom it was made; then come the bytes. It is nobody's only
//! copy: whatever does not fit or is damaged is left aside for the text.

use std::io;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use firewall_common::config::LAYOUT_VERSION;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store;
use crate::policy::compiled::{Compiled, Numbers};

/// Its name in a revision's directory. No policy file is called that: those end in `.yaml`.
const FILE: &str = "compiled.bin";

/// How what is saved is laid out. Raised with every change of [`Saved`] and of what is in it.
const FORMAT: u32 = 5;

/// What the bytes are and for whom; the first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    format: u32,
    layout: u32,
    version: String,
    /// Digest of the text that it was compiled from.
    digest: String,
    /// [`super::state::Settings::context`] when it was.
    context: String,
    /// SHA-256 of the bytes after this line.
    sha256: String,
}

/// What is saved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Saved {
    /// The tables.
    pub(super) compiled: Compiled,
    /// The numbers given out when it was compiled.
    pub(super) numbers: Numbers,
}

/// The same, borrowed to be written.
#[derive(Serialize)]
struct Saving<'a> {
    compiled: &'a Compiled,
    numbers: &'a Numbers,
}

/// Does a saved form fit the host as it is told to be now, too?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was made under the same settings.
    Same,
    /// Labels, roles or `--monitor` were others then.
    Otherwise,
}

/// Saves what a text was compiled to in its revision's directory, as a whole or not at all.
pub(super) fn write(
    directory: &Path,
    (compiled, numbers): (&Compiled, &Numbers),
    digest: &str,
    context: &str,
) -> io::Result<()> {
    let saving = Saving { compiled, numbers };
    let body = postcard::to_stdvec(&saving).map_err(io::Error::other)?;
    let label = Label {
        format: FORMAT,
        layout: LAYOUT_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        digest: digest.to_owned(),
        context: context.to_owned(),
        sha256: hash(&body),
    };
    let mut bytes = serde_json::to_vec(&label).map_err(io::Error::other)?;
    bytes.push(b'\n');
    bytes.extend(body);
    store::write(&directory.join(FILE), &bytes)
}

impl Saved {
    /// Reads what was saved for a text; `None` where nothing was.
    pub(super) fn read(
        directory: &Path,
        digest: &str,
        context: &str,
    ) -> anyhow::Result<Option<(Self, Told)>> {
        let bytes = match std::fs::read(directory.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, body) = bytes.split_at(end.context("it is damaged: no first line")?);
        let body = body.get(1..).unwrap_or_default();
        let label: Label = serde_json::from_slice(line).context("it is damaged")?;
        label.fits(digest)?;
        ensure!(
            hash(body) == label.sha256,
            "it is damaged: its checksum differs"
        );
        let saved = postcard::from_bytes(body).context("it is damaged")?;
        let told = if label.context == context {
            Told::Same
        } else {
            Told::Otherwise
        };
        Ok(Some((saved, told)))
    }
}

impl Label {
    fn fits(&self, digest: &str) -> anyhow::Result<()> {
        let made = (self.format, self.layout, self.version.as_str());
        if made != (FORMAT, LAYOUT_VERSION, env!("CARGO_PKG_VERSION")) {
            bail!(
                "it was made by version {}, layout {}, format {}",
                self.version,
                self.layout,
                self.format
            );
        }
        ensure!(self.digest == digest, "it was made from another text");
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{HEAD, clock, policy};

    fn saved() -> Saved {
        let rules = "policies: [{name: in, from: any, to: host, rules: [{name: web, action: allow, \
                     services: [tcp/443], expires: 2027-06-01, reason: r, owner: o}]}]\n";
        let policy = policy(&format!("{HEAD}{rules}"));
        let mut numbers = Numbers::default();
        let compile = crate::policy::compile::compile;
        let compiled = compile(&policy, &mut numbers, &clock()).unwrap();
        Saved { compiled, numbers }
    }

    fn save(directory: &Path) {
        let Saved { compiled, numbers } = saved();
        write(directory, (&compiled, &numbers), "d", "c").unwrap();
    }

    #[test]
    fn what_is_saved_is_read_again_and_knows_what_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Saved::read(dir.path(), "d", "c").unwrap(), None);
        save(dir.path());
        let read = |context| Saved::read(dir.path(), "d", context).unwrap().unwrap();
        assert_eq!(read("c"), (saved(), Told::Same));
        assert_eq!(read("monitor"), (saved(), Told::Otherwise));
        let other = Saved::read(dir.path(), "e", "c").unwrap_err();
        assert!(other.to_string().contains("another text"));
    }

    #[test]
    fn no_damaged_byte_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path());
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        let places = (0..good.len()).step_by(good.len() / 97 + 1);
        for place in places.chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[place] ^= 0x11;
            std::fs::write(&path, &bad).unwrap();
            let read = Saved::read(dir.path(), "d", "c");
            // The context is compared and not trusted: a flip in it says `Otherwise`.
            assert!(
                !matches!(read, Ok(Some((_, Told::Same)))),
                "byte {place} of {}",
                good.len()
            );
        }
        for short in [0, 1, good.len() / 2, good.len() - 1] {
            std::fs::write(&path, &good[..short]).unwrap();
            assert!(Saved::read(dir.path(), "d", "c").is_err());
        }
    }
}
