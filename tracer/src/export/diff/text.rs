//! A comparison for people: what to beware of, what was found, the tables.

use std::io::{self, Write};

use super::words;
use crate::{
    compare::{Comparison, GroupDiff, OneSidedSegment, Row, SegmentDiff, Verdict},
    export::{
        numbers::{ABSENT, count, counted, mean, name},
        text::{paragraph, table},
    },
};

/// Writes a comparison for a terminal of so many columns.
pub(super) fn write(comparison: &Comparison, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let sides = [&comparison.base, &comparison.other];
    let longest = sides.map(|side| name(&side.name).chars().count()).into_iter().max().unwrap_or(0);
    for side in sides {
        let label = name(&side.name);
        paragraph(&format!("{label:<longest$}  "), longest + 2, &words::side(side), width, out)?;
    }
    paragraph("", 2, &format!("tested: {}", words::method(comparison)), width, out)?;
    warnings(comparison, width, out)?;
    limits(comparison, width, out)?;
    comparison.groups.iter().try_for_each(|group| write_group(comparison, group, width, out))
}

fn warnings(comparison: &Comparison, width: usize, out: &mut dyn Write) -> io::Result<()> {
    for (grave, title, mark) in [(true, "Beware", "  ! "), (false, "Notes", "  - ")] {
        let mut shown = comparison.warnings.iter().filter(|warning| warning.grave == grave).peekable();
        if shown.peek().is_some() {
            writeln!(out, "\n{title}")?;
        }
        shown.try_for_each(|warning| paragraph(mark, 4, &name(&warning.text), width, out))?;
    }
    Ok(())
}

fn limits(comparison: &Comparison, width: usize, out: &mut dyn Write) -> io::Result<()> {
    if comparison.limits.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nBounds")?;
    comparison.limits.iter().try_for_each(|row| paragraph("  ", 4, &words::limit(row), width, out))
}

fn write_group(
    comparison: &Comparison,
    group: &GroupDiff,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let [base, other] = group.exchanges.map(count);
    let [base_units, other_units] = group.units.map(|units| counted(units as u64, comparison.units.name()));
    writeln!(
        out,
        "\n{}: {base} and {other} exchanges, {base_units} and {other_units}",
        name(&group.title())
    )?;
    paragraph("  ", 2, &words::findings(group), width, out)?;
    writeln!(out)?;
    let names = [&comparison.base.name, &comparison.other.name].map(|side| name(side));
    means(&names, group, out)?;
    paragraph("  ", 4, &words::sum(group), width, out)?;
    writeln!(out)?;
    percentiles(&names, group, out)?;
    if !group.segments.is_empty() {
        writeln!(out)?;
        segments(&names, group, out)?;
    }
    one_sided(&group.one_sided, width, out)?;
    let rows = group.layers.iter().chain(group.segments.iter().map(|segment| &segment.row));
    for (doubt, names) in words::doubts(rows.chain([&group.total])) {
        let names: Vec<String> = names.iter().map(|row| name(row)).collect();
        paragraph("  ! ", 4, &format!("doubtful {}: {}", names.join(", "), name(&doubt)), width, out)?;
    }
    Ok(())
}

fn means(names: &[String; 2], group: &GroupDiff, out: &mut dyn Write) -> io::Result<()> {
    let interval = words::interval_name(group);
    let cells = group.layers.iter().chain([&group.total]).map(|row| {
        vec![
            name(&row.name),
            mean(row.mean.base_ns),
            mean(row.mean.other_ns),
            words::signed(row.mean.difference_ns),
            words::signed(row.mean.shift_ns),
            words::interval(&row.mean),
            words::p(row.p),
            words::p(row.adjusted_p),
            words::verdict(row),
        ]
    });
    let head = ["mean", &names[0], &names[1], "difference", "shift", &interval, "p", "adjusted", "verdict"];
    table::write(&head, 1, cells, out)
}

fn percentiles(names: &[String; 2], group: &GroupDiff, out: &mut dyn Write) -> io::Result<()> {
    let figures = |row: &Row| [row.p50, row.p99];
    let cells = group.layers.iter().chain([&group.total]).map(|row| {
        let each = figures(row)
            .into_iter()
            .flat_map(|it| [mean(it.base_ns), mean(it.other_ns), words::signed(it.difference_ns)]);
        [name(&row.name)].into_iter().chain(each).collect()
    });
    let of = |what: &str, side: &str| format!("{what} {side}");
    let head = [
        "layer".to_owned(),
        of("p50", &names[0]),
        names[1].clone(),
        "difference".to_owned(),
        of("p99", &names[0]),
        names[1].clone(),
        "difference".to_owned(),
    ];
    table::write(&head.each_ref().map(String::as_str), 1, cells, out)
}

fn segments(names: &[String; 2], group: &GroupDiff, out: &mut dyn Write) -> io::Result<()> {
    let cells = group.segments.iter().map(|segment| {
        let SegmentDiff { layer, row, .. } = segment;
        let adjusted =
            if row.verdict == Verdict::NotTested { ABSENT.to_owned() } else { words::p(row.adjusted_p) };
        vec![
            name(&row.name),
            name(layer),
            mean(row.mean.base_ns),
            mean(row.mean.other_ns),
            words::signed(row.mean.difference_ns),
            words::interval(&row.mean),
            adjusted,
            words::verdict(row),
        ]
    });
    let interval = words::interval_name(group);
    let head = ["segment", "layer", &names[0], &names[1], "difference", &interval, "adj. p", "verdict"];
    table::write(&head, 2, cells, out)
}

/// Segments that cannot be compared.
fn one_sided(rows: &[OneSidedSegment], width: usize, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "  segments that one side alone has, by another hook or path:")?;
    for row in rows {
        let line = format!(
            "{} → {} ({}): {} of {}'s mean",
            name(&row.from),
            name(&row.to),
            name(&row.layer),
            mean(Some(row.mean_ns)),
            name(&row.side)
        );
        paragraph("    ", 6, &line, width, out)?;
    }
    Ok(())
}
