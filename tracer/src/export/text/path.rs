//! The drawing of a frame's way through the host, with the mean time on each arrow.

use std::io::{self, Write};

use crate::{
    export::numbers,
    latency::Way,
    report::{Passages, SegmentRow},
};

/// A way through the host, and what lies before and behind the host on it.
struct Direction {
    way: Way,
    from: &'static str,
    to: &'static str,
}

const DIRECTIONS: [Direction; 3] = [
    Direction { way: Way::Transmit, from: "guest", to: "wire" },
    Direction { way: Way::Receive, from: "wire", to: "guest" },
    Direction { way: Way::Between, from: "guest", to: "guest" },
];

/// Draws the directions that frames took.
pub(super) fn write(
    segments: &[SegmentRow],
    passages: &Passages,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let counts = [passages.transmitted, passages.received, passages.between_guests];
    let mut blank = false;
    for (direction, count) in DIRECTIONS.iter().zip(counts) {
        let steps = steps(segments, direction.way);
        if count == 0 || steps.is_empty() {
            continue;
        }
        if !blank {
            writeln!(out)?;
            blank = true;
        }
        draw(direction, &steps, width, out)?;
    }
    Ok(())
}

/// The way most frames took: from the hop at which most began, always to the hop that most went on to.
pub(crate) fn steps(segments: &[SegmentRow], way: Way) -> Vec<&SegmentRow> {
    let on_way = |row: &&SegmentRow| row.count > 0 && row.way == way.name();
    let rows: Vec<&SegmentRow> = segments.iter().filter(on_way).collect();
    let leaving = |hop: &str| rows.iter().filter(|row| row.from == hop).map(|row| row.count).sum::<u64>();
    let arriving = |hop: &str| rows.iter().filter(|row| row.to == hop).map(|row| row.count).sum::<u64>();
    let begun = |hop: &str| leaving(hop).saturating_sub(arriving(hop));
    // Rows come in the order of the way: of several such hops the first.
    let Some(start) = rows.iter().rev().map(|row| row.from.as_str()).max_by_key(|hop| begun(hop)) else {
        return Vec::new();
    };
    let mut passed = vec![start];
    let mut steps = Vec::new();
    let next = |at: &str, passed: &[&str]| {
        let onward = rows.iter().filter(|row| row.from == at && !passed.contains(&row.to.as_str()));
        onward.max_by_key(|row| row.count).copied()
    };
    while let Some(row) = passed.last().and_then(|at| next(at, &passed)) {
        steps.push(row);
        passed.push(&row.to);
    }
    steps
}

fn draw(direction: &Direction, steps: &[&SegmentRow], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let indent = 12;
    let mut line = format!("  {:<10}{}", direction.way.name(), direction.from);
    let first = steps.first().map(|row| format!("──▶ {}", row.from));
    let arrows = steps.iter().map(|row| format!("─ {} ▶ {}", numbers::mean(row.mean_ns), row.to));
    let last = format!("──▶ {}", direction.to);
    for piece in first.into_iter().chain(arrows).chain([last]) {
        if line.chars().count() + 1 + piece.chars().count() > width {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
            line.push_str(&piece);
        } else {
            line.push(' ');
            line.push_str(&piece);
        }
    }
    writeln!(out, "{line}")
}
