//! `sets`: inline members and list files.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::policy::diagnostic::{Diagnostic, Report};
use crate::policy::model::AddressSet;
use crate::policy::source;
use crate::policy::text::address;
use crate::policy::text::cx::Cx;
use crate::policy::text::dynamic;
use crate::policy::text::walk::{self, Fields};
use crate::policy::text::yaml::{Kind, Node};

/// Lines of a list file.
const MAX_LINES: usize = 1_000_000;
/// Bad lines of a list file shown one by one.
const MAX_BAD_LINES: usize = 20;

/// Reads the `sets` of one file.
pub fn read(node: &Node, cx: &mut Cx<'_>) {
    for (key, value) in walk::mapping(node, "`sets`", &mut cx.report).unwrap_or_default() {
        if let Some(name) = set_name(key, cx) {
            one(name.to_owned(), key, value, cx);
        }
    }
}

fn set_name<'n>(key: &'n Node, cx: &mut Cx<'_>) -> Option<&'n str> {
    let name = walk::name(key, "a set", &mut cx.report)?;
    if address::looks_like_address(name) {
        let message = format!("`{name}` would be read as an address");
        cx.report.error(key.span, "bad-name", message);
        return None;
    }
    let taken = cx
        .sets
        .iter()
        .map(|set| &set.name)
        .chain(&cx.broken_sets)
        .any(|known| known == name);
    if taken {
        let message = format!("there is a set `{name}` already");
        cx.report.error(key.span, "duplicate-name", message);
        return None;
    }
    Some(name)
}

fn one(name: String, key: &Node, value: &Node, cx: &mut Cx<'_>) {
    let set = AddressSet {
        name,
        span: key.span,
        file: None,
        dynamic: None,
        members: Vec::new(),
    };
    let read = match &value.kind {
        Kind::Map(_) => from_mapping(value, &set, cx),
        _ => inline(value, cx).map(|members| AddressSet {
            members,
            ..set.clone()
        }),
    };
    match read {
        Some(read) => cx.sets.push(read),
        None => cx.broken_sets.push(set.name),
    }
}

fn inline(value: &Node, cx: &mut Cx<'_>) -> Option<Vec<IpNet>> {
    let help =
        "a set has at least one member: take it out, or fill it by `file:` or `dynamic: true`";
    let items = walk::some_of(value, "a set", help, &mut cx.report)?;
    let mut members = Vec::new();
    for item in items {
        let expected = "a prefix, an address or a range";
        let Some(word) = walk::text(item, expected, &mut cx.report) else {
            continue;
        };
        members.extend(cx.inline(item.span, word).unwrap_or_default());
    }
    let mut seen = std::collections::HashSet::new();
    members.retain(|member| seen.insert(*member));
    Some(members)
}

fn from_mapping(value: &Node, set: &AddressSet, cx: &mut Cx<'_>) -> Option<AddressSet> {
    let known = ["file", "dynamic", "max", "default_for"];
    let fields = Fields::read(value, "a set", &known, &mut cx.report)?;
    if fields.flag("dynamic", false, &mut cx.report) {
        let dynamic = Some(dynamic::read(&fields, cx)?);
        return Some(AddressSet {
            dynamic,
            ..set.clone()
        });
    }
    for key in ["max", "default_for"] {
        if let Some(span) = fields.key_span(key) {
            let message = format!("`{key}` belongs to a dynamic set");
            cx.report.error(span, "unknown-key", message);
        }
    }
    let node = fields.require("file", "a set written as a mapping", &mut cx.report)?;
    let name = walk::text(node, "the path of a list file", &mut cx.report)?;
    let base = cx.bases.get(node.span.file)?.clone();
    match open_inside(&base, name) {
        Ok((file, path)) => {
            let (file, members) = read_list(file, path, &mut cx.report)?;
            Some(AddressSet {
                file,
                members,
                ..set.clone()
            })
        }
        Err((message, help)) => {
            cx.report.error_help(node.span, "list-file", message, help);
            None
        }
    }
}

type Fault = (String, String);

