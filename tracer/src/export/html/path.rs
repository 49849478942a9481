//! The path drawing: hops as boxes in the order of the way, the time from one to the next on each arrow. It is a list of
//! steps, so that it wraps, stands upright on a narrow screen, and is read out in order.

use maud::{Markup, html};

use super::style::layer_class;
use crate::{
    export::{
        numbers::{mean, name, quantile},
        text::path::steps,
    },
    latency::Way,
    report::{Group, SegmentRow},
};

/// One line of the drawing.
struct Lane<'a> {
    title: &'static str,
    from: &'static str,
    to: &'static str,
    steps: Vec<&'a SegmentRow>,
}

/// The way of a group's question, the turn, and the way of its answer.
pub(super) fn of_group(group: &Group) -> Markup {
    let ((asking, from, to), answering) = match group.initiator.as_str() {
        "guest" => ((Way::Transmit, "guest", "wire"), Some((Way::Receive, "wire", "guest"))),
        "guest to host" => ((Way::Transmit, "guest", "host"), Some((Way::Receive, "host", "guest"))),
        "peer" => ((Way::Receive, "wire", "guest"), Some((Way::Transmit, "guest", "wire"))),
        "host to peer" => ((Way::Transmit, "host", "wire"), Some((Way::Receive, "wire", "host"))),
        "peer to host" => ((Way::Receive, "wire", "host"), Some((Way::Transmit, "host", "wire"))),
        "host" => ((Way::Receive, "host", "guest"), Some((Way::Transmit, "guest", "host"))),
        _ => ((Way::Between, "guest", "guest"), None),
    };
    let title = if answering.is_some() { "Question" } else { "Question, and answer likewise" };
    let mut lanes = vec![Lane { title, from, to, steps: steps(&group.segments, asking) }];
    let turns = group.segments.iter().filter(|row| row.way == Way::Turn.name() && row.count > 0);
    let turn = turns.max_by_key(|row| row.count);
    lanes.push(Lane {
        title: "From question to answer",
        from: "",
        to: "",
        steps: turn.into_iter().collect(),
    });
    if let Some((way, from, to)) = answering {
        lanes.push(Lane { title: "Answer", from, to, steps: steps(&group.segments, way) });
    }
    drawing(&lanes)
}

/// The ways of all passages, where there is no exchange.
pub(super) fn of_passages(segments: &[SegmentRow]) -> Markup {
    let lane = |title, way, from, to| Lane { title, from, to, steps: steps(segments, way) };
    drawing(&[
        lane("Out of the guest", Way::Transmit, "guest", "wire"),
        lane("To the guest", Way::Receive, "wire", "guest"),
        lane("Between guests", Way::Between, "guest", "guest"),
    ])
}

fn drawing(lanes: &[Lane<'_>]) -> Markup {
    html! {
        div.lanes {
            @for lane in lanes {
                @if let Some(first) = lane.steps.first() {
                    p.lane-title { (lane.title) }
                    ol.path {
                        @if !lane.from.is_empty() { li.end { (lane.from) } li.passing aria-hidden="true" {} }
                        li.hop { (name(&first.from)) }
                        @for step in &lane.steps { (arrow(step)) li.hop { (name(&step.to)) } }
                        @if !lane.to.is_empty() { li.passing aria-hidden="true" {} li.end { (lane.to) } }
                    }
                }
            }
        }
    }
}

fn arrow(step: &SegmentRow) -> Markup {
    let class = layer_class(&step.layer);
    html! {
        li.arrow.{ "a-" (class) } data-key=(name(&key(step))) data-ns=[step.mean_ns] {
            span.layer-name { (name(&step.layer)) }
            b { (mean(step.mean_ns)) }
            small { "p99 " (quantile(step.p99_ns)) }
        }
    }
}

/// What tells a segment from others of its report or group.
pub(super) fn key(row: &SegmentRow) -> String {
    format!("{}|{}|{}", row.way, row.from, row.to)
}
