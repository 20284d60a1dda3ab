//! `ringwall man`: the manual, from the same definitions as the help.

mod page;
mod sections;

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use super::{Cli, Context, Done};
use crate::agent::store;
use crate::api::types::{Problem, exit};

const LONG: &str = "\
Writes the manual into a directory: a page for ringwall and one for each of its commands, all in section 8. The \
package installs them.

  ringwall man ./man
  man -l ./man/ringwall-apply.8";

/// Write the manual pages into a directory.
#[derive(Debug, Args)]
#[command(long_about = LONG)]
pub(super) struct Man {
    /// The directory; it is made where it is not there.
    dir: PathBuf,
}

impl Man {
    pub(super) fn go(self, _context: &Context) -> Done {
        let cannot = |error: std::io::Error| {
            let text = format!("cannot write to {}: {error}", self.dir.display());
            Problem::new(exit::INPUT, text)
        };
        write(&self.dir).map_err(cannot)?;
        Ok(exit::DONE)
    }
}

fn write(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in pages()? {
        store::write_public(&dir.join(name), &text)?;
    }
    Ok(())
}

/// Every page: its file's name and its text.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let names: Vec<String> = all(&root).iter().map(|c| page::name(c)).collect();
    let text = |command: &&clap::Command| {
        let name = page::name(command);
        Ok((format!("{name}.8"), page::text(command, &names)?))
    };
    all(&root).iter().map(text).collect()
}

/// The command and all below it, but for those that are hidden.
fn all(command: &clap::Command) -> Vec<&clap::Command> {
    let shown = command.get_subcommands().filter(|c| !c.is_hide_set());
    std::iter::once(command)
        .chain(shown.flat_map(all))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let mut pages = pages().unwrap().into_iter();
        let (_, text) = pages.find(|(n, _)| n == name).expect(name);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_command_has_a_page_with_all_sections() {
        let pages = pages().unwrap();
        assert!(
            pages
                .iter()
                .any(|(name, _)| name == "ringwall-policy-check.8")
        );
        for (name, text) in pages {
            let text = String::from_utf8(text).unwrap();
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "ENVIRONMENT"] {
                assert!(
                    text.contains(&format!(".SH {section}\n")),
                    "{name}: {section}"
                );
            }
            for section in ["EXIT STATUS", "SEE ALSO"] {
                assert!(
                    text.contains(&format!(".SH \"{section}\"\n")),
                    "{name}: {section}"
                );
            }
        }
    }

    #[test]
    fn what_is_hidden_is_in_no_page() {
        let hidden = |c: &clap::Command| -> Vec<String> {
            let arguments = c.get_arguments().filter(|a| a.is_hide_set());
            arguments
                .filter_map(|a| a.get_long().map(str::to_owned))
                .collect()
        };
        let mut root = Cli::command();
        root.build();
        for command in all(&root) {
            for word in hidden(command) {
                let text = page(&format!("{}.8", page::name(command)));
                let word = format!("--{word}").replace('-', "\\-");
                assert!(!text.contains(&word), "{word}");
            }
        }
    }

    #[test]
    fn examples_keep_their_lines() {
        let text = page("ringwall-rollback.8");
        assert!(text.contains(".nf\nsudo ringwall rollback"), "{text}");
    }
}
