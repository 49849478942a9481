//! Bounds of the user's, as `vmm.p99 10%`, and a comparison held against them.
//!
//! A bound is exceeded where OTHER's figure lies above BASE's by more than the bound, whatever the statistics say of
//! it: whoever sets one wants to hear of it. Beside it stands whether the interval of the shift lies beyond the bound
//! too, which it can only where several runs were compared, or for means.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Comparison, Figures, GroupDiff, Row, rank::CONFIDENCE};
use crate::topology::printable;

/// What a bound looks like.
const EXAMPLES: &str =
    "'vmm.p99 10%', 'nic.mean 50us', 'tap.ring->vmm.read.p50 20%', 'echo:peer/total.p99 1ms'";

/// A size: a share of a figure, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    /// A share, 0 to 1 and beyond.
    Share(f64),
    /// A time, ns.
    Ns(f64),
}

impl Threshold {
    /// The time that it is for this figure, ns.
    pub fn of(self, base_ns: f64) -> f64 {
        match self {
            Threshold::Share(share) => share * base_ns,
            Threshold::Ns(ns) => ns,
        }
    }
}

impl FromStr for Threshold {
    type Err = anyhow::Error;

    fn from_str(typed: &str) -> Result<Threshold> {
        let size = typed.trim();
        if let Some(number) = size.strip_suffix('%') {
            let percent: f64 = number.trim().parse().map_err(|_| anyhow!("`{size}` is no share: say 10%"))?;
            ensure!(percent.is_finite() && percent >= 0.0, "`{size}` is no share: say 10%");
            return Ok(Threshold::Share(percent / 100.0));
        }
        let time: Duration = humantime::parse_duration(size)
            .map_err(|_| anyhow!("`{size}` is neither a share nor a time: say 10%, 50us or 1ms"))?;
        Ok(Threshold::Ns(time.as_nanos() as f64))
    }
}

/// Which figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
}

impl Statistic {
    const ALL: [Statistic; 4] = [Statistic::Mean, Statistic::P50, Statistic::P90, Statistic::P99];

    const fn name(self) -> &'static str {
        match self {
            Statistic::Mean => "mean",
            Statistic::P50 => "p50",
            Statistic::P90 => "p90",
            Statistic::P99 => "p99",
        }
    }

    fn of(self, row: &Row) -> &Figures {
        match self {
            Statistic::Mean => &row.mean,
            Statistic::P50 => &row.p50,
            Statistic::P90 => &row.p90,
            Statistic::P99 => &row.p99,
        }
    }
}

/// A row of a group, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Total,
    Layer(String),
    Segment(String, String),
}

/// A bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// As typed.
    typed: String,
    /// Kind and initiator, if the bound is for one group alone.
    group: Option<(String, String)>,
    target: Target,
    statistic: Statistic,
    threshold: Threshold,
}

/// How a comparison stands to a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitRow {
    /// The bound as typed.
    pub limit: String,
    /// The group that it was held against; absent where there is none.
    pub group: Option<String>,
    /// The figure, ns.
    pub base_ns: Option<f64>,
    /// OTHER's figure, ns.
    pub other_ns: Option<f64>,
    /// By how much OTHER's lies above BASE's, ns.
    pub rise_ns: Option<f64>,
    /// By how much it may, ns.
    pub allowed_ns: Option<f64>,
    /// Whether it is exceeded; absent where that could not be checked, which counts as exceeded.
    pub exceeded: Option<bool>,
    /// Whether the interval of the shift bears that out; absent where there are too few runs for one.
    pub supported: Option<bool>,
    /// Why it could not be checked.
    pub why: Option<String>,
}

impl LimitRow {
    /// Whether the command is to fail for it.
    pub fn fails(&self) -> bool {
        self.exceeded != Some(false)
    }
}

impl FromStr for Limit {
    type Err = anyhow::Error;

