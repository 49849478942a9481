//! What the measured figures are held against. Pure.

use serde::Serialize;

use super::{
    Measured,
    tools::{self, Row},
};

/// What retis 1.7 adds to a frame with three probes, of what ftrace adds with four tracepoints: 2,090 ns and 368 ns,
/// measured in one run of this bench's scene. A ratio, since retis cannot be installed everywhere.
const RETIS_TO_FTRACE: f64 = 2090.0 / 368.0;

/// One line of the verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What is judged.
    pub what: &'static str,
    /// What it is held against.
    pub limit: f64,
    /// Whether the figure must be at least the limit, instead of at most.
    pub at_least: bool,
    /// The figure; none where something it needs was not measured.
    pub figure: Option<f64>,
    /// Whether it keeps the limit; none without a figure.
    pub ok: Option<bool>,
}

impl Line {
    fn at_most(what: &'static str, limit: f64, figure: Option<f64>) -> Line {
        Line { what, limit, at_least: false, figure, ok: figure.map(|figure| figure <= limit) }
    }

    fn at_least(what: &'static str, limit: f64, figure: Option<f64>) -> Line {
        Line { what, limit, at_least: true, figure, ok: figure.map(|figure| figure >= limit) }
    }
}

/// All lines.
pub fn judge(measured: &Measured) -> Vec<Line> {
    let added = |name: &str| added(&measured.rows, name);
    let of = |one: &str, other: &str| Some(added(one)? / added(other)?);
    let to_retis = |name: &str| Some(of(name, tools::FTRACE)? / RETIS_TO_FTRACE);
    let ping = measured.ping.as_ref().map(|ping| (ping.summary.ratio - 1.0).abs());
    let wrong = measured.stall.as_ref().map(|stall| stall.unaccounted() as f64);
    let lost = measured.loss.as_ref().map(|loss| loss.lost() as f64);
    let strayed = measured.loss.as_ref().map(|loss| loss.unaccounted() as f64);
    let rate = measured.stall.as_ref().and_then(|stall| stall.million_records_a_second());
    let attachment = measured.attachment.as_ref().map(|it| (it.attach_ns + it.detach_ns) / 1e9);
    vec![
        Line::at_most("streaming a hop, of the floor's", 2.0, of(tools::STREAM_HOPS, tools::FLOOR_HOPS)),
        Line::at_most("histogram a hop, of the floor's", 1.7, of(tools::HISTOGRAM_HOPS, tools::FLOOR_HOPS)),
        Line::at_most("sampled 1/64 a hop, of the floor's", 1.3, of(tools::SAMPLE_HOPS, tools::FLOOR_HOPS)),
        Line::at_most(
            "histogram, five hits, of bpftrace's 4-point latency",
            1.0,
            of(tools::HISTOGRAM_FIVE, tools::BPFTRACE_FOUR),
        ),
        Line::at_most("streaming, five hits, of ftrace's", 1.5, of(tools::STREAM_FIVE, tools::FTRACE)),
        Line::at_most(
            "streaming, five hits, of retis' three probes",
            1.0 / 3.0,
            to_retis(tools::STREAM_FIVE),
        ),
        Line::at_most("events lost at full rate", 0.0, lost),
        Line::at_most("events neither seen nor lost at full rate", 0.0, strayed),
        Line::at_most("events neither seen nor lost, reader stopped", 0.0, wrong),
        Line::at_least("M records/s of the reader's CPU time", 5.0, rate),
        Line::at_most("change of ping's median round trip", 0.02, ping),
        Line::at_most("s to attach and detach everything", 1.0, attachment),
    ]
}

/// What a tool adds to a frame, ns; none where it was not measured, or adds nothing that could be measured.
fn added(rows: &[Row], name: &str) -> Option<f64> {
    rows.iter()
        .find(|row| row.name == name)?
        .summary()
        .map(|summary| summary.added)
        .filter(|added| *added > 0.0)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{loss::Flood, stats::Pair},
        *,
    };

    fn row(name: &str, added: f64) -> Row {
        let pairs = vec![Pair { without: 1000.0, with: 1000.0 + added }];
        Row { name: name.to_owned(), hits: 4, pairs, ..Row::default() }
    }

    fn find<'a>(lines: &'a [Line], what: &str) -> &'a Line {
        lines.iter().find(|line| line.what.contains(what)).unwrap()
    }

    #[test]
    fn what_was_not_measured_is_neither_kept_nor_missed() {
        assert!(judge(&Measured::default()).iter().all(|line| line.figure.is_none() && line.ok.is_none()));
    }

    #[test]
    fn a_limit_is_kept_up_to_itself() {
        let rows = vec![
            row(tools::FLOOR_HOPS, 200.0),
            row(tools::STREAM_HOPS, 400.0),
            row(tools::SAMPLE_HOPS, 261.0),
        ];
        let lines = judge(&Measured { rows, ..Measured::default() });
        assert_eq!(find(&lines, "streaming a hop").ok, Some(true));
        assert_eq!(find(&lines, "sampled").ok, Some(false));
        assert_eq!(find(&lines, "histogram a hop").ok, None);
    }

    #[test]
    fn retis_is_held_against_by_its_ratio_to_ftrace() {
        let rows = vec![row(tools::FTRACE, 368.0), row(tools::STREAM_FIVE, 2090.0 / 4.0)];
        let lines = judge(&Measured { rows, ..Measured::default() });
        let figure = find(&lines, "retis").figure.unwrap();
        assert!((figure - 0.25).abs() < 1e-9 && find(&lines, "retis").ok == Some(true), "{figure}");
    }

    #[test]
    fn a_tool_that_seems_to_cost_nothing_is_no_measure_for_others() {
        let rows = vec![row(tools::FLOOR_HOPS, -3.0), row(tools::STREAM_HOPS, 400.0)];
        assert_eq!(find(&judge(&Measured { rows, ..Measured::default() }), "streaming a hop").figure, None);
    }

    #[test]
    fn each_event_must_be_seen_or_lost() {
        let flood = |seen, lost| Flood {
            sent: 10,
            hops: vec![("tap.rx".to_owned(), seen, lost)],
            ..Flood::default()
        };
        let stall = |flood| judge(&Measured { stall: Some(flood), ..Measured::default() });
        assert_eq!(find(&stall(flood(7, 3)), "reader stopped").ok, Some(true));
        assert_eq!(find(&stall(flood(7, 4)), "reader stopped").ok, Some(false));
        assert_eq!(find(&stall(flood(7, 2)), "reader stopped").ok, Some(false));
        let lines = judge(&Measured { loss: Some(flood(7, 3)), ..Measured::default() });
        assert_eq!(find(&lines, "events lost").figure, Some(3.0));
    }
}
