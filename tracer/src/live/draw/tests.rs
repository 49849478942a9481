//! The screens of real recordings, drawn as they were live, and their figures held against the report of the same events.

use std::collections::BTreeMap;

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    analysis::{Analysis, Observer as _},
    correlate::Limits,
    live::{
        keys::{Key, Window},
        shown::{Moment, Source},
        view::{TICK_NS, View},
    },
    record::{Item, RecordReader},
    recording::Note,
    report::Report,
};

const GOLDENS: [&str; 3] = ["echo-peer", "echo-guest", "download"];

/// A recording that was played to its end.
struct Played {
    analysis: Analysis,
    view: View,
    source: Source,
    end_ns: u64,
}

impl Played {
    fn of(name: &str) -> Played {
        Played::with(name, |_| {})
    }

    fn with(name: &str, change: impl FnOnce(&mut crate::recording::Header)) -> Played {
        let path = format!("{}/../tests/data/{name}.vmhop", env!("CARGO_MANIFEST_DIR"));
        let mut reader = RecordReader::open(path).unwrap();
        let mut header = reader.header().clone();
        change(&mut header);
        let mut analysis = Analysis::new(&header, reader.abi(), Limits::default());
        let (mut view, mut first) = (View::new(&header), true);
        for item in reader.by_ref() {
            let item = item.unwrap();
            if first && matches!(item, Item::Event(_)) {
                first = false;
                view.note(&Note::warning("a device\u{1b}[31m said so"));
            }
            analysis.push(item, &mut view);
        }
        let end_ns = (view.newest_ns() / TICK_NS + 1) * TICK_NS;
        Played { analysis, view, source: Source::new(&header), end_ns }
    }

    fn shown(&self, ui: &Ui) -> Shown {
        let moment = Moment { end_ns: self.end_ns, ..Moment::default() };
        let names = |flow| self.analysis.flow_name(flow);
        Shown::of(&self.source, &self.view, self.analysis.standing(), names, ui, moment)
    }

    fn screen(&self, ui: &mut Ui, width: u16, height: u16) -> String {
        screen(&self.shown(ui), ui, width, height)
    }

    /// What is not over yet is over now, as at the end of a recording.
    fn finish(mut self) -> (Report, Shown) {
        let ui = Ui { window: Window::Long, ..Ui::default() };
        let header = self.source.clone();
        let report = self.analysis.finish(true, &mut self.view);
        let moment = Moment { end_ns: self.end_ns, ..Moment::default() };
        let names = |_| String::new();
        (report, Shown::of(&header, &self.view, crate::analysis::Standing::default(), names, &ui, moment))
    }
}

fn screen(shown: &Shown, ui: &mut Ui, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, shown, ui, Look { colour: false })).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_figures_are_those_of_the_report() {
    for name in GOLDENS {
        let (report, shown) = Played::of(name).finish();
        let figures = &shown.totals.exchanges;
        assert_eq!(
            (figures.count, figures.mean_ns),
            (report.exchanges.count, report.exchanges.mean_ns),
            "{name}"
        );
        assert!(report.exchanges.count > 0, "{name}");
        assert_near(figures.p50_ns, report.exchanges.p50_ns);
        assert_near(figures.p99_ns, report.exchanges.p99_ns);
        let layers: BTreeMap<&str, f64> =
            report.layers.iter().map(|row| (row.layer.as_str(), row.mean_ns)).collect();
        for row in &shown.layers {
            let mean_ns = layers.get(row.layer.name()).copied().unwrap_or_default();
            assert!((row.mean_ns - mean_ns).abs() < 1e-6, "{name}: {row:?}, {mean_ns}");
        }
        assert_eq!(shown.segments.len(), report.segments.len(), "{name}");
        for (row, reported) in shown.segments.iter().zip(&report.segments) {
            let same = |row: &crate::report::SegmentRow| {
                (row.way.clone(), row.from.clone(), row.to.clone(), row.count)
            };
            assert_eq!(same(row), same(reported), "{name}");
            assert_eq!((row.mean_ns, row.negative), (reported.mean_ns, reported.negative), "{name}");
            assert_near(row.p50_ns, reported.p50_ns);
            assert_near(row.p99_ns, reported.p99_ns);
        }
        let passed = shown.passed();
        let passages = &report.passages;
        assert_eq!(
            [passed.count, passed.dropped, passed.unfinished, passed.ambiguous],
            [passages.count, passages.dropped, passages.unfinished, passages.ambiguous],
            "{name}"
        );
        let slowest = shown.slowest.first().map(|row| row.total_ns);
        assert_near(slowest, report.exchanges.max_ns);
    }
}

/// Two digits of a histogram are within 1 %.
fn assert_near(shown: Option<u64>, reported: Option<u64>) {
    let (Some(shown), Some(reported)) = (shown, reported) else {
        assert_eq!(shown, reported);
        return;
    };
    assert!((shown as f64 / reported as f64 - 1.0).abs() < 0.01, "{shown} for {reported}");
}

