//! A terminal for programs that want one, and what they draw on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::net::{Command, Daemon, wait_until};

/// A terminal of some size with a program in its foreground.
pub struct Terminal {
    ours: File,
    /// Kept open, so that the terminal outlives the program and can be looked at.
    theirs: File,
    screen: Arc<Mutex<vt100::Parser>>,
    program: Daemon,
}

impl Terminal {
    /// Starts a program on a new terminal.
    pub fn start(command: Command, (lines, columns): (u16, u16)) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let theirs = rustix::fs::open(
            name.as_c_str(),
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size)?;
        let theirs = File::from(theirs);
        let program = command.on_terminal(&theirs)?;
        let size = |n: u16| NonZero::new(n).context("a terminal has lines and columns");
        let screen = vt100::Parser::new(size(lines)?, size(columns)?, 100);
        let screen = Arc::new(Mutex::new(screen));
        let ours = File::from(ours);
        let (from, to) = (ours.try_clone()?, Arc::clone(&screen));
        std::thread::spawn(move || draw(from, &to));
        Ok(Self {
            ours,
            theirs,
            screen,
            program,
        })
    }

    fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        at(parser.screen())
    }

    /// What stands on it.
    #[must_use]
    pub fn text(&self) -> String {
        self.look(vt100::Screen::contents)
    }

    /// Waits until a line is as somebody wants it; fails with the whole screen.
    pub fn wait_for_line(
        &self,
        patience: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let line = || {
            let text = self.text();
            text.lines().find(|line| wanted(line)).map(str::to_owned)
        };
        let found = wait_until(patience, line);
        found.with_context(|| format!("it does not come:\n{}", self.text()))
    }

    /// Waits until a text stands on it.
    pub fn wait_for(&self, patience: Duration, text: &str) -> Result<String> {
        let found = self.wait_for_line(patience, |line| line.contains(text));
        found.with_context(|| format!("`{text}`"))
    }

    /// Types.
    pub fn press(&self, keys: &str) -> Result<()> {
        Ok((&self.ours).write_all(keys.as_bytes())?)
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.program.signal(signal)?)
    }

    /// Waits until the program ends.
    pub fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let ended = wait_until(patience, || self.program.ended());
        ended.with_context(|| format!("it does not end:\n{}", self.text()))
    }

    /// Is it as a shell wants it: lines are edited and echoed, the usual screen is shown, and the cursor?
    pub fn is_given_back(&self) -> Result<bool> {
        let modes = tcgetattr(&self.theirs)?.local_modes;
        let edits = modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        let shown = || {
            let usual = self.look(|s| !s.alternate_screen() && !s.hide_cursor());
            usual.then_some(())
        };
        // What was written last may not be drawn yet.
        Ok(edits && wait_until(Duration::from_secs(1), shown).is_some())
    }
}

fn draw(mut from: File, to: &Mutex<vt100::Parser>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut parser = to.lock().unwrap_or_else(PoisonError::into_inner);
        parser.process(&buffer[..length]);
    }
}