/// Opens a list file beneath the directory of the policy file naming it, wherever links point.
fn open_inside(base: &Path, name: &str) -> Result<(File, PathBuf), Fault> {
    let inside =
        "a list file stays inside the directory of the policy file that names it".to_owned();
    let relative = Path::new(name);
    if relative.is_absolute() {
        let message = format!("`{name}` is an absolute path");
        return Err((message, inside));
    }
    let path = base.join(relative);
    let shown = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let fault = |errno: Errno| match errno {
        Errno::XDEV => (
            format!("`{name}` leads out of the directory"),
            inside.clone(),
        ),
        other => {
            let message = format!("cannot open the list file {}: {other}", path.display());
            (message, inside.clone())
        }
    };
    let directory = open_directory(base).map_err(fault)?;
    let file = open_beneath(&directory, base, relative).map_err(fault)?;
    Ok((File::from(file), shown))
}

fn open_directory(base: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(base, flags, Mode::empty())
}

fn open_beneath(directory: &OwnedFd, base: &Path, relative: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(directory, relative, flags, Mode::empty(), resolve) {
        // A sandbox around `policy check` may not know the call; the agent's kernels all have it.
        Err(Errno::NOSYS | Errno::PERM) => open_resolved(base, relative, flags),
        other => other,
    }
}

fn open_resolved(base: &Path, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    let base = base.canonicalize().map_err(errno)?;
    let path = base.join(relative).canonicalize().map_err(errno)?;
    if !path.starts_with(&base) {
        return Err(Errno::XDEV);
    }
    rustix::fs::open(&path, flags | OFlags::NOFOLLOW, Mode::empty())
}

fn read_list(
    file: File,
    path: PathBuf,
    report: &mut Report<'_>,
) -> Option<(Option<PathBuf>, Vec<IpNet>)> {
    let members = match source::read_text(file, &path) {
        Ok(text) => list_members(&text, &path, report),
        Err(diagnostic) => {
            report.push(diagnostic);
            None
        }
    };
    Some((Some(path), members?))
}

fn list_members(text: &str, path: &Path, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let mut list = List::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if index >= MAX_LINES {
            let message = format!("more than {MAX_LINES} lines");
            report.push(Diagnostic::error("too-large", message).in_file(path.to_string_lossy()));
            return None;
        }
        list.line(index + 1, line, path, report);
    }
    list.finish(path, report)
}

#[derive(Default)]
struct List {
    members: Vec<IpNet>,
    bad: usize,
    masked: usize,
    first_masked: Option<(usize, String)>,
}

impl List {
    fn line(&mut self, number: usize, line: &str, path: &Path, report: &mut Report<'_>) {
        let word = line.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            return;
        }
        match list_word(word) {
            Ok((prefixes, masked)) => {
                self.members.extend(prefixes);
                if masked {
                    self.masked += 1;
                    self.first_masked
                        .get_or_insert_with(|| (number, line.to_owned()));
                }
            }
            Err(error) => {
                self.bad += 1;
                if self.bad <= MAX_BAD_LINES {
                    let column = line.len() - line.trim_start().len() + 1;
                    let help = error
                        .help
                        .unwrap_or_else(|| "one prefix a line; `#` begins a comment".into());
                    let found = Diagnostic::error(error.code, error.message).help(help);
                    report.push(
                        found
                            .in_file(path.to_string_lossy())
                            .at(number, column, line),
                    );
                }
            }
        }
    }

    fn finish(mut self, path: &Path, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
        let file = path.to_string_lossy();
        if self.bad > MAX_BAD_LINES {
            let message = format!("{} more bad lines", self.bad - MAX_BAD_LINES);
            report.push(Diagnostic::error("bad-address", message).in_file(file.clone()));
        }
        if let Some((line, text)) = self.first_masked.take() {
            let message = format!(
                "{} entries have host bits set, which are ignored; this is the first",
                self.masked
            );
            report.push(
                Diagnostic::warning("host-bits", message)
                    .in_file(file.clone())
                    .at(line, 1, text),
            );
        }
        if self.bad > 0 {
            return None;
        }
        if self.members.is_empty() {
            let message = "the list is empty: its set matches nothing";
            report.push(Diagnostic::warning("empty-list-file", message).in_file(file));
        }
        self.members.sort_unstable();
        self.members.dedup();
        Some(self.members)
    }
}

fn list_word(word: &str) -> Result<(Vec<IpNet>, bool), address::AddressError> {
    if word.contains('-') {
        return address::parse(word).map(|prefixes| (prefixes, false));
    }
    let net = address::prefix(word)?;
    Ok((vec![net.trunc()], net.trunc() != net))
}
