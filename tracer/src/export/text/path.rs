//! The drawing of a frame's way through the host, with the mean time on each arrow.

use std::io::{self, Write};

use crate::{
    export::numbers,
    latency::Way,
    report::{Passages, SegmentRow},
};

const WAYS: [Way; 3] = [Way::Transmit, Way::Receive, Way::Between];

/// What lies before a way that begins at a hop. At a queue only the host's own frames begin.
fn before(way: Way, hop: &str) -> &'static str {
    match way {
        Way::Receive if hop.starts_with("nic.") => "wire",
        Way::Receive => "host",
        _ if hop.starts_with("nic.") => "host",
        _ => "guest",
    }
}

/// What lies behind a way that ends at a hop.
fn behind(way: Way, hop: &str) -> &'static str {
    let leaves = ["nic.queue", "nic.xmit", "nic.done"].contains(&hop);
    let reaches = ["tap.queue", "tap.ring", "vmm.", "vcpu."].iter().any(|part| hop.starts_with(part));
    match way {
        Way::Transmit if leaves => "wire",
        Way::Receive | Way::Between if reaches => "guest",
        _ => "host",
    }
}

/// Draws the directions that frames took.
pub(crate) fn write(
    segments: &[SegmentRow],
    passages: &Passages,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Passages { transmitted, received, between_guests, elsewhere, .. } = passages;
    let counts = [transmitted + elsewhere, received + elsewhere, *between_guests];
    let mut blank = false;
    for (way, count) in WAYS.into_iter().zip(counts) {
        let steps = steps(segments, way);
        if count == 0 || steps.is_empty() {
            continue;
        }
        if !blank {
            writeln!(out)?;
            blank = true;
        }
        draw(way, &steps, width, out)?;
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

fn draw(way: Way, steps: &[&SegmentRow], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let indent = 12;
    let from = steps.first().map_or("", |row| before(way, &row.from));
    let to = steps.last().map_or("", |row| behind(way, &row.to));
    let mut line = format!("  {:<10}{from}", way.name());
    let first = steps.first().map(|row| format!("──▶ {}", row.from));
    let arrows = steps.iter().map(|row| format!("─ {} ▶ {}", numbers::mean(row.mean_ns), row.to));
    let last = format!("──▶ {to}");
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
