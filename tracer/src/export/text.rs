//! The report for people: what to beware of, the path, where the time went, how well it was measured.
//!
//! No colour and no cursor movement: the report goes through pipes and into files. Its sections are in
//! `sections`, the drawing is in `path`.

use std::io::{self, Write};

use crate::report::Report;

pub(super) mod bill;
pub mod experiment;
pub(crate) mod path;
mod sections;
pub(super) mod table;

pub(super) use self::sections::part;

/// Writes the report for a terminal of so many columns; 100 is a good choice where there is none.
///
/// # Errors
/// The writer's.
pub fn write(report: &Report, width: usize, out: &mut dyn Write) -> io::Result<()> {
    sections::title(report, width, out)?;
    sections::warnings(report, true, width, out)?;
    if report.passages.count == 0 && report.exchanges.count == 0 {
        writeln!(out, "\nNo frame was seen.")?;
    } else {
        path::write(&report.segments, &report.passages, width, out)?;
        sections::exchanges(report, width, out)?;
    }
    sections::passages(&report.passages, out)?;
    bill::write(&report.bill, width, out)?;
    sections::hops(&report.hops, width, out)?;
    sections::nics(&report.nics, out)?;
    sections::flows(&report.flows, report.flows_left_out, out)?;
    sections::losses(&report.losses, out)?;
    sections::cost(&report.cost, out)?;
    sections::warnings(report, false, width, out)
}

/// Writes words with a hanging indent, broken at the width.
pub(super) fn paragraph(
    first: &str,
    indent: usize,
    text: &str,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, 100, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_full_report() {
        insta::assert_snapshot!(text(&sample::full()));
    }

    #[test]
    fn a_report_of_nothing() {
        insta::assert_snapshot!(text(&sample::empty()));
    }

    #[test]
    fn frames_without_exchanges_show_the_segments_of_all_passages() {
        let mut report = sample::full();
        report.exchanges = sample::empty().exchanges;
        report.layers.clear();
        insta::assert_snapshot!(text(&report));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_ends_in_a_blank() {
        for line in text(&sample::full()).lines() {
            assert!(line.chars().count() <= 100 && !line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut report = sample::full();
        report.recording.vms = vec!["\u{1b}[2Jlab".to_owned()];
        report.losses.drops[0].device = "tap\u{7}".to_owned();
        report.warnings[0].text.push('\u{1b}');
        let text = text(&report);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        assert!(text.contains("\\u{1b}[2Jlab") && text.contains("tap\\u{7}"));
    }

    #[test]
    fn frames_between_guests_have_a_way_of_their_own() {
        let mut report = sample::full();
        (report.passages.transmitted, report.passages.received, report.passages.between_guests) = (0, 0, 9);
        report.segments.retain(|row| row.way != "turn");
        let (mut rows, received) =
            report.segments.iter().cloned().partition::<Vec<_>, _>(|row| row.way == "transmit");
        rows.retain(|row| !row.from.starts_with("nic") && !row.to.starts_with("nic"));
        rows.extend(received.into_iter().filter(|row| !row.from.starts_with("nic")));
        rows.iter_mut().for_each(|row| row.way = "between".to_owned());
        report.segments = rows;
        let text = text(&report);
        let drawing: Vec<&str> =
            text.lines().skip_while(|line| !line.starts_with("  between")).take(2).collect();
        assert_eq!(
            drawing.join("\n"),
            "  between   guest ──▶ tap.write ─ 3.10 µs ▶ tap.rx ─ 1.00 µs ▶ bridge.in ─ 2.90 µs ▶ tap.queue\n            \
             ─ 700 ns ▶ tap.ring ─ 31.0 µs ▶ vmm.wake ─ 11.4 µs ▶ vmm.read ──▶ guest"
        );
    }

    #[test]
    fn any_width_will_do() {
        for width in [0, 1, 40, usize::MAX] {
            write(&sample::full(), width, &mut Vec::new()).unwrap();
        }
    }
}
