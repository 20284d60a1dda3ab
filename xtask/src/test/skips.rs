//! `tests/skips.txt`: the skips that CI accepts, each with its reason: `name-glob: reason`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The file's lines.
#[derive(Default)]
pub(super) struct Listed(Vec<(String, String)>);

impl Listed {
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
        let entry = |(number, line): (usize, &str)| match line.split_once(": ") {
            Some((glob, _)) if !glob.contains("::") => bail!(
                "line {}: `{glob}` fits no test: a name is whole, as in `*::file::test`",
                number + 1
            ),
            Some((glob, reason)) if !reason.trim().is_empty() => {
                Ok((glob.trim().to_owned(), reason.trim().to_owned()))
            }
            _ => bail!(
                "line {}: expected `name-glob: reason`, found `{line}`",
                number + 1
            ),
        };
        lines.map(entry).collect::<Result<_>>().map(Self)
    }

    /// Why this test may be skipped, if it may.
    pub(super) fn reason(&self, name: &str) -> Option<&str> {
        let line = self.0.iter().find(|(glob, _)| fits(glob, name));
        line.map(|(_, reason)| reason.as_str())
    }
}

/// `*` stands for anything.
fn fits(glob: &str, name: &str) -> bool {
    match glob.split_once('*') {
        None => glob == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            let cuts = left.char_indices().map(|(at, _)| at).chain([left.len()]);
            cuts.into_iter().any(|at| fits(rest, &left[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(
            fits("*", "") && fits("a*c", "abc") && fits("a*", "a") && fits("*::x*", "a::b::xy")
        );
        assert!(!fits("a*c", "abd") && !fits("a", "ab") && !fits("", "a"));
    }

    #[test]
    fn each_line_gives_a_reason() {
        let listed = Listed::parse("# why\n\na::b*: no such device: here\n").unwrap();
        assert_eq!(listed.reason("a::bc"), Some("no such device: here"));
        assert_eq!(listed.reason("b"), None);
        assert!(Listed::parse("a::b\n").is_err());
        assert!(Listed::parse("b: half a name fits nothing\n").is_err());
    }
}
