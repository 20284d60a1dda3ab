//! Links between pages, and from pages to files, lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::markdown::{pages, prose, root, text};

/// `[words](target)`, the targets.
fn targets(page: &str) -> Vec<String> {
    let prose = prose(page);
    let parts = prose.split("](").skip(1);
    let ends = parts.filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| match c {
        ' ' => '-',
        other => other.to_ascii_lowercase(),
    })
    .collect()
}

fn anchors(page: &str) -> Vec<String> {
    let prose = prose(page);
    let headings = prose.lines().filter(|l| l.starts_with('#'));
    headings
        .map(|l| anchor(l.trim_start_matches('#')))
        .collect()
}

/// A path without `..`, below the top directory.
fn resolve(page: &str, target: &str) -> PathBuf {
    let from = Path::new(page).parent().expect("a page has a directory");
    let mut path = PathBuf::new();
    for part in from.join(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {target} leads out"),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

#[test]
fn every_relative_link_resolves() {
    let mut seen = 0;
    for page in pages() {
        let here = text(&page);
        for target in targets(&here) {
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() {
                PathBuf::from(&page)
            } else {
                resolve(&page, file)
            };
            assert!(root().join(&path).exists(), "{page}: no {target}");
            let known = || anchors(&text(&path.to_string_lossy()));
            let there = fragment.is_empty() || known().iter().any(|a| a == fragment);
            assert!(there, "{page}: {target} names no heading");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} links were found");
}

#[test]
fn anchors_are_made_as_readers_expect() {
    assert_eq!(
        anchor(" How a packet is decided, `explain`"),
        "how-a-packet-is-decided-explain"
    );
}
