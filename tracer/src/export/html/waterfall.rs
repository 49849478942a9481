//! Single exchanges, hop by hop: each segment is a bar on a line of time from the question's first hop to the answer's
//! last.

use maud::{Markup, html};

use super::{
    axis::{anchor, linear_ticks, percent, tick},
    style::{layer_class, layer_label},
};
use crate::{
    analysis::detail::{Detail, OneExchange, Piece, SLOWEST},
    export::numbers::{name, time},
};

/// The shortest bar, percent: what took next to no time is there all the same.
const SHORTEST: f64 = 0.35;
/// What the slowest are called.
const RANKS: [&str; SLOWEST] =
    ["Slowest", "Second slowest", "Third slowest", "Fourth slowest", "Fifth slowest"];

/// The exchange near the median and the slowest ones; those that say most are open.
pub(super) fn all(detail: &Detail<'_>) -> Markup {
    html! {
        @if let Some(exchange) = &detail.near_median { (one("Near the median", exchange, true)) }
        @for (at, exchange) in detail.slowest.iter().enumerate() {
            (one(RANKS[at.min(SLOWEST - 1)], exchange, at == 0))
        }
    }
}

fn one(title: &str, exchange: &OneExchange, open: bool) -> Markup {
    html! {
        details.exchange open[open] {
            summary {
                b { (title) ": " (time(exchange.total_ns as f64)) }
                " " span.quiet { "began " (time(exchange.at_ns as f64)) " into the recording" }
            }
            ol.waterfall data-total=(exchange.total_ns) {
                li.scale aria-hidden="true" { span {} (scale(exchange.total_ns)) span {} }
                @for piece in &exchange.segments { (bar(piece, exchange.total_ns)) }
            }
        }
    }
}

/// The line of time above the bars.
fn scale(total_ns: u64) -> Markup {
    html! {
        svg width="100%" height="18" {
            @for (at, ns) in linear_ticks(total_ns).into_iter().enumerate() {
                @let place = place(ns, total_ns);
                line.grid x1=(percent(place)) x2=(percent(place)) y1="13" y2="18" {}
                @if place < 97.0 {
                    text.axis.wide[at % 2 == 1] x=(percent(place)) y="11"
                        text-anchor=(anchor(place)) { (tick(ns as f64)) }
                }
            }
        }
    }
}

fn bar(piece: &Piece, total_ns: u64) -> Markup {
    let layer = piece.layer.name();
    let length = place(piece.length_ns, total_ns).max(SHORTEST);
    let start = place(piece.start_ns, total_ns).min(100.0 - length);
    html! {
        li {
            span.what { (name(&piece.from)) " → " (name(&piece.to)) " " small { (layer_label(layer)) } }
            svg aria-hidden="true" focusable="false" width="100%" height="16" {
                @for ns in linear_ticks(total_ns) {
                    @let place = percent(place(ns, total_ns));
                    line.grid x1=(place) x2=(place) y1="0" y2="16" {}
                }
                rect.piece.{ "f-" (layer_class(layer)) } x=(percent(start)) width=(percent(length))
                    y="1" height="14" rx="2" {}
            }
            span.number { (time(piece.length_ns as f64)) }
        }
    }
}

fn place(ns: u64, total_ns: u64) -> f64 {
    if total_ns == 0 { 0.0 } else { 100.0 * (ns as f64 / total_ns as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Layer, Way};

    #[test]
    fn a_bar_stays_on_its_line_whatever_the_stamps_say() {
        for (start_ns, length_ns, total_ns) in [(0, 0, 0), (10, 1, 10), (5, 1_000, 10), (u64::MAX, 1, 1)] {
            let (from, to) = ("<a>".to_owned(), "b".to_owned());
            let piece = Piece { way: Way::Turn, from, to, layer: Layer::Vmm, start_ns, length_ns };
            let shown = bar(&piece, total_ns).into_string();
            let number = |attribute: &str| {
                let rect = shown.split("<rect class=\"piece").nth(1).unwrap();
                let value = rect.split(attribute).nth(1).unwrap().split('%').next().unwrap();
                value.parse::<f64>().unwrap()
            };
            let (start, length) = (number(" x=\""), number(" width=\""));
            assert!(start >= 0.0 && length > 0.0 && start + length <= 100.01, "{shown}");
            assert!(shown.contains("&lt;a&gt; → b"), "{shown}");
        }
    }
}
