//! The target that a session drains into: analyses each event at once, and draws from time to time.

use std::{fs::File, ops::ControlFlow, time::Duration};

use anyhow::Result;
use tracer_common::event::ABI_VERSION;

use super::{
    draw,
    keys::Ui,
    shown::{Moment, Shown, Source},
    terminal::{Input, Screen},
    view::View,
};
use crate::{
    analysis::{Analysis, Standing},
    config::LiveConfig,
    correlate::Limits,
    decode::Event,
    record::{Item, RecordWriter},
    recording::{Header, Note},
    session::{Target, Turn, create},
};

/// Frames on their way at once that there is memory for: some 4 KiB each.
const FRAMES: usize = 1 << 16;
/// What the last event may be behind the clock while more wait.
const BEHIND_NS: u64 = 250_000_000;

/// What is shown while the figures are held.
struct Held {
    view: View,
    standing: Standing,
    moment: Moment,
}

/// The view of a session.
pub struct Live {
    // Declared first, so that dropping gives the terminal back before anything else goes.
    screen: Option<Screen>,
    analysis: Analysis,
    view: View,
    source: Source,
    ui: Ui,
    held: Option<Held>,
    recorder: Option<RecordWriter<File>>,
    interval_ns: u64,
    next_ns: u64,
}

impl Live {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none, or the file to record to cannot be written.
    pub fn begin(config: &LiveConfig, header: &Header) -> Result<Live> {
        // The file first: what is wrong with it is told on a terminal that is still as it was.
        let recorder = config.output.as_deref().map(|path| create(path, header)).transpose()?;
        Ok(Live {
            screen: Some(Screen::open()?),
            analysis: Analysis::new(header, ABI_VERSION, Limits::of_frames(FRAMES)),
            view: View::new(header),
            source: Source::new(header),
            ui: Ui { window: config.window, ..Ui::default() },
            held: None,
            recorder,
            interval_ns: nanoseconds(config.interval),
            next_ns: 0,
        })
    }

    /// Does what the keys ask for; whether there was anything to do.
    fn press(&mut self) -> Result<ControlFlow<(), bool>> {
        let Some(screen) = &mut self.screen else { return Ok(ControlFlow::Break(())) };
        let mut any = false;
        for input in screen.inputs()? {
            any = true;
            if let Input::Key(key) = input
                && self.ui.press(key, self.source.vms()).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(any))
    }

    fn draw(&mut self, turn: Turn) -> Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let moment = moment(turn, self.view.newest_ns(), screen.messages());
        if !self.ui.paused {
            self.held = None;
        } else if self.held.is_none() {
            self.held = Some(Held { view: self.view.clone(), standing: self.analysis.standing(), moment });
        }
        let (view, standing, moment) = match &self.held {
            Some(Held { view, standing, moment }) => (view, standing.clone(), *moment),
            None => (&self.view, self.analysis.standing(), moment),
        };
        let names = |flow| self.analysis.flow_name(flow);
        let shown = Shown::of(&self.source, view, standing, names, &self.ui, moment);
        screen.draw(|frame, look| draw(frame, &shown, &mut self.ui, look))
    }
}

/// What is shown now: the time of the last event, while more wait than can be taken.
fn moment(turn: Turn, newest_ns: u64, messages: usize) -> Moment {
    let behind_ns = turn.now_ns.saturating_sub(newest_ns);
    if turn.more && newest_ns > 0 && behind_ns > BEHIND_NS {
        return Moment { end_ns: newest_ns, behind_ns: Some(behind_ns), messages };
    }
    Moment { end_ns: turn.now_ns, behind_ns: None, messages }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Target for Live {
    // Some hundredths of a second's work: keys are to be answered meanwhile.
    const AT_ONCE: usize = 1 << 14;
    const PATIENCE: Duration = Duration::from_millis(20);

    fn event(&mut self, event: &Event) -> Result<()> {
        self.analysis.push(Item::Event(*event), &mut self.view);
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.event(event))
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        self.analysis.push(Item::Note(note.clone()), &mut self.view);
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.note(note))
    }

    fn flush(&mut self) -> Result<()> {
        self.recorder.as_mut().map_or(Ok(()), RecordWriter::flush)
    }

    fn turn(&mut self, turn: Turn) -> Result<ControlFlow<()>> {
        let ControlFlow::Continue(any) = self.press()? else { return Ok(ControlFlow::Break(())) };
        if any || turn.now_ns >= self.next_ns {
            self.next_ns = turn.now_ns.saturating_add(self.interval_ns);
            self.draw(turn)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn ended(&mut self) {
        self.screen = None;
    }

    fn finish(mut self) -> Result<()> {
        self.recorder.as_mut().map_or(Ok(()), RecordWriter::finish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_the_ring_is_behind_and_what_is_quiet_is_not() {
        let turn = |more| Turn { now_ns: 10_000_000_000, more };
        let behind = moment(turn(true), 8_000_000_000, 0);
        assert_eq!((behind.end_ns, behind.behind_ns), (8_000_000_000, Some(2_000_000_000)));
        for (more, newest_ns) in [(false, 8_000_000_000), (true, 9_900_000_000), (true, 0)] {
            let on_time = moment(turn(more), newest_ns, 0);
            assert_eq!((on_time.end_ns, on_time.behind_ns), (10_000_000_000, None));
        }
    }
}
