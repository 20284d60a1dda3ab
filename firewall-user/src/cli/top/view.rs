//! Drawing.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table};

use super::pane::{Cell, Column, Pane};
use super::panes::Top;
use crate::cli::output::printable;

/// Below this nothing can be read.
const LEAST: (u16, u16) = (60, 16);

const HELP: &str = "\
Tab, 1 to 4   the next list, or one of them
Enter         that list alone, and back
s             sort by the next column
r             the other way round
/             only lines with a text in them
Esc           all lines again
arrows, PgUp, PgDn, Home   move in a list
p, space      pause, and go on
q, Ctrl-C     end

any key goes on";

/// Draws all.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, colour: bool) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("`top` needs {} columns and {} lines", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [head, notice, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(state(top)).style(strong()), head);
    frame.render_widget(Paragraph::new(trouble(top, colour)), notice);
    if top.alone {
        pane(frame, body, top, top.focus, colour);
    } else {
        all(frame, body, top, colour);
    }
    frame.render_widget(Paragraph::new(keys(top)), foot);
    if top.help {
        help(frame, area);
    }
}

fn all(frame: &mut Frame<'_>, body: Rect, top: &mut Top, colour: bool) {
    let thirds = [Constraint::Ratio(1, 3); 3];
    let [upper, middle, lower] = Layout::vertical(thirds).areas(body);
    let sides = [Constraint::Percentage(65), Constraint::Percentage(35)];
    let [left, right] = Layout::horizontal(sides).spacing(2).areas(upper);
    for (index, area) in [(0, left), (2, right), (1, middle), (3, lower)] {
        pane(frame, area, top, index, colour);
    }
}

const fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// The first line: what is enforced, and how full the tables are.
fn state(top: &Top) -> String {
    let policy = top.status.policy.as_ref().map_or_else(
        || "no policy".to_owned(),
        |policy| format!("{} r{}", printable(&policy.name), policy.revision),
    );
    let sessions = &top.status.sessions;
    let paused = if top.paused { "   PAUSED" } else { "" };
    format!(
        "ringwall  {}  {policy}  sessions {}/{}  half-open {}/{}{paused}",
        top.status.mode,
        sessions.open,
        sessions.capacity,
        sessions.half_open,
        sessions.half_open_capacity
    )
}

/// The second line: why there is nothing new, else the first warning.
fn trouble(top: &Top, colour: bool) -> Line<'static> {
    let warning = top.status.warnings.first();
    let text = top.trouble.as_ref().or(warning);
    let text = text.map_or_else(String::new, |text| printable(text).replace('\n', " "));
    let red = Style::new().fg(Color::Red);
    Line::styled(text, if colour { red } else { strong() })
}

fn keys(top: &Top) -> Line<'static> {
    if top.typing {
        let end = Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED));
        return Line::from(vec![Span::raw(format!("show only: {}", top.filter)), end]);
    }
    let filter = match top.filter.as_str() {
        "" => String::new(),
        filter => format!("only \"{filter}\" (Esc: all)  "),
    };
    Line::raw(format!(
        "{filter}Tab list  Enter alone  s sort  r reverse  / filter  p pause  ? keys  q end"
    ))
}

fn pane(frame: &mut Frame<'_>, area: Rect, top: &mut Top, index: usize, colour: bool) {
    let (focus, filter) = (top.focus == index, top.filter.clone());
    let Some(pane) = top.panes.get_mut(index) else {
        return;
    };
    let lines = pane.seen(&filter);
    let count = lines.len();
    let offset = pane.offset.min(count.saturating_sub(1));
    let rows = lines.into_iter().skip(offset).take(area.height as usize);
    let rows: Vec<Row<'_>> = rows.map(|line| row(pane.columns, line)).collect();
    let widths = pane.columns.iter().map(|column| match column.width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let table = Table::new(rows, widths)
        .header(header(pane))
        .block(frame_of(pane, index, count, focus, colour));
    frame.render_widget(table, area);
    pane.offset = offset;
}

fn frame_of(pane: &Pane, index: usize, count: usize, focus: bool, colour: bool) -> Block<'static> {
    let title = format!(" {} {} ({count}) ", index + 1, pane.title);
    let block = Block::new().borders(Borders::TOP).title(title);
    match (focus, colour) {
        (true, true) => block
            .style(Style::new())
            .border_style(strong().fg(Color::Cyan)),
        (true, false) => block.border_style(strong().add_modifier(Modifier::REVERSED)),
        (false, _) => block,
    }
}

fn header(pane: &Pane) -> Row<'static> {
    let titles = pane.columns.iter().enumerate().map(|(number, column)| {
        let mark = match (number == pane.sort, pane.reversed) {
            (false, _) => "",
            (true, false) => "*",
            (true, true) => "^",
        };
        aligned(format!("{}{mark}", column.title), column)
    });
    Row::new(titles).style(Style::new().add_modifier(Modifier::UNDERLINED))
}

fn row<'l>(columns: &[Column], line: &'l [Cell]) -> Row<'l> {
    let cells = columns.iter().zip(line);
    Row::new(cells.map(|(column, cell)| aligned(cell.text.as_str(), column)))
}

fn aligned<'t>(text: impl Into<Text<'t>>, column: &Column) -> Text<'t> {
    let side = if column.right {
        Alignment::Right
    } else {
        Alignment::Left
    };
    text.into().alignment(side)
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (54, 14);
    let area = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" keys ");
    frame.render_widget(Paragraph::new(HELP).block(block), area);
}