#[test]
fn the_counts_since_the_start_are_those_of_the_report() {
    let played = Played::of("echo-guest");
    let standing = played.analysis.standing();
    let (report, _) = played.finish();
    assert!(standing.hops.iter().any(|row| row.seen > 0));
    for (row, reported) in standing.hops.iter().zip(&report.hops) {
        // The last events wait for later ones when the recording ends.
        assert!(row.seen <= reported.seen && reported.seen <= row.seen + 8, "{row:?} {reported:?}");
        assert_eq!((&row.hop, row.lost), (&reported.hop, reported.lost));
    }
}

#[test]
fn every_page_is_drawn_at_both_sizes() {
    let played = Played::of("echo-guest");
    for (width, height) in [(80, 24), (200, 50)] {
        for page in Page::ALL {
            let mut ui = Ui { page, window: Window::Long, ..Ui::default() };
            let name = format!("{}-{width}x{height}", page.name().to_lowercase());
            insta::assert_snapshot!(name, played.screen(&mut ui, width, height));
        }
    }
}

#[test]
fn a_download_is_drawn() {
    let played = Played::of("download");
    let mut ui = Ui { window: Window::Long, ..Ui::default() };
    insta::assert_snapshot!("download-80x24", played.screen(&mut ui, 80, 24));
}

#[test]
fn every_page_fits_every_size() {
    let shown = Played::of("download").shown(&Ui::default());
    for page in Page::ALL {
        for (width, height) in
            (1..=211).step_by(15).flat_map(|width| (1..=61).step_by(6).map(move |height| (width, height)))
        {
            let mut ui = Ui { page, help: width % 2 == 0, scroll: u16::MAX, ..Ui::default() };
            let drawn = screen(&shown, &mut ui, width, height);
            let small = width < SMALLEST.width || height < SMALLEST.height;
            assert_eq!(drawn.contains("vmhop live  VM"), !small, "{width}×{height}");
        }
    }
}

#[test]
fn a_terminal_that_is_too_small_is_told_how_large_to_be() {
    let drawn = Played::of("download").screen(&mut Ui::default(), 40, 10);
    assert!(drawn.contains("40×10 is too small") && drawn.contains("60×16"), "{drawn}");
}

#[test]
fn names_of_others_do_not_reach_the_terminal_as_they_are() {
    let played = Played::with("echo-guest", |header| {
        for vm in &mut header.topology.vms {
            vm.name = "evil\u{1b}[2J\u{202e}".to_owned();
        }
    });
    let mut ui = Ui { page: Page::Losses, ..Ui::default() };
    let drawn = played.screen(&mut ui, 200, 50);
    assert!(drawn.contains("VM evil\\u{1b}[2J\\u{202e}"), "{drawn}");
    assert!(drawn.contains("note: a device\\u{1b}[31m said so"), "{drawn}");
    assert!(!drawn.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn what_must_be_known_stands_on_every_page() {
    let mut shown = Played::of("echo-guest").shown(&Ui::default());
    shown.cost.lost = 1234;
    shown.moment.behind_ns = Some(2_000_000_000);
    for page in Page::ALL {
        let mut ui = Ui { page, paused: true, ..Ui::default() };
        let drawn = screen(&shown, &mut ui, 80, 24);
        let first = drawn.lines().next().unwrap();
        for part in ["BEHIND 2.00 s", "1,234 EVENTS LOST", "PAUSED"] {
            assert!(first.contains(part), "{first}");
        }
    }
}

#[test]
fn the_slowest_are_sorted_by_what_is_chosen() {
    let played = Played::of("download");
    let mut ui = Ui { window: Window::Long, page: Page::Slowest, ..Ui::default() };
    for _ in 0..9 {
        let shown = played.shown(&ui);
        let key = |row: &crate::live::shown::SlowRow| match ui.order {
            crate::live::view::Order::Total => row.total_ns,
            crate::live::view::Order::Layer(layer) => row.layers_ns[layer as usize],
        };
        assert!(shown.slowest.windows(2).all(|pair| key(&pair[0]) >= key(&pair[1])));
        assert!(shown.slowest.iter().all(|row| key(row) > 0));
        assert!(ui.press(Key::Sort, 1).is_continue());
    }
}

#[test]
fn a_quiet_host_has_a_screen_too() {
    let played = Played::of("echo-guest");
    let header = Source::clone(&played.source);
    let path = format!("{}/../tests/data/echo-guest.vmhop", env!("CARGO_MANIFEST_DIR"));
    let reader = RecordReader::open(path).unwrap();
    let view = View::new(reader.header());
    let mut ui = Ui::default();
    let standing = crate::analysis::Standing::default();
    let shown = Shown::of(&header, &view, standing, |_| String::new(), &ui, Moment::default());
    insta::assert_snapshot!("quiet-80x24", screen(&shown, &mut ui, 80, 24));
}
