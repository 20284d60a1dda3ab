//! YAML text as a tree that remembers where everything stands. The tree keeps scalars as written (a port
//! is not a float, a date not a string of another kind); [`super::walk`] gives them meaning.

use serde_saphyr::granit_parser::{
    self, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag,
};

use crate::policy::diagnostic::Report;
use crate::policy::model::Span;

/// More values than any policy needs (long lists belong in list files), few enough to hold in memory.
const MAX_NODES: usize = 2_000_000;
/// Deeper than any policy nests, shallow enough for recursion over the tree (aliases counted as expanded).
const MAX_DEPTH: usize = 64;
/// Rounds of repair after a stray `@`, so that one habit does not hide the other errors of a file.
const MAX_REPAIRS: usize = 50;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its place.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text; `plain` where it stands without quotes.
    Scalar {
        /// After escapes.
        text: String,
        /// Not in quotes.
        plain: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// Keys and values in order, duplicates included.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Is it nothing at all: an absent value, `~` or `null`?
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Its text, if it is a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A word for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// How many values it holds, itself included, and how deep they nest.
    fn measure(&self) -> (usize, usize) {
        let join = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1.max(b.1));
        let (size, depth) = match &self.kind {
            Kind::Scalar { .. } => (0, 0),
            Kind::Seq(items) => items.iter().map(Self::measure).fold((0, 0), join),
            Kind::Map(items) => items
                .iter()
                .map(|(k, v)| join(k.measure(), v.measure()))
                .fold((0, 0), join),
        };
        (size + 1, depth + 1)
    }
}

/// The one document of a text, none of an empty one; errors go to the report.
pub fn parse(file: usize, text: &str, report: &mut Report<'_>) -> Option<Node> {
    let mut text = std::borrow::Cow::Borrowed(text.trim_start_matches('\u{feff}'));
    for _ in 0..MAX_REPAIRS {
        let error = match Builder::new(file, report).build(&text) {
            Ok(node) => return node,
            Err(error) => error,
        };
        let at = *error.marker();
        syntax_error(file, &error, &text, report);
        let repaired = replace_at_sign(&text, at)?;
        text = repaired.into();
    }
    None
}

fn syntax_error(file: usize, error: &ScanError, text: &str, report: &mut Report<'_>) {
    let span = place(file, *error.marker());
    let rest = rest_at(text, *error.marker());
    if let Some(name) = rest.strip_prefix('@') {
        let name = name
            .split([',', ' ', ']', '}', '\n'])
            .next()
            .unwrap_or_default();
        let message = format!("`@{name}`: a set is named by its bare name");
        return report.error_help(span, "syntax", message, format!("write `{name}`"));
    }
    if let Some(span) = tab_near(text, span) {
        let message = "this is not YAML: a tab where the indent is";
        let help = "indent with spaces: YAML takes no tabs";
        return report.error_help(span, "syntax", message, help);
    }
    let message = format!("this is not YAML: {}", error.info());
    match syntax_help(rest).or_else(|| colon_help(&message)) {
        Some(help) => report.error_help(span, "syntax", message, help),
        None => report.error(span, "syntax", message),
    }
}

/// A tab in the indent of the line of a fault, or, since the scanner may notice it only later or stop before it, of
/// the line after it or the last one before it that is not empty.
fn tab_near(text: &str, fault: Span) -> Option<Span> {
    let lines: Vec<&str> = text.lines().take(fault.line + 1).collect();
    let tab = |line: usize| {
        let text = lines.get(line.checked_sub(1)?)?;
        let indent = text.len() - text.trim_start().len();
        let column = text.get(..indent)?.find('\t')? + 1;
        let span = Span {
            line,
            column,
            ..fault
        };
        (!text.trim().is_empty()).then_some(span)
    };
    let full = |line: &usize| {
        let text = lines.get(line.saturating_sub(1));
        text.is_some_and(|text| !text.trim().is_empty())
    };
    let before = (1..fault.line).rev().find(full);
    tab(fault.line)
        .or_else(|| tab(fault.line + 1))
        .or_else(|| tab(before?))
}

/// Advice for the usual ways to leave YAML.
fn syntax_help(rest: &str) -> Option<&'static str> {
    match rest.chars().next() {
        Some('*' | '&' | '%' | '`' | '?' | '|' | '>') => {
            Some("put a word that begins with this character in quotes: \"*\"")
        }
        _ => None,
    }
}