    fn from_str(typed: &str) -> Result<Limit> {
        parse(typed).with_context(|| {
            format!(
                "--fail-above '{}': expected [KIND:INITIATOR/]WHAT.FIGURE SIZE, such as {EXAMPLES}",
                printable(typed)
            )
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.typed)
    }
}

fn parse(typed: &str) -> Result<Limit> {
    let typed = typed.trim();
    let joined = typed.replace(" %", "%");
    let (what, size) = joined.rsplit_once(char::is_whitespace).context("the size is missing")?;
    let (what, statistic) = what.trim().rsplit_once('.').context("the figure is missing")?;
    let statistic = *Statistic::ALL
        .iter()
        .find(|known| known.name() == statistic)
        .with_context(|| format!("`{statistic}` is no figure: they are mean, p50, p90 and p99"))?;
    let threshold = size.parse()?;
    let (group, what) = match what.split_once('/') {
        Some((group, what)) => (Some(parse_group(group)?), what),
        None => (None, what),
    };
    Ok(Limit { typed: typed.to_owned(), group, target: parse_target(what)?, statistic, threshold })
}

fn parse_group(typed: &str) -> Result<(String, String)> {
    let (kind, initiator) = typed
        .split_once(':')
        .with_context(|| format!("`{typed}` is no group: say KIND:INITIATOR, such as echo:peer"))?;
    Ok((kind.trim().to_owned(), initiator.trim().replace('-', " ")))
}

fn parse_target(typed: &str) -> Result<Target> {
    let typed = typed.trim();
    if let Some((from, to)) = typed.split_once("->").or_else(|| typed.split_once('→')) {
        let (from, to) = (from.trim(), to.trim());
        ensure!(!from.is_empty() && !to.is_empty(), "`{typed}` is no segment: say HOP->HOP");
        return Ok(Target::Segment(from.to_owned(), to.to_owned()));
    }
    match typed {
        "" => bail!("what it is a bound for is missing: a layer, total, or a segment HOP->HOP"),
        "total" => Ok(Target::Total),
        layer => Ok(Target::Layer(layer.to_owned())),
    }
}

impl Limit {
    /// Whether the recordings have what this is a bound for, on one side at least.
    ///
    /// # Errors
    /// They have not: says what they have.
    pub fn check_exists(&self, comparison: &Comparison) -> Result<()> {
        self.check_group(comparison)?;
        let groups = || comparison.groups.iter().filter(|group| self.is_for(&group.kind, &group.initiator));
        if groups().next().is_none() {
            // Nothing that could be listed; it is told of as a bound that cannot be checked.
            return Ok(());
        }
        let (known, what): (Vec<String>, _) = match &self.target {
            Target::Total => return Ok(()),
            Target::Layer(_) => {
                (groups().flat_map(|group| &group.layers).map(|row| row.name.clone()).collect(), "layer")
            }
            Target::Segment(..) => (groups().flat_map(segment_names).collect(), "segment"),
        };
        let wanted = self.wanted();
        if known.contains(&wanted) {
            return Ok(());
        }
        let mut listed: Vec<String> = known.iter().map(|name| printable(name)).collect();
        if what == "layer" {
            listed.push("total".to_owned());
        }
        let mut seen = BTreeSet::new();
        listed.retain(|name| seen.insert(name.clone()));
        bail!(
            "--fail-above '{}': the recordings have no {what} `{}`: they have {}",
            printable(&self.typed),
            printable(&wanted),
            listed.join(", ")
        )
    }

    fn check_group(&self, comparison: &Comparison) -> Result<()> {
        let of_both = comparison.groups.iter().map(|group| (&group.kind, &group.initiator));
        let of_one = comparison.one_sided.iter().map(|group| (&group.kind, &group.initiator));
        let known: Vec<_> = of_both.chain(of_one).collect();
        if known.is_empty() || known.iter().any(|(kind, initiator)| self.is_for(kind, initiator)) {
            return Ok(());
        }
        let listed: Vec<String> = known
            .iter()
            .map(|(kind, who)| format!("{}:{}", printable(kind), printable(&who.replace(' ', "-"))))
            .collect();
        bail!(
            "--fail-above '{}': the recordings have no such group: they have {}",
            printable(&self.typed),
            listed.join(", ")
        )
    }

