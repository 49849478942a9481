//! `--window` and `--interval` of `vmhop live`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::live::Window;

/// How often to draw at most: a terminal behind a slow line is to be able to follow.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longer ones look as if nothing went on any more.
const LONGEST: Duration = Duration::from_secs(10);

/// Reads `--window`.
pub(super) fn window(typed: &str) -> Result<Window> {
    let time = humantime::parse_duration(typed).ok();
    let window = Window::ALL.into_iter().find(|window| time == Some(Duration::from_secs(window.seconds())));
    window.with_context(|| format!("--window `{typed}` is none of 2s, 10s and 60s"))
}

/// Reads `--interval`.
pub(super) fn interval(typed: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(typed)
        .with_context(|| format!("--interval `{typed}` is no duration, such as 200ms or 1s"))?;
    ensure!(
        (SHORTEST..=LONGEST).contains(&interval),
        "--interval `{typed}` is out of range: give 100ms to 10s"
    );
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_one_of_three() {
        assert_eq!(window("60s").unwrap().seconds(), 60);
        assert_eq!(window("1m").unwrap().seconds(), 60);
        for wrong in ["3s", "", "10", "ever"] {
            let error = window(wrong).unwrap_err().to_string();
            assert!(error.contains("2s, 10s and 60s"), "{error}");
        }
    }

    #[test]
    fn an_interval_is_not_too_short_and_not_too_long() {
        assert_eq!(interval("250ms").unwrap(), Duration::from_millis(250));
        for wrong in ["1ms", "0s", "1m", "fast", ""] {
            let error = format!("{:#}", interval(wrong).unwrap_err());
            assert!(error.starts_with(&format!("--interval `{wrong}`")), "{error}");
        }
    }
}
