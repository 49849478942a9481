//! What `lab ask` and `lab respond` have in common: the port, and the spread of times, printed as ping prints it.

use std::{fmt, time::Duration};

/// RFC 862, echo: what comes goes back.
pub(super) const PORT: u16 = 7;

/// Room for the largest datagram.
pub(super) const LARGEST: usize = 65_535;

/// Least, mean and greatest of some times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    count: u32,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Spread {
    pub(super) fn add(&mut self, time: Duration) {
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.sum += time;
        self.count += 1;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

/// How many, and of those what they were.
impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return formatter.write_str("0");
        }
        let mean = self.sum.checked_div(self.count).unwrap_or_default();
        write!(formatter, "{}, min/mean/max {}/{}/{} ms", self.count, ms(self.min), ms(mean), ms(self.max))
    }
}

/// Milliseconds to the microsecond, without the unit.
pub(super) fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_least_mean_and_greatest() {
        let mut spread = Spread::default();
        assert_eq!(spread.to_string(), "0");
        for us in [1500, 1000, 3500] {
            spread.add(Duration::from_micros(us));
        }
        assert_eq!(spread.to_string(), "3, min/mean/max 1.000/2.000/3.500 ms");
    }
}
