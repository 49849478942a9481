//! The stacked bar: parts of a mean side by side, which are the whole.

use maud::{Markup, html};

use super::style::{layer_class, layer_label};
use crate::export::numbers::{mean, name, percent};

/// A part of the bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// The layer it is charged to.
    pub layer: String,
    /// Mean time, ns.
    pub mean_ns: f64,
    /// Share of the whole, 0 to 1.
    pub share: f64,
}

/// Where a part lies in the bar: start and length in percent of its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    /// Start.
    pub start: f64,
    /// Length.
    pub length: f64,
}

/// Places the parts one behind the other. `whole_ns` is the length of 100 %, so that bars can be compared.
pub(crate) fn stretches(parts: &[Part], whole_ns: f64) -> Vec<Stretch> {
    let mut start = 0.0;
    let place = |part: &Part| {
        let length = if whole_ns > 0.0 { 100.0 * part.mean_ns.max(0.0) / whole_ns } else { 0.0 };
        let stretch = Stretch { start, length };
        start += length;
        stretch
    };
    parts.iter().map(place).collect()
}

/// The bar. `whole_ns` is the length of 100 %: its own mean, or the longest of several that are compared.
pub(crate) fn bar(title: &str, parts: &[Part], whole_ns: f64) -> Markup {
    let words = parts
        .iter()
        .map(|part| format!("{} {}, {}", name(&part.layer), mean(Some(part.mean_ns)), percent(part.share)));
    html! {
        svg.stacked role="img" width="100%" height="56" {
            title { (name(title)) }
            desc { (words.collect::<Vec<_>>().join("; ")) }
            @for (part, stretch) in parts.iter().zip(stretches(parts, whole_ns)) {
                @if stretch.length > 0.0 { (piece(part, stretch)) }
            }
        }
    }
}

/// A part, with its name and share in it where there is room on a narrow screen too.
fn piece(part: &Part, stretch: Stretch) -> Markup {
    let class = layer_class(&part.layer);
    let (x, width) = (format!("{:.3}%", stretch.start), format!("{:.3}%", stretch.length));
    // A character takes at most 2 % of the bar's length at 400 px.
    let fits = |characters: usize| stretch.length > 2.0 * characters as f64 + 3.0;
    html! {
        svg x=(x) width=(width) height="56" {
            rect.piece class={ "f-" (class) } width="100%" height="100%" {
                title { (name(&part.layer)) ": " (mean(Some(part.mean_ns))) ", " (percent(part.share)) }
            }
            @if fits(part.layer.chars().count()) {
                text.on class={ "h-" (class) } x="50%" y="24" text-anchor="middle" { (name(&part.layer)) }
                text.on class={ "h-" (class) } x="50%" y="42" text-anchor="middle" { (percent(part.share)) }
            } @else if fits(6) {
                text.on class={ "h-" (class) } x="50%" y="33" text-anchor="middle" { (percent(part.share)) }
            }
        }
    }
}

/// What the colours and patterns of the bar are, with mean and share of each part.
pub(crate) fn legend(parts: &[Part]) -> Markup {
    html! {
        ul.legend {
            @for part in parts {
                li data-layer=(name(&part.layer)) data-ns=(part.mean_ns) data-value=(part.share) {
                    (layer_label(&part.layer)) " " b { (mean(Some(part.mean_ns))) } " " span { (percent(part.share)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(layer: &str, mean_ns: f64) -> Part {
        Part { layer: layer.to_owned(), mean_ns, share: mean_ns / 400.0 }
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let parts = [part("guest", 100.0), part("nic", 250.0), part("unattributed", 50.0)];
        let placed = stretches(&parts, 400.0);
        assert_eq!(placed.iter().map(|stretch| stretch.length).sum::<f64>(), 100.0);
        for pair in placed.windows(2) {
            assert_eq!(pair[0].start + pair[0].length, pair[1].start);
        }
    }

    #[test]
    fn a_shorter_mean_makes_a_shorter_bar() {
        let placed = stretches(&[part("guest", 100.0)], 400.0);
        assert_eq!(placed, [Stretch { start: 0.0, length: 25.0 }]);
        assert_eq!(stretches(&[part("guest", 0.0)], 0.0), [Stretch { start: 0.0, length: 0.0 }]);
    }

    #[test]
    fn a_bar_says_in_words_what_it_shows() {
        let shown = bar("Mean <echo>", &[part("vmm", 300.0), part("nic", 100.0)], 400.0).into_string();
        assert!(
            shown.contains(
                "<title>Mean &lt;echo&gt;</title><desc>vmm 300 ns, 75.0 %; nic 100 ns, 25.0 %</desc>"
            )
        );
        assert!(shown.contains(r#"role="img""#));
    }
}
