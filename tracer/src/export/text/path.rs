//! The drawing of a frame's way through the host, with the mean time on each arrow.

use std::io::{self, Write};

use tracer_common::hop::Hop;

use crate::{
    export::numbers,
    report::{Passages, SegmentRow},
};

/// A direction, what lies before and behind the host on it, and the hops of its two halves.
struct Direction {
    label: &'static str,
    from: &'static str,
    to: &'static str,
    /// Into the host and through its virtual network.
    inward: fn(Hop) -> bool,
    /// Out of the host. A thread of the VMM can be woken on both halves.
    outward: fn(Hop) -> bool,
}

const DIRECTIONS: [Direction; 3] = [
    Direction { label: "transmit", from: "guest", to: "wire", inward: from_guest, outward: to_wire },
    Direction { label: "receive", from: "wire", to: "guest", inward: from_wire, outward: to_guest },
    Direction { label: "between", from: "guest", to: "guest", inward: from_guest, outward: to_guest },
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
        let steps = steps(segments, direction);
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

/// A segment on a direction's way: what it leads from and to, each with its half (false: inward).
type Edge<'a> = ((Hop, bool), (Hop, bool), &'a SegmentRow);

/// The way most frames took, from the earliest hop on. Turns from an answer to the next question are no part
/// of it: they lead back from the outward half.
fn steps<'a>(segments: &'a [SegmentRow], direction: &Direction) -> Vec<&'a SegmentRow> {
    let edges: Vec<Edge<'a>> =
        segments.iter().filter(|row| row.count > 0).flat_map(|row| edges(row, direction)).collect();
    // A place that nothing leads to; the earliest, should there be several or (in a circle) none.
    let led_to = |place: (Hop, bool)| edges.iter().any(|&(_, to, _)| to == place);
    let starts = edges.iter().map(|&(from, ..)| from);
    let Some(mut at) = starts.min_by_key(|&(hop, outward)| (outward, led_to((hop, outward)), hop.stage()))
    else {
        return Vec::new();
    };
    let mut passed = vec![at];
    let mut steps = Vec::new();
    let next = |at: (Hop, bool), passed: &[(Hop, bool)]| {
        let onward = edges.iter().filter(|(from, to, _)| *from == at && !passed.contains(to));
        onward.max_by_key(|(.., row)| row.count)
    };
    while let Some(&(_, to, row)) = next(at, &passed) {
        steps.push(row);
        passed.push(to);
        at = to;
    }
    steps
}

/// Where a segment can lie: inward, outward, or from the one half to the other.
fn edges<'a>(row: &'a SegmentRow, direction: &Direction) -> impl Iterator<Item = Edge<'a>> {
    let Direction { inward, outward, .. } = *direction;
    let ends = Hop::from_name(&row.from).zip(Hop::from_name(&row.to));
    let halves = ends.map(|(from, to)| {
        // Only a frame that the VMM or the NIC has handed over can leave the host.
        let crosses = inward(from) && from.stage() >= Hop::TapWrite.stage() && outward(to);
        [
            (inward(from) && inward(to)).then_some(((from, false), (to, false), row)),
            crosses.then_some(((from, false), (to, true), row)),
            (outward(from) && outward(to)).then_some(((from, true), (to, true), row)),
        ]
    });
    halves.into_iter().flatten().flatten()
}

fn draw(direction: &Direction, steps: &[&SegmentRow], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let indent = 12;
    let mut line = format!("  {:<10}{}", direction.label, direction.from);
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

fn in_network(hop: Hop) -> bool {
    matches!(hop, Hop::BridgeIn | Hop::IpIn | Hop::IpOut | Hop::BridgeOut)
}

fn from_guest(hop: Hop) -> bool {
    in_network(hop) || matches!(hop, Hop::VmmKick | Hop::VmmWake | Hop::TapWrite | Hop::TapRx)
}

fn to_wire(hop: Hop) -> bool {
    matches!(hop, Hop::NicQueue | Hop::NicXmit | Hop::NicDone)
}

fn from_wire(hop: Hop) -> bool {
    in_network(hop) || matches!(hop, Hop::NicHw | Hop::NicIrq | Hop::NicRx | Hop::NicStack)
}

fn to_guest(hop: Hop) -> bool {
    use Hop::{TapQueue, TapRing, VcpuEnter, VmmIrq, VmmRead, VmmReadEnd, VmmWake};
    matches!(hop, TapQueue | TapRing | VmmWake | VmmRead | VmmReadEnd | VmmIrq | VcpuEnter)
}
