//! The terminal while it is ours. It is given back however this ends: by a key, a signal or a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};
use tokio::signal::unix::{SignalKind, signal};

pub(super) struct Terminal {
    screen: DefaultTerminal,
    ended: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal over. That also sees to it that a panic gives it back before it is told.
    pub(super) fn take() -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        watch_signals(Arc::clone(&ended))?;
        Ok(Self {
            screen: ratatui::try_init()?,
            ended,
        })
    }

    pub(super) fn draw(&mut self, with: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.screen.draw(with).map(drop)
    }

    /// The next key, if one comes in time.
    pub(super) fn key(&self, patience: Duration) -> io::Result<Option<KeyEvent>> {
        if !event::poll(patience)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Some(key),
            _ => None,
        })
    }

    /// Somebody asked for the end by a signal.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Notes the signals that would end us with the screen still taken.
fn watch_signals(ended: Arc<AtomicBool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let inside = runtime.enter();
    let kinds = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ];
    let [mut terminate, mut hangup, mut interrupt] = match kinds.map(signal) {
        [Ok(a), Ok(b), Ok(c)] => [a, b, c],
        _ => return Err(io::Error::other("signals cannot be watched")),
    };
    drop(inside);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        ended.store(true, Ordering::Relaxed);
    });
    Ok(())
}
