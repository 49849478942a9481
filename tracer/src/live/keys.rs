//! What the keys do to what is shown. Pure: keys come from `terminal`.

use std::ops::ControlFlow;

use super::view::Order;

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// End.
    Quit,
    /// Leave what lies above the page; where nothing does, end.
    Escape,
    /// Hold the figures, or let them go on.
    Pause,
    /// Sort the slowest by something else.
    Sort,
    /// Show the next VM.
    Vm,
    /// Take figures of another time.
    Window,
    /// Show or hide what the keys do.
    Help,
    /// The page behind this one.
    Next,
    /// The page before this one.
    Previous,
    /// The page of this number, from 0 on.
    Page(usize),
    /// Scroll by so many rows.
    Scroll(i16),
}

/// Of how long a time figures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// 2 s.
    Short,
    /// 10 s.
    #[default]
    Middle,
    /// 60 s.
    Long,
}

impl Window {
    /// All of them.
    pub const ALL: [Window; 3] = [Window::Short, Window::Middle, Window::Long];

    /// Its length.
    pub const fn seconds(self) -> u64 {
        match self {
            Window::Short => 2,
            Window::Middle => 10,
            Window::Long => 60,
        }
    }

    fn next(self) -> Window {
        match self {
            Window::Short => Window::Middle,
            Window::Middle => Window::Long,
            Window::Long => Window::Short,
        }
    }
}

/// What the screen shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The most important of everything.
    #[default]
    Overview,
    /// Each segment.
    Path,
    /// Layers over time.
    Layers,
    /// The slowest exchanges.
    Slowest,
    /// What was not measured.
    Losses,
    /// What measuring costs.
    Cost,
}

impl Page {
    /// All of them, in order.
    pub const ALL: [Page; 6] =
        [Page::Overview, Page::Path, Page::Layers, Page::Slowest, Page::Losses, Page::Cost];

    /// The name on its tab.
    pub const fn name(self) -> &'static str {
        match self {
            Page::Overview => "Overview",
            Page::Path => "Path",
            Page::Layers => "Layers",
            Page::Slowest => "Slowest",
            Page::Losses => "Losses",
            Page::Cost => "Cost",
        }
    }

    fn moved(self, by: usize) -> Page {
        Page::ALL[(self as usize + by) % Page::ALL.len()]
    }
}

/// What is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ui {
    /// The page.
    pub page: Page,
    /// Of how long a time.
    pub window: Window,
    /// Of which VM, by its number; none for all.
    pub vm: Option<usize>,
    /// What the slowest exchanges are sorted by.
    pub order: Order,
    /// Whether the figures are held.
    pub paused: bool,
    /// Whether the keys are explained.
    pub help: bool,
    /// Rows of the page that are above the screen.
    pub scroll: u16,
}

impl Ui {
    /// Does what a key asks for, where there are so many VMs; breaks off where that is to end.
    pub fn press(&mut self, key: Key, vms: usize) -> ControlFlow<()> {
        match key {
            Key::Quit => return ControlFlow::Break(()),
            Key::Escape if !self.help => return ControlFlow::Break(()),
            Key::Escape => self.help = false,
            Key::Pause => self.paused = !self.paused,
            Key::Sort => self.order = self.order.next(),
            Key::Vm => self.vm = next_vm(self.vm, vms),
            Key::Window => self.window = self.window.next(),
            Key::Help => self.help = !self.help,
            Key::Next => self.turn_to(self.page.moved(1)),
            Key::Previous => self.turn_to(self.page.moved(Page::ALL.len() - 1)),
            Key::Page(number) => self.turn_to(Page::ALL.get(number).copied().unwrap_or(self.page)),
            Key::Scroll(rows) => self.scroll = self.scroll.saturating_add_signed(rows),
        }
        ControlFlow::Continue(())
    }

    fn turn_to(&mut self, page: Page) {
        (self.page, self.scroll) = (page, 0);
    }
}

/// All, then each; where there is one, it is all.
fn next_vm(vm: Option<usize>, vms: usize) -> Option<usize> {
    let next = vm.map_or(0, |vm| vm + 1);
    (vms > 1 && next < vms).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(ui: &mut Ui, keys: &[Key]) {
        keys.iter().for_each(|key| assert!(ui.press(*key, 2).is_continue()));
    }

    #[test]
    fn pages_vms_and_windows_go_round() {
        let mut ui = Ui::default();
        for page in Page::ALL.into_iter().skip(1).chain([Page::Overview]) {
            press(&mut ui, &[Key::Scroll(3), Key::Next]);
            assert_eq!((ui.page, ui.scroll), (page, 0));
        }
        press(&mut ui, &[Key::Previous]);
        assert_eq!(ui.page, Page::Cost);
        let vms = [Some(0), Some(1), None].map(|vm| {
            press(&mut ui, &[Key::Vm]);
            ui.vm == vm
        });
        assert_eq!(vms, [true; 3]);
        let windows = [60, 2, 10].map(|seconds| {
            press(&mut ui, &[Key::Window]);
            ui.window.seconds() == seconds
        });
        assert_eq!(windows, [true; 3]);
    }

    #[test]
    fn a_single_vm_is_all_of_them() {
        let mut ui = Ui::default();
        assert!(ui.press(Key::Vm, 1).is_continue());
        assert_eq!(ui.vm, None);
    }

    #[test]
    fn escape_leaves_the_help_before_it_ends() {
        let mut ui = Ui::default();
        press(&mut ui, &[Key::Help, Key::Escape]);
        assert_eq!(ui, Ui::default());
        assert!(ui.press(Key::Escape, 1).is_break());
        assert!(ui.press(Key::Quit, 1).is_break());
    }

    #[test]
    fn nothing_scrolls_above_the_first_row_or_to_a_page_that_is_none() {
        let mut ui = Ui::default();
        press(&mut ui, &[Key::Scroll(2), Key::Scroll(-5), Key::Page(9), Key::Pause]);
        assert_eq!(ui, Ui { paused: true, ..Ui::default() });
    }
}