    fn is_for(&self, kind: &str, initiator: &str) -> bool {
        self.group.as_ref().is_none_or(|group| (&*group.0, &*group.1) == (kind, initiator))
    }

    fn wanted(&self) -> String {
        match &self.target {
            Target::Total => "total".to_owned(),
            Target::Layer(name) => name.clone(),
            Target::Segment(from, to) => format!("{from} → {to}"),
        }
    }

    /// Holds a comparison against it: a row for each group that has the figure.
    pub fn hold(&self, comparison: &Comparison) -> Vec<LimitRow> {
        let mut rows: Vec<LimitRow> = Vec::new();
        for group in comparison.groups.iter().filter(|group| self.is_for(&group.kind, &group.initiator)) {
            rows.extend(self.hold_group(group));
        }
        // Stray exchanges of one side matter to no bound but one of their own, or where there are no others.
        let alone = self.group.is_some() || rows.is_empty();
        for group in comparison
            .one_sided
            .iter()
            .filter(|_| alone)
            .filter(|group| self.is_for(&group.kind, &group.initiator))
        {
            let title = format!("{}, asked by {}", group.kind, group.initiator);
            rows.push(self.unchecked(Some(title), format!("only {} has such exchanges", group.side)));
        }
        if rows.is_empty() {
            rows.push(self.unchecked(None, "nothing to compare it with on both sides".to_owned()));
        }
        rows
    }

    fn hold_group(&self, group: &GroupDiff) -> Vec<LimitRow> {
        let rows: Vec<&Row> = match &self.target {
            Target::Total => vec![&group.total],
            Target::Layer(name) => group.layers.iter().filter(|row| row.name == *name).collect(),
            Target::Segment(from, to) => {
                let same = group.segments.iter().filter(|it| it.from == *from && it.to == *to);
                same.map(|segment| &segment.row).collect()
            }
        };
        let mut held: Vec<LimitRow> = rows.into_iter().map(|row| self.hold_row(group, row)).collect();
        if let Target::Segment(from, to) = &self.target {
            let alone = group.one_sided.iter().filter(|it| it.from == *from && it.to == *to);
            held.extend(alone.map(|segment| {
                self.unchecked(Some(group.title()), format!("only {} has this segment", segment.side))
            }));
        }
        held
    }

    fn hold_row(&self, group: &GroupDiff, row: &Row) -> LimitRow {
        let figures = self.statistic.of(row);
        let (Some(base), Some(other)) = (figures.base_ns, figures.other_ns) else {
            return self.unchecked(Some(group.title()), "one side has no such figure".to_owned());
        };
        let (rise, allowed) = (other - base, self.threshold.of(base));
        let exceeded = rise > allowed;
        let enough = group.confidence >= CONFIDENCE;
        let interval = figures.low_ns.zip(figures.high_ns).filter(|_| enough);
        LimitRow {
            group: Some(group.title()),
            base_ns: Some(base),
            other_ns: Some(other),
            rise_ns: Some(rise),
            allowed_ns: Some(allowed),
            exceeded: Some(exceeded),
            supported: interval.map(|(low, high)| if exceeded { low > allowed } else { high <= allowed }),
            ..self.unchecked(None, String::new())
        }
        .checked()
    }

    fn unchecked(&self, group: Option<String>, why: String) -> LimitRow {
        LimitRow {
            limit: self.typed.clone(),
            group,
            base_ns: None,
            other_ns: None,
            rise_ns: None,
            allowed_ns: None,
            exceeded: None,
            supported: None,
            why: Some(why),
        }
    }
}

impl LimitRow {
    fn checked(self) -> LimitRow {
        LimitRow { why: None, ..self }
    }
}

fn segment_names(group: &GroupDiff) -> Vec<String> {
    let both = group.segments.iter().map(|it| (&it.from, &it.to));
    let alone = group.one_sided.iter().map(|it| (&it.from, &it.to));
    both.chain(alone).map(|(from, to)| format!("{from} → {to}")).collect()
}
