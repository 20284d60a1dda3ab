//! Policy text from files: each opened once, checked on the open file and read once.
#![expect(
    clippy::result_large_err,
    reason = "a fault of a file is told once and ends the reading: its size costs nothing"
)]

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::diagnostic::{Diagnostic, Refusal, SourceText};

/// No policy file, and no directory of them, is larger.
pub const MAX_BYTES: u64 = 64 << 20;
/// Links followed on the way to a trusted file.
const MAX_LINKS: usize = 40;

/// The texts of one policy.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The files in the order they count.
    pub texts: Vec<SourceText>,
    /// For each file the directory its `file:` paths are relative to.
    pub bases: Vec<PathBuf>,
    /// Was a directory named (even if it held one file)?
    pub directory: bool,
    /// Files of the directory that look like policies and are not read.
    pub left_out: Vec<String>,
    /// SHA-256, lower-case hex: of a single file's bytes; of a directory's names and bytes in order.
    pub digest: String,
}

impl Sources {
    /// The files' names and bytes, to be kept with the revision.
    #[must_use]
    pub fn into_bytes(self) -> Vec<(PathBuf, Vec<u8>)> {
        let bytes = |text: SourceText| {
            let name = std::path::absolute(&text.name).unwrap_or(text.name);
            (name, text.text.into_bytes())
        };
        self.texts.into_iter().map(bytes).collect()
    }
}

/// Reads a file, or the `*.yaml` files of a directory in byte order of their names.
pub fn read(path: &Path) -> Result<Sources, Refusal> {
    let is_directory = std::fs::metadata(path)
        .map_err(|e| io_error(path, &e))?
        .is_dir();
    let (paths, left_out) = if is_directory {
        yaml_files(path)?
    } else {
        (vec![path.to_owned()], Vec::new())
    };
    let mut files = Vec::new();
    let mut left = MAX_BYTES;
    for path in paths {
        let bytes = read_regular(&path, left)?;
        left -= bytes.len() as u64;
        files.push((path, bytes));
    }
    Ok(Sources {
        left_out,
        ..from_bytes(files, is_directory)?
    })
}

/// Texts that were read before: of the history, of standard input.
pub fn from_bytes(files: Vec<(PathBuf, Vec<u8>)>, directory: bool) -> Result<Sources, Refusal> {
    let digest = digest(&files, directory);
    let bases = files.iter().map(|(path, _)| base_of(path)).collect();
    let mut texts = Vec::new();
    for (name, bytes) in files {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large(&name).into());
        }
        let text = String::from_utf8(bytes).map_err(|e| not_utf8(&name, &e))?;
        texts.push(SourceText { name, text });
    }
    Ok(Sources {
        texts,
        bases,
        directory,
        left_out: Vec::new(),
        digest,
    })
}

fn base_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn digest(files: &[(PathBuf, Vec<u8>)], directory: bool) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        if directory {
            let name = path.file_name().unwrap_or_default().as_bytes();
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update((bytes.len() as u64).to_be_bytes());
        }
        hash.update(bytes);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The files of a directory that are read, and the names of those that end almost alike.
fn yaml_files(directory: &Path) -> Result<(Vec<PathBuf>, Vec<String>), Refusal> {
    let fault = |e: std::io::Error| io_error(directory, &e);
    let (mut names, mut left_out) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let bytes = name.as_bytes();
        if bytes.ends_with(b".yaml") && !bytes.starts_with(b".") {
            names.push(name);
        } else if bytes.to_ascii_lowercase().ends_with(b".yml")
            || bytes.to_ascii_lowercase().ends_with(b".yaml")
        {
            left_out.push(name.to_string_lossy().into_owned());
        }
    }
    left_out.sort();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    if names.is_empty() {
        let message = "the directory holds no *.yaml file";
        return Err(Diagnostic::error("no-policy", message)
            .in_file(directory.to_string_lossy())
            .into());
    }
    let paths = names.iter().map(|name| directory.join(name)).collect();
    Ok((paths, left_out))
}

/// The bytes of a regular file of at most so many bytes. Opening neither waits (for a pipe) nor runs a
/// device; what is checked is the open file, so that nobody can exchange it in between.
pub fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>, Diagnostic> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    read_open(file.map_err(|e| io_error(path, &e))?, path, most)
}