/// `sources: fe80::` and `reason: see: above`.
fn colon_help(message: &str) -> Option<&'static str> {
    let colon = message.contains("mapping values are not allowed");
    colon.then_some("put text that holds `: ` or ends in a colon, such as \"fe80::\", in quotes")
}

fn rest_at(text: &str, marker: Marker) -> &str {
    marker
        .byte_offset()
        .and_then(|offset| text.get(offset..))
        .unwrap_or_default()
}

/// The text with the `@` at the marker made a letter, so that reading can go on.
fn replace_at_sign(text: &str, marker: Marker) -> Option<String> {
    let offset = marker.byte_offset()?;
    let rest = text.get(offset..)?.strip_prefix('@')?;
    Some(format!("{}x{rest}", text.get(..offset)?))
}

fn place(file: usize, marker: Marker) -> Span {
    Span {
        file,
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// A list or mapping not closed yet.
enum Open {
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Builder<'r, 't> {
    file: usize,
    report: &'r mut Report<'t>,
    open: Vec<(Span, usize, Open)>,
    anchors: std::collections::HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    alias_depth: usize,
    extra: bool,
}

impl<'r, 't> Builder<'r, 't> {
    fn new(file: usize, report: &'r mut Report<'t>) -> Self {
        Self {
            file,
            report,
            open: Vec::new(),
            anchors: std::collections::HashMap::new(),
            root: None,
            nodes: 0,
            alias_depth: 0,
            extra: false,
        }
    }

    fn build(mut self, text: &str) -> Result<Option<Node>, ScanError> {
        let options = granit_parser::options! { emit_comments: false };
        for step in Parser::<StrInput<'_>>::new_from_str_with_options(text, options) {
            let (event, span) = step?;
            let at = place(self.file, span.start);
            let tag_at = span.tag_start().map_or(at, |mark| place(self.file, mark));
            self.tag(event.tag(), tag_at);
            self.event(event, at);
            if self.nodes > MAX_NODES || self.open.len() + self.alias_depth > MAX_DEPTH {
                self.too_large(at);
                return Ok(None);
            }
        }
        Ok(self.root)
    }

    fn event(&mut self, event: Event<'_>, at: Span) {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                self.add(at, Kind::Scalar { text, plain }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push((at, anchor, Open::Seq(Vec::new())));
            }
            Event::MappingStart(_, anchor, _) => {
                let map = Open::Map(Vec::new(), None);
                self.open.push((at, anchor, map));
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, at),
            _ => {}
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some((at, anchor, Open::Seq(items))) => self.add(at, Kind::Seq(items), anchor),
            Some((at, anchor, Open::Map(items, _))) => self.add(at, Kind::Map(items), anchor),
            None => {}
        }
    }

    fn add(&mut self, span: Span, kind: Kind, anchor: usize) {
        let node = Node { span, kind };
        self.nodes += 1;
        if anchor != 0 {
            self.nodes += node.measure().0;
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node);
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            Some((_, _, Open::Seq(items))) => items.push(node),
            Some((_, _, Open::Map(items, key))) => match key.take() {
                Some(key) => items.push((key, node)),
                None => *key = Some(node),
            },
            None if self.root.is_none() => self.root = Some(node),
            None => self.second_document(node.span),
        }
    }

    fn alias(&mut self, id: usize, at: Span) {
        let Some(target) = self.anchors.get(&id) else {
            return self
                .report
                .error(at, "syntax", "an anchor cannot contain itself");
        };
        let (size, depth) = target.measure();
        self.nodes += size;
        self.alias_depth = depth;
        if self.nodes <= MAX_NODES && self.open.len() + depth <= MAX_DEPTH {
            self.alias_depth = 0;
            let kind = target.kind.clone();
            self.put(Node { span: at, kind });
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, at: Span) {
        let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) else {
            return;
        };
        let message = format!(
            "`{}` is a YAML tag, which has no meaning here",
            tag.original()
        );
        let help = "a set is named by its bare name; to take addresses away use `except_sources` or `except_destinations`";
        self.report.error_help(at, "syntax", message, help);
    }

    fn second_document(&mut self, at: Span) {
        if !std::mem::replace(&mut self.extra, true) {
            let message = "a second YAML document: a file holds one";
            let help = "put it into a file of its own and name the directory";
            self.report.error_help(at, "syntax", message, help);
        }
    }

    fn too_large(&mut self, at: Span) {
        let message = format!(
            "more than {MAX_NODES} values in one file, or more than {MAX_DEPTH} inside each other"
        );
        let help = "keep long address lists in list files: `sets: {name: {file: lists/name.txt}}`";
        self.report.error_help(at, "too-large", message, help);
    }
}
