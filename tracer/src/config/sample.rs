//! `--sample` and `--budget`: which part of the frames is recorded.

use anyhow::{Context as _, Result, bail, ensure};

use crate::recording::Sampled;

/// The most that can be left out: of 2^16 frames all but one.
pub const LARGEST: u32 = 1 << 16;

/// What was asked for: one in so many, or as many as cost so much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleWish {
    /// One of so many frames to begin with.
    pub one_in: u32,
    /// Share of one CPU that vmhop and its programs may take, 0 to 1; none: the choice stays as it is.
    pub budget: Option<f64>,
}

/// Reads `--sample`, and `--budget` where that is given.
pub(super) fn wish(sample: Option<&str>, budget: Option<&str>) -> Result<Option<SampleWish>> {
    match sample {
        None if budget.is_some() => bail!("--budget says what --sample auto may cost: add --sample auto"),
        None => Ok(None),
        Some("auto") => {
            let budget = share(budget.unwrap_or("2%"))?;
            Ok(Some(SampleWish { one_in: 1, budget: Some(budget) }))
        }
        Some(typed) => {
            ensure!(budget.is_none(), "--budget goes with --sample auto: `{typed}` is a choice of its own");
            Ok(Some(SampleWish { one_in: one_in(typed)?, budget: None }))
        }
    }
}

fn one_in(typed: &str) -> Result<u32> {
    let number = typed.strip_prefix("1/").and_then(|number| number.parse().ok());
    number.filter(|number| (1..=LARGEST).contains(number)).with_context(|| {
        format!(
            "--sample `{typed}` is no part of the frames, such as 1/64, 1/1000 at least 1/{LARGEST}, or auto"
        )
    })
}

fn share(typed: &str) -> Result<f64> {
    let percent = typed.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let share = percent.map(|percent| percent / 100.0).filter(|share| *share > 0.0 && *share <= 1.0);
    share.with_context(|| format!("--budget `{typed}` is no share of a CPU, such as 2% or 0.5%"))
}

impl SampleWish {
    /// As a recording tells it, with the random number of its choice.
    pub fn sampled(&self, seed: u32) -> Sampled {
        Sampled { seed, one_in: self.one_in, budget: self.budget }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_one_in_some_or_what_a_budget_allows() {
        let wish = |sample, budget| wish(sample, budget).unwrap();
        assert_eq!(wish(None, None), None);
        assert_eq!(wish(Some("1/64"), None), Some(SampleWish { one_in: 64, budget: None }));
        assert_eq!(wish(Some("auto"), None), Some(SampleWish { one_in: 1, budget: Some(0.02) }));
        assert_eq!(wish(Some("auto"), Some("0.5 %")).unwrap().budget, Some(0.005));
    }

    #[test]
    fn what_is_no_part_is_answered_with_one() {
        for (sample, budget, part) in [
            ("1/0", None, "such as 1/64"),
            ("1/70000", None, "1/65536"),
            ("64", None, "`64` is no part"),
            ("2/3", None, "`2/3` is no part"),
            ("1/64", Some("2%"), "--budget goes with --sample auto"),
            ("auto", Some("2"), "`2` is no share"),
            ("auto", Some("0%"), "no share"),
            ("auto", Some("200%"), "no share"),
            ("auto", Some("NaN%"), "no share"),
        ] {
            let error = format!("{:#}", wish(Some(sample), budget).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        assert!(wish(None, Some("2%")).unwrap_err().to_string().contains("add --sample auto"));
    }
}