/// The same, of a file that is open already.
pub fn read_open(file: File, path: &Path, most: u64) -> Result<Vec<u8>, Diagnostic> {
    let meta = file.metadata().map_err(|e| io_error(path, &e))?;
    if !meta.is_file() {
        let message = "this is not a regular file";
        let help = "to read from a pipe, name `-` and pass the text on standard input";
        let error = Diagnostic::error("not-a-file", message).help(help);
        return Err(error.in_file(path.to_string_lossy()));
    }
    let mut bytes = Vec::new();
    let mut reader = file.take(most + 1);
    reader
        .read_to_end(&mut bytes)
        .map_err(|e| io_error(path, &e))?;
    if bytes.len() as u64 > most {
        return Err(too_large(path));
    }
    Ok(bytes)
}

/// The text of a list file that is open already.
pub fn read_text(file: File, path: &Path) -> Result<String, Diagnostic> {
    let bytes = read_open(file, path, MAX_BYTES)?;
    String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))
}

/// What the system said about a file.
#[must_use]
pub fn io_error(path: &Path, error: &std::io::Error) -> Diagnostic {
    let message = format!("cannot be read: {error}");
    Diagnostic::error("io", message).in_file(path.to_string_lossy())
}

fn too_large(path: &Path) -> Diagnostic {
    let message = format!("larger than {} MiB", MAX_BYTES >> 20);
    let help = "long address lists belong in list files of their own";
    Diagnostic::error("too-large", message)
        .help(help)
        .in_file(path.to_string_lossy())
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostic {
    let good = error.utf8_error().valid_up_to();
    let before = error.as_bytes().get(..good).unwrap_or_default();
    let before = String::from_utf8_lossy(before);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    Diagnostic::error("not-utf8", "this is not UTF-8 text")
        .in_file(path.to_string_lossy())
        .at(line, last.chars().count() + 1, last)
}

/// May the agent take a policy from this path by itself? It, every directory on the way and every link
/// must be root's and writable by nobody else (a sticky directory counts as safe). Of a directory, its
/// `*.yaml` files too.
pub fn trusted(path: &Path) -> Result<(), Diagnostic> {
    trusted_by(path, 0)
}

pub(super) fn trusted_by(path: &Path, owner: u32) -> Result<(), Diagnostic> {
    let absolute = std::path::absolute(path).map_err(|e| io_error(path, &e))?;
    let real = walk(&absolute, owner)?;
    if !real.is_dir() {
        return Ok(());
    }
    let (files, _) = yaml_files(&real).unwrap_or_default();
    files
        .iter()
        .try_for_each(|file| walk(file, owner).map(|_| ()))
}

/// Follows a path component by component, checking each before looking behind it.
fn walk(path: &Path, owner: u32) -> Result<PathBuf, Diagnostic> {
    let mut done = PathBuf::from("/");
    let mut left: Vec<PathBuf> = parts(path);
    let mut links = 0;
    check_owner(&done, owner, left.is_empty())?;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let meta = std::fs::symlink_metadata(&next).map_err(|e| io_error(&next, &e))?;
        if meta.is_symlink() {
            links += 1;
            let target = link_target(&next, &meta, owner, links)?;
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            left.extend(parts(&target));
            continue;
        }
        check_owner(&next, owner, left.is_empty())?;
        done = next;
    }
    Ok(done)
}

/// The components still to walk, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(named).collect()
}

fn link_target(
    link: &Path,
    meta: &std::fs::Metadata,
    owner: u32,
    links: usize,
) -> Result<PathBuf, Diagnostic> {
    if links > MAX_LINKS {
        return Err(untrusted(link, "too many symbolic links on the way"));
    }
    if meta.uid() != owner {
        return Err(untrusted(
            link,
            &format!("the link belongs to user {}", meta.uid()),
        ));
    }
    std::fs::read_link(link).map_err(|e| io_error(link, &e))
}

fn check_owner(path: &Path, owner: u32, last: bool) -> Result<(), Diagnostic> {
    let meta = std::fs::symlink_metadata(path).map_err(|e| io_error(path, &e))?;
    let sticky = meta.is_dir() && !last && meta.mode() & 0o1000 != 0;
    // Root may own a directory on the way whoever must own the end.
    let owned = meta.uid() == owner || (meta.uid() == 0 && !last);
    if !owned {
        return Err(untrusted(
            path,
            &format!("it belongs to user {}", meta.uid()),
        ));
    }
    if meta.mode() & 0o022 != 0 && !sticky {
        return Err(untrusted(
            path,
            &format!("its mode is {:04o}", meta.mode() & 0o7777),
        ));
    }
    Ok(())
}

fn untrusted(path: &Path, why: &str) -> Diagnostic {
    let message = format!("others than root could change this: {why}");
    let help = "a watched policy, and every directory and link on the way to it, must belong to root and be writable by nobody else (chown root, chmod go-w)";
    Diagnostic::error("untrusted", message)
        .help(help)
        .in_file(path.to_string_lossy())
}
