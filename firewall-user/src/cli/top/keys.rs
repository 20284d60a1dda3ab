//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::panes::Top;

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It goes on.
    On,
    /// It ends.
    End,
}

/// Lines that a page has, about.
const PAGE: isize = 10;

impl Top {
    /// Does what a key says.
    pub(super) fn key(&mut self, key: KeyEvent) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Act::End;
        }
        if self.typing {
            self.type_filter(key.code);
            return Act::On;
        }
        if self.help {
            self.help = false;
            return Act::On;
        }
        match key.code {
            KeyCode::Char('q') => return Act::End,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.all_again(),
            KeyCode::Enter => self.alone = !self.alone,
            KeyCode::Tab => self.focus = (self.focus + 1) % self.panes.len(),
            KeyCode::BackTab => self.focus = (self.focus + self.panes.len() - 1) % self.panes.len(),
            KeyCode::Char(digit @ '1'..='4') => self.focus = digit as usize - '1' as usize,
            other => self.in_pane(other),
        }
        Act::On
    }

    fn in_pane(&mut self, key: KeyCode) {
        let filter = self.filter.clone();
        let Some(pane) = self.panes.get_mut(self.focus) else {
            return;
        };
        match key {
            KeyCode::Char('s') => pane.sort_on(),
            KeyCode::Char('r') => pane.reverse(),
            KeyCode::Up => pane.scroll(-1, &filter),
            KeyCode::Down => pane.scroll(1, &filter),
            KeyCode::PageUp => pane.scroll(-PAGE, &filter),
            KeyCode::PageDown => pane.scroll(PAGE, &filter),
            KeyCode::Home => pane.offset = 0,
            _ => {}
        }
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => self.all_again(),
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if !letter.is_control() => self.filter.push(letter),
            _ => {}
        }
        self.panes.iter_mut().for_each(|pane| pane.offset = 0);
    }

    fn all_again(&mut self) {
        self.typing = false;
        self.filter.clear();
    }
}
