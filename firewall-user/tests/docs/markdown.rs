//! Just enough Markdown: files, fenced blocks, headings, links, and parts that are generated.

use std::path::{Path, PathBuf};

/// The project's top directory.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").to_owned()
}

/// A file's text, by its path below the top directory.
pub(crate) fn text(path: &str) -> String {
    let full = root().join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))
}

/// Every page, by its path below the top directory.
pub(crate) fn pages() -> Vec<String> {
    let mut found = Vec::new();
    let directories = [
        "",
        "docs",
        "docs/adr",
        "docs/runbooks",
        "examples",
        "examples/observability",
    ];
    for directory in directories {
        let entries = std::fs::read_dir(root().join(directory)).expect("a directory");
        let names = entries.map(|e| e.expect("an entry").file_name());
        let names = names.map(|n| n.to_string_lossy().into_owned());
        let pages = names.filter(|n| n.ends_with(".md"));
        found.extend(pages.map(|n| {
            format!("{directory}/{n}")
                .trim_start_matches('/')
                .to_owned()
        }));
    }
    found.sort();
    found
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// What follows the opening fence, such as `yaml`.
    pub(crate) info: String,
    /// The lines between the fences.
    pub(crate) body: String,
    /// Line of the opening fence, from 1.
    pub(crate) line: usize,
}

/// The fenced blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(info), false) => {
                open = true;
                let info = info.trim().to_owned();
                let (body, line) = (String::new(), index + 1);
                found.push(Block { info, body, line });
            }
            (None, true) => {
                let block = found.last_mut().expect("an open block");
                block.body.push_str(line);
                block.body.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a fence is never closed");
    found
}

/// The page with other lines between a block's fences.
pub(crate) fn with_body(page: &str, block: &Block, body: &str) -> String {
    let before = page.lines().take(block.line);
    let after = page.lines().skip(block.line + block.body.lines().count());
    let all = before.chain(body.lines()).chain(after);
    all.map(|line| format!("{line}\n")).collect()
}

/// The page without its fenced blocks.
pub(crate) fn prose(page: &str) -> String {
    let mut open = false;
    let keep = |line: &&str| {
        let fence = line.starts_with("```");
        open ^= fence;
        !open && !fence
    };
    page.lines()
        .filter(keep)
        .map(|l| format!("{l}\n"))
        .collect()
}

/// The rows of the tables of a page that come after a marker comment, as cells.
pub(crate) fn rows(page: &str, marker: &str) -> Vec<Vec<String>> {
    let after = page
        .split_once(&format!("<!-- {marker} -->"))
        .expect("the marker");
    let table = after.1.lines().skip_while(|l| !l.starts_with('|'));
    let lines = table.take_while(|l| l.starts_with('|')).skip(2);
    lines.map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    let cells = inner.split(" | ");
    cells.map(|c| c.trim().to_owned()).collect()
}

/// The text inside the first pair of backticks.
pub(crate) fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_default()
}

/// Holds what stands between the marks of a generated part against what it should be; with
/// `RINGWALL_BLESS=1` puts it there.
pub(crate) fn generated(path: &str, name: &str, wanted: &str) {
    let page = text(path);
    let (begin, end) = (
        format!("<!-- generated: {name} -->\n"),
        "<!-- /generated -->",
    );
    let (before, rest) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{path}: no {begin}"));
    let (found, after) = rest.split_once(end).expect("an end mark");
    let wanted = format!("\n{}\n\n", wanted.trim());
    rewrite_or_compare(path, found, &wanted, || {
        format!("{before}{begin}{wanted}{end}{after}")
    });
}

/// Compares a part of a page; with `RINGWALL_BLESS=1` writes the page with the part as it should be.
pub(crate) fn rewrite_or_compare(path: &str, found: &str, wanted: &str, page: impl Fn() -> String) {
    if found == wanted {
        return;
    }
    if std::env::var_os("RINGWALL_BLESS").is_some_and(|v| v == "1") {
        // By renaming, since other tests may be reading the page.
        let new = root().join(format!("{path}.new"));
        std::fs::write(&new, page()).expect("the page can be written");
        std::fs::rename(&new, root().join(path)).expect("the page can be replaced");
        return;
    }
    panic!(
        "{path} is not what the code says. If the code is right, type:\n    \
         RINGWALL_BLESS=1 cargo test -p firewall-user --test docs\n\
         found:\n{found}\nwanted:\n{wanted}"
    );
}
