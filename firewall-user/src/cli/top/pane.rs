//! A list of the screen: its lines, how they are sorted, which are seen.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::cli::output::printable;

/// What a cell is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// A number; the largest first.
    Number(f64),
    /// A text; in the order of letters.
    Text(String),
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    /// What is shown.
    pub(super) text: String,
    /// What it is sorted by.
    pub(super) key: Key,
}

impl Cell {
    /// A text. It may come from outside: nothing in it may steer the terminal.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let text = printable(text.as_ref()).replace('\n', " ");
        Self {
            key: Key::Text(text.clone()),
            text,
        }
    }

    /// A number, shortened.
    pub(super) fn number(number: f64) -> Self {
        Self {
            text: short(number),
            key: Key::Number(number),
        }
    }
}

/// `1234` as `1.2k`.
pub(super) fn short(number: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = UNITS.iter().find(|(size, _)| number >= *size);
    match unit {
        Some((size, word)) => format!("{:.1}{word}", number / size),
        None if number.fract().abs() < 0.05 => format!("{number:.0}"),
        None => format!("{number:.1}"),
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its heading.
    pub(super) title: &'static str,
    /// Its width; 0 takes what is left.
    pub(super) width: u16,
    /// Numbers stand at the right.
    pub(super) right: bool,
}

impl Column {
    pub(super) const fn text(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width,
            right: false,
        }
    }

    pub(super) const fn number(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width,
            right: true,
        }
    }
}

/// A list.
#[derive(Debug)]
pub(super) struct Pane {
    /// Its heading.
    pub(super) title: &'static str,
    /// Its columns.
    pub(super) columns: &'static [Column],
    lines: Vec<Vec<Cell>>,
    /// The column that it is sorted by.
    pub(super) sort: usize,
    /// The other way round.
    pub(super) reversed: bool,
    /// The first line that is seen.
    pub(super) offset: usize,
}

impl Pane {
    pub(super) const fn new(title: &'static str, columns: &'static [Column], sort: usize) -> Self {
        Self {
            title,
            columns,
            lines: Vec::new(),
            sort,
            reversed: false,
            offset: 0,
        }
    }

    /// Takes other lines.
    pub(super) fn fill(&mut self, lines: Vec<Vec<Cell>>) {
        self.lines = lines;
        self.arrange();
    }

    /// Sorts by the next column.
    pub(super) fn sort_on(&mut self) {
        self.sort = (self.sort + 1) % self.columns.len();
        self.reversed = false;
        self.arrange();
    }

    /// Sorts the other way round.
    pub(super) fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.arrange();
    }

    fn arrange(&mut self) {
        let (column, reversed) = (self.sort, self.reversed);
        self.lines.sort_by(|a, b| {
            let order = compare(a, b, column);
            let order = if reversed { order.reverse() } else { order };
            // Lines that are alike here keep their places from one look to the next.
            order.then_with(|| compare(a, b, 0))
        });
    }

    /// The lines with a text somewhere in them; case does not matter.
    pub(super) fn seen(&self, filter: &str) -> Vec<&Vec<Cell>> {
        let filter = filter.to_lowercase();
        let has = |line: &&Vec<Cell>| {
            let mut cells = line.iter();
            filter.is_empty() || cells.any(|cell| cell.text.to_lowercase().contains(&filter))
        };
        self.lines.iter().filter(has).collect()
    }

    /// Moves by so many lines, within the list.
    pub(super) fn scroll(&mut self, by: isize, filter: &str) {
        let last = self.seen(filter).len().saturating_sub(1);
        self.offset = self.offset.saturating_add_signed(by).min(last);
    }

    /// The lines for programs.
    pub(super) fn json(&self) -> Value {
        let value = |cell: &Cell| match &cell.key {
            Key::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                json!(*number as i64)
            }
            Key::Number(number) => json!(number),
            Key::Text(text) => json!(text),
        };
        let name = |column: &Column| column.title.to_lowercase().replace("/s", "_per_second");
        let object = |line: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(line);
            let pairs = pairs.map(|(column, cell)| (name(column), value(cell)));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        self.lines.iter().map(object).collect()
    }
}

fn compare(a: &[Cell], b: &[Cell], column: usize) -> Ordering {
    match (a.get(column).map(|c| &c.key), b.get(column).map(|c| &c.key)) {
        (Some(Key::Number(a)), Some(Key::Number(b))) => b.total_cmp(a),
        (Some(Key::Text(a)), Some(Key::Text(b))) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
