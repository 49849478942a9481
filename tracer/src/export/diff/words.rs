//! Words and figures that the formats of a comparison share.

use crate::{
    compare::{
        Comparison, Figures, GroupDiff, LimitRow, Row, SideRow, Threshold, Units, Verdict,
        judge::{OF_BLOCKS, OF_ROW},
        rank::CONFIDENCE,
    },
    export::numbers::{ABSENT, counted, mean, name, time},
};

/// A difference with its sign.
pub(super) fn signed(ns: Option<f64>) -> String {
    match ns {
        Some(ns) if ns > 0.0 && ns.is_finite() => format!("+{}", time(ns)),
        Some(ns) => time(ns),
        None => ABSENT.to_owned(),
    }
}

/// An interval.
pub(super) fn interval(figures: &Figures) -> String {
    match (figures.low_ns, figures.high_ns) {
        (Some(low), Some(high)) => format!("{} … {}", signed(Some(low)), signed(Some(high))),
        _ => ABSENT.to_owned(),
    }
}

/// A probability, to two digits.
pub(super) fn p(value: Option<f64>) -> String {
    match value {
        None => ABSENT.to_owned(),
        Some(p) if p < 0.0001 => "<0.0001".to_owned(),
        Some(p) if p < 0.1 => format!("{p:.4}"),
        Some(p) => format!("{p:.2}"),
    }
}

/// What follows from a row.
pub(super) fn verdict(row: &Row) -> String {
    let doubtful = row.verdict == Verdict::Found && !row.doubts.is_empty();
    format!("{}{}", row.verdict.words(), if doubtful { ", doubtful" } else { "" })
}

/// `+1.02 ms (nic), −30 µs (vmm; doubtful)`, or that nothing was found.
pub(super) fn findings(group: &GroupDiff) -> String {
    let rows = group.layers.iter().filter(|row| row.verdict == Verdict::Found);
    let found: Vec<String> = rows
        .map(|row| {
            let doubtful = if row.doubts.is_empty() { "" } else { "; doubtful" };
            format!("{} ({}{doubtful})", signed(row.mean.shift_ns), name(&row.name))
        })
        .collect();
    let margin = time(group.margin_ns);
    if group.layers.iter().any(|row| row.verdict == Verdict::TooFew) {
        return "nothing can be found: too few to tell a shift from chance".to_owned();
    }
    let mut said = match found.len() {
        0 => {
            format!(
                "nothing found at {}: of no layer a shift beyond {margin} was shown",
                percent_of(CONFIDENCE)
            )
        }
        _ => format!("found: {}", found.join(", ")),
    };
    if group.total.verdict == Verdict::Found {
        said.push_str(&format!("; the whole exchange {}", signed(group.total.mean.shift_ns)));
    }
    said
}

/// What the intervals of a group are called. Those that have more than was asked for are not told apart.
pub(super) fn interval_name(group: &GroupDiff) -> String {
    format!("{} interval", percent_of(group.confidence.min(CONFIDENCE)))
}

/// A share without decimals where it has none.
pub(super) fn percent_of(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.005 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// One side in a line.
pub(super) fn side(side: &SideRow) -> String {
    let exchanges: u64 = side.runs.iter().map(|run| run.exchanges).sum();
    let machines: Vec<String> = side
        .runs
        .iter()
        .map(|run| format!("{}, Linux {}", name(&run.host), name(&run.kernel)))
        .fold(Vec::new(), |mut seen, machine| {
            if !seen.contains(&machine) {
                seen.push(machine);
            }
            seen
        });
    let names = match &*side.runs {
        [] => String::new(),
        [only] => format!(" {}", name(&only.name)),
        [first, .., last] => format!(" {} to {}", name(&first.name), name(&last.name)),
    };
    format!(
        "{}{names}, {}, {}",
        counted(side.runs.len() as u64, "recording"),
        counted(exchanges, "exchange"),
        machines.join("; ")
    )
}

/// How it was tested, in a line.
pub(super) fn method(comparison: &Comparison) -> String {
    let units = match comparison.units {
        Units::Runs => "means of runs",
        Units::Blocks => "means of blocks of exchanges",
    };
    let margin = match comparison.ignore_below {
        Threshold::Share(share) if comparison.units == Units::Blocks && share == OF_BLOCKS => format!(
            "{} of the longer mean exchange, or {} of a layer's own mean where that is less,",
            percent_of(share),
            percent_of(OF_ROW)
        ),
        Threshold::Share(share) => format!("{} of the longer mean exchange", percent_of(share)),
        Threshold::Ns(ns) => time(ns),
    };
    format!(
        "{units}, compared by rank, p adjusted for the rows tested together; shifts within {margin} are a trifle"
    )
}

/// The line that shows that the parts are the whole.
pub(super) fn sum(group: &GroupDiff) -> String {
    let sum: f64 = group.layers.iter().filter_map(|row| row.mean.difference_ns).sum();
    let whole = group.total.mean.difference_ns.unwrap_or_default();
    let scale =
        group.total.mean.base_ns.unwrap_or_default().max(group.total.mean.other_ns.unwrap_or_default());
    let sign = if (sum - whole).abs() <= scale * 1e-6 { "=" } else { "≠" };
    format!(
        "sum of the layers' differences {} {sign} difference of the means {}; of it unattributed {}",
        signed(Some(sum)),
        signed(Some(whole)),
        signed(Some(group.residual_ns))
    )
}

/// How a comparison stands to a bound, in a line.
pub(super) fn limit(row: &LimitRow) -> String {
    let group = row.group.as_deref().map(|group| format!(" ({})", name(group))).unwrap_or_default();
    let verdict = match row.exceeded {
        Some(true) => "EXCEEDED",
        Some(false) => "within",
        None => "NOT CHECKED",
    };
    let reason = match &row.why {
        Some(why) => name(why),
        None => format!(
            "{} to {}: {}, allowed {}; {}",
            mean(row.base_ns),
            mean(row.other_ns),
            signed(row.rise_ns),
            mean(row.allowed_ns),
            match row.supported {
                Some(true) => "its interval says the same",
                Some(false) => "its interval does not bear that out",
                None => "the runs are too few for statistics to bear that out",
            }
        ),
    };
    format!("{verdict}: {}{group}: {reason}", name(&row.limit))
}

/// Why to doubt what was found, each reason with the rows that it touches.
pub(super) fn doubts<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows.filter(|row| row.verdict == Verdict::Found) {
        for doubt in &row.doubts {
            match found.iter_mut().find(|(known, _)| known == doubt) {
                Some((_, names)) if names.contains(&row.name) => {}
                Some((_, names)) => names.push(row.name.clone()),
                None => found.push((doubt.clone(), vec![row.name.clone()])),
            }
        }
    }
    found
}
