//! The section of one group of exchanges: its figures, where its time went, its pictures, its tables.

use maud::{Markup, html};

use super::{
    curves, heat,
    page::{figure, section, slug},
    path,
    stacked::{Part, bar, legend},
    tables, waterfall,
};
use crate::{
    analysis::detail::Detail,
    export::numbers::{count, counted, mean, percent, quantile},
    report::{Group, LayerRow},
};

/// The anchor of a group's section.
pub(super) fn anchor(group: &Group) -> String {
    slug(&format!("group {} {}", group.kind, group.initiator))
}

/// Its heading.
pub(super) fn title(group: &Group) -> String {
    format!("{}, asked by {}", group.kind, group.initiator)
}

/// Layers as the parts of a bar.
pub(crate) fn parts(layers: &[LayerRow]) -> Vec<Part> {
    let part = |row: &LayerRow| Part { layer: row.layer.clone(), mean_ns: row.mean_ns, share: row.share };
    layers.iter().map(part).collect()
}

/// The whole section. Without `detail` it has no pictures of single exchanges and of distributions.
pub(super) fn markup(group: &Group, detail: Option<&Detail<'_>>, duration_ns: u64) -> Markup {
    let body = html! {
        (facts(group))
        (left_out(group))
        @if group.count > 0 {
            (layers(group))
            (figure(
                "The path",
                "Mean time from hop to hop, and the time that 99 % of frames did not exceed, on the way that most took. \
                 Where exchanges took several ways, these means need not add up; those of the layers do.",
                &path::of_group(group),
            ))
            @if let Some(detail) = detail { (pictures(group, detail, duration_ns)) }
            (tables::layers(&group.layers, &format!("Layers of {}", title(group))))
            (tables::segments(&group.segments, &format!("Segments of {}", title(group))))
        }
    };
    section(&anchor(group), &title(group), &body)
}

fn facts(group: &Group) -> Markup {
    let times =
        [("p50", group.p50_ns), ("p90", group.p90_ns), ("p99", group.p99_ns), ("longest", group.max_ns)];
    html! {
        dl.facts {
            div { dt { "exchanges" } dd data-value=(group.count) { (count(group.count)) } }
            div { dt { "mean" } dd data-ns=[group.mean_ns] { (mean(group.mean_ns)) } }
            @for (word, ns) in times { div { dt { (word) } dd data-ns=[ns] { (quantile(ns)) } } }
            div { dt { "residual, mean" } dd data-ns=[group.residual_mean_ns] { (mean(group.residual_mean_ns)) } }
        }
    }
}

fn left_out(group: &Group) -> Markup {
    let Group { unanswered, ambiguous, overtaken, .. } = group;
    let mut words = Vec::new();
    if unanswered + ambiguous > 0 {
        words.push(format!(
            "Left out: {} unanswered, {} with more than one possible answer.",
            count(*unanswered),
            count(*ambiguous)
        ));
    }
    if *overtaken > 0 {
        words.push(format!(
            "In {} the driver was done with the question only after the answer.",
            count(*overtaken)
        ));
    }
    html! { @if !words.is_empty() { p.quiet { (words.join(" ")) } } }
}

fn layers(group: &Group) -> Markup {
    let parts = parts(&group.layers);
    let sum: f64 = parts.iter().map(|part| part.mean_ns).sum();
    let title = format!("Mean exchange of {} by layer", mean(group.mean_ns));
    let words = "The mean exchange, cut by what its time is charged to. The parts add up to the whole; what no layer could \
                 be charged with is the residual, a part of its own.";
    let body = html! {
        (bar(&title, &parts, sum))
        (legend(&parts))
        p.quiet { (adds_up(group, sum)) }
    };
    figure("Where the time went", words, &body)
}

/// That the parts are the whole, in words.
fn adds_up(group: &Group, sum: f64) -> String {
    let (Some(mean_ns), Some(residual)) = (group.mean_ns, group.residual_mean_ns) else {
        return String::new();
    };
    let sign = if (sum - mean_ns).abs() <= mean_ns.abs() * 0.001 { "=" } else { "≠" };
    format!(
        "Sum of layers {} {sign} mean {}. Residual (unattributed) {}, {} of the mean.",
        mean(Some(sum)),
        mean(Some(mean_ns)),
        mean(Some(residual)),
        percent(residual / mean_ns)
    )
}

fn pictures(group: &Group, detail: &Detail<'_>, duration_ns: u64) -> Markup {
    let chosen = format!(
        "Exchanges hop by hop, each bar a segment. The one near the median is that of a sample of {}, taken evenly over the \
         recording, whose total is nearest to the median of {}.",
        counted(detail.sampled as u64, "exchange"),
        quantile(group.p50_ns)
    );
    html! {
        (figure("Single exchanges", &chosen, &waterfall::all(detail)))
        (figure(
            "Latency over time",
            "Across: when exchanges began. Up: how long they took, on a log scale. Shade: how many.",
            &heat::map(detail.heat, duration_ns),
        ))
        @if group.count > 1 {
            (figure(
                "Percentiles",
                "Across: percent of exchanges, each nine as long as the one before. Up: the time that they did not \
                 exceed, on a log scale, in all and in each layer. A layer's percentile is not that of the slowest \
                 exchanges: percentiles of layers do not add up.",
                &curves::plot(detail.book),
            ))
        }
    }
}
