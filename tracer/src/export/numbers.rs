//! Numbers and names as people read them.

/// What stands where there is no value.
pub(crate) const ABSENT: &str = "–";

/// A time with its unit, to three significant digits.
pub(crate) fn time(ns: f64) -> String {
    if !ns.is_finite() {
        return ABSENT.to_owned();
    }
    let sign = if ns < 0.0 { "−" } else { "" };
    let size = ns.abs();
    // A size that would be rounded up to four digits is shown in the next unit.
    let (unit, scale) = match size {
        size if size < 999.5 => ("ns", 1.0),
        size if size < 999.5e3 => ("µs", 1e3),
        size if size < 999.5e6 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = size / scale;
    let decimals = match value {
        0.0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{sign}{value:.decimals$} {unit}")
}

/// A mean, or a dash.
pub(crate) fn mean(ns: Option<f64>) -> String {
    ns.map_or(ABSENT.to_owned(), time)
}

/// A percentile, or a dash.
pub(crate) fn quantile(ns: Option<u64>) -> String {
    mean(ns.map(|ns| ns as f64))
}

/// A count with separators.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A count with its noun: `1 frame`, `2 frames`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share, 0 to 1, in percent. Only all is 100 %, and only nothing is 0 %.
pub(crate) fn percent(share: f64) -> String {
    match share {
        share if !share.is_finite() => ABSENT.to_owned(),
        share if share > 0.0 && share < 0.0005 => "<0.1 %".to_owned(),
        share if (0.9995..1.0).contains(&share) => ">99.9 %".to_owned(),
        share if share < 0.0 => format!("−{:.1} %", -share * 100.0),
        share => format!("{:.1} %", share * 100.0),
    }
}

/// Part of a whole, 0 where there is no whole.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A bar of at most `width` characters, in eighths of one.
pub(crate) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// A name as it can be printed: what would move the cursor, colour the terminal or turn the reading direction
/// is escaped. Names of devices and processes are chosen by others.
pub(crate) fn name(text: &str) -> String {
    let unprintable = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .flat_map(|c| {
            let escaped = unprintable(c).then(|| c.escape_default());
            let plain = (!unprintable(c)).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        for (ns, shown) in [
            (0.0, "0 ns"),
            (0.5, "0.50 ns"),
            (9.999, "10.0 ns"),
            (42.0, "42.0 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (3_140.0, "3.14 µs"),
            (412_345.0, "412 µs"),
            (999_600.0, "1.00 ms"),
            (12_345_678.0, "12.3 ms"),
            (61e9, "61.0 s"),
            (-1500.0, "−1.50 µs"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(time(ns), shown);
        }
        assert_eq!((mean(None), quantile(Some(7))), ("–".to_owned(), "7.00 ns".to_owned()));
    }

    #[test]
    fn counts_have_separators() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), shown);
        }
        assert_eq!((counted(1, "frame"), counted(2, "frame")), ("1 frame".to_owned(), "2 frames".to_owned()));
    }

    #[test]
    fn only_all_is_a_hundred_percent_and_only_nothing_is_none() {
        for (share, shown) in [
            (0.0, "0.0 %"),
            (0.0001, "<0.1 %"),
            (0.4123, "41.2 %"),
            (0.99999, ">99.9 %"),
            (1.0, "100.0 %"),
            (-0.01, "−1.0 %"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(percent(share), shown);
        }
        assert_eq!((ratio(1, 4), ratio(1, 0)), (0.25, 0.0));
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        for (share, shown) in
            [(0.0, ""), (0.5, "██"), (0.53, "██▏"), (1.0, "████"), (7.0, "████"), (-1.0, "")]
        {
            assert_eq!(bar(share, 4), shown);
        }
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(name("tap0 é\u{1b}[31m\u{202e}\n"), "tap0 é\\u{1b}[31m\\u{202e}\\n");
    }
}
