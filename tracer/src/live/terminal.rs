//! The terminal: raw mode, the other screen, keys. The one module that does I/O on it.
//!
//! Whatever ends vmhop gives the terminal back: [`Screen`] when it is dropped, a panic by a hook. Messages of the log
//! that come meanwhile would be drawn over; they wait, and are written when the terminal is as it was.

use std::{
    env, io,
    io::{IsTerminal as _, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use super::{draw::Look, keys::Key};

/// Bytes of messages that wait; what comes beyond is left out.
const MOST_BYTES: usize = 64 * 1024;
/// Keys that are read before the screen is drawn again: a cat on the keyboard stops nothing.
const AT_ONCE: usize = 64;

/// What waits for the terminal; none while it is nobody's.
static WAITING: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Whether there is a terminal to draw on.
///
/// # Errors
/// There is none.
pub fn require() -> Result<()> {
    ensure!(
        io::stdout().is_terminal(),
        "standard output is no terminal, and the view needs one to draw on: `vmhop record` needs none"
    );
    Ok(())
}

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A key.
    Key(Key),
    /// It has another size.
    Resized,
}

/// The terminal, while it is drawn on.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    look: Look,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> Result<Screen> {
        *waiting() = Some(Vec::new());
        // Its hook gives the terminal back at a panic, before the message.
        let terminal = ratatui::try_init().inspect_err(|_| release());
        let terminal = terminal.context("failed to take the terminal")?;
        Ok(Screen { terminal, look: Look { colour: has_colour() } })
    }

    /// Draws.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>, Look)) -> Result<()> {
        let look = self.look;
        self.terminal.draw(|frame| draw(frame, look)).context("failed to draw on the terminal")?;
        Ok(())
    }

    /// What has come since.
    pub(super) fn inputs(&mut self) -> Result<Vec<Input>> {
        let mut inputs = Vec::new();
        while inputs.len() < AT_ONCE && event::poll(Duration::ZERO).context("failed to read keys")? {
            match event::read().context("failed to read keys")? {
                Event::Key(key) => inputs.extend(meaning(key).map(Input::Key)),
                Event::Resize(..) => inputs.push(Input::Resized),
                _ => {}
            }
        }
        Ok(inputs)
    }

    /// Lines of messages that wait.
    pub(super) fn messages(&self) -> usize {
        waiting().as_ref().map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        release();
    }
}

/// Gives the terminal back, with the messages that waited for it. Where it is gone there is nobody to tell.
fn release() {
    let _ = ratatui::try_restore();
    if let Some(bytes) = waiting().take() {
        let _ = io::stderr().write_all(&bytes);
    }
}

/// <https://no-color.org>: any value but an empty one.
fn has_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn waiting() -> MutexGuard<'static, Option<Vec<u8>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where messages of the log go: to standard error, unless the terminal is drawn on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(waiting) = &mut *waiting() else { return io::stderr().write(bytes) };
        if waiting.len() + bytes.len() <= MOST_BYTES {
            waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What a key means.
fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c')).then_some(Key::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Esc => Key::Escape,
        KeyCode::Char('p' | ' ') => Key::Pause,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('v') => Key::Vm,
        KeyCode::Char('w') => Key::Window,
        KeyCode::Char('?' | 'h') => Key::Help,
        KeyCode::Tab | KeyCode::Right => Key::Next,
        KeyCode::BackTab | KeyCode::Left => Key::Previous,
        KeyCode::Down | KeyCode::Char('j') => Key::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Scroll(-1),
        KeyCode::PageDown => Key::Scroll(10),
        KeyCode::PageUp => Key::Scroll(-10),
        KeyCode::Char(digit @ '1'..='6') => Key::Page(digit as usize - '1' as usize),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let plain = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
        for (code, key) in [
            (KeyCode::Char('q'), Key::Quit),
            (KeyCode::Char('p'), Key::Pause),
            (KeyCode::Char('?'), Key::Help),
            (KeyCode::Tab, Key::Next),
            (KeyCode::BackTab, Key::Previous),
            (KeyCode::Char('6'), Key::Page(5)),
            (KeyCode::Down, Key::Scroll(1)),
        ] {
            assert_eq!(plain(code), Some(key));
        }
        assert_eq!(plain(KeyCode::Char('x')), None);
        let held = |code| meaning(KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL));
        assert_eq!((held('c'), held('p')), (Some(Key::Quit), None));
    }
}
