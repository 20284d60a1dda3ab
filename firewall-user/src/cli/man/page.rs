//! One page of the manual.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::sections;

/// `ringwall-policy-check`.
pub(super) fn name(command: &Command) -> String {
    let shown = command.get_display_name();
    shown.unwrap_or_else(|| command.get_name()).to_owned()
}

/// A command's page; `all` are the names of all pages.
pub(super) fn text(command: &Command, all: &[String]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .section("8")
        .source(format!("ringwall {}", env!("CARGO_PKG_VERSION")))
        .manual("Ringwall");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    description(command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    sections::common().to_writer(&mut page)?;
    see_also(&name(command), all).to_writer(&mut page)?;
    Ok(page)
}

/// Paragraphs as they are; lines that are indented, which are examples, each for itself.
fn description(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    for paragraph in about.split("\n\n") {
        roff.control("PP", []);
        if paragraph.starts_with("  ") {
            example(&mut roff, paragraph);
        } else {
            roff.text([roman(paragraph)]);
        }
    }
    roff
}

fn example(roff: &mut Roff, lines: &str) {
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

/// The first page names all others; each other one names it, those above and below it, and those beside it.
fn see_also(name: &str, all: &[String]) -> Roff {
    let parent = name.rsplit_once('-').map_or("", |(parent, _)| parent);
    let near = |other: &&String| {
        let beside = parent != "ringwall" && other.starts_with(&format!("{parent}-"));
        let below = other.starts_with(&format!("{name}-"));
        other.as_str() != name
            && (other.as_str() == "ringwall" || *other == parent || below || beside)
    };
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for other in all.iter().filter(near) {
        words.extend([bold(other.as_str()), roman("(8), ")]);
    }
    words.extend([bold("systemctl"), roman("(1), "), bold("nft"), roman("(8)")]);
    roff.text(words);
    roff
}
