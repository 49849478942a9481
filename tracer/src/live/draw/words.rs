//! Numbers in few characters.

use ratatui::text::{Line, Text};

use crate::export::numbers;

/// Bytes a second, to three digits.
pub(super) fn bytes_a_second(rate: f64) -> String {
    let (unit, scale) = match rate {
        rate if rate < 999.5 => ("B/s", 1.0),
        rate if rate < 999.5e3 => ("kB/s", 1e3),
        rate if rate < 999.5e6 => ("MB/s", 1e6),
        _ => ("GB/s", 1e9),
    };
    let value = rate / scale;
    let decimals = if scale > 1.0 && value < 99.95 { 1 } else { 0 };
    format!("{value:.decimals$} {unit}")
}

/// A number a second: small ones with a decimal.
pub(super) fn a_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 { format!("{rate:.1}") } else { numbers::count(rate.round() as u64) }
}

/// Text at the right of its column.
pub(super) fn right(text: impl Into<String>) -> Text<'static> {
    Text::from(Line::from(text.into()).right_aligned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_the_unit_that_fits() {
        for (rate, shown) in [
            (0.0, "0 B/s"),
            (98.0, "98 B/s"),
            (1500.0, "1.5 kB/s"),
            (999_600.0, "1.0 MB/s"),
            (123_456_789.0, "123 MB/s"),
            (2.5e9, "2.5 GB/s"),
        ] {
            assert_eq!(bytes_a_second(rate), shown);
        }
        assert_eq!([0.0, 0.5, 9.96, 12_345.4].map(a_second), ["0", "0.5", "10", "12,345"]);
    }
}
