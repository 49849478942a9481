//! A map of how many exchanges took how long at which time: columns of time, rows of latency on a log scale.

/// The most columns that there are.
pub const COLUMNS: usize = 120;
/// Rows from one power of ten to the next.
pub const ROWS_PER_DECADE: usize = 10;
/// Rows: up to 1,000 s; the last one also has what took longer.
const ROWS: usize = 12 * ROWS_PER_DECADE;
/// Length of a column at first, ns; a power of two, as all that follow.
const FIRST_NS: u64 = 1 << 16;

/// Counts by time and latency. When the recording outgrows the columns, neighbours are merged and columns are twice as
/// long from then on: no count is lost.
#[derive(Clone, Debug)]
pub struct HeatMap {
    column_ns: u64,
    /// Column by column.
    counts: Vec<[u32; ROWS]>,
}

impl Default for HeatMap {
    fn default() -> HeatMap {
        HeatMap { column_ns: FIRST_NS, counts: Vec::new() }
    }
}

/// The row of a latency.
fn row_of(latency_ns: u64) -> usize {
    let place = (latency_ns.max(1) as f64).log10() * ROWS_PER_DECADE as f64;
    (place as usize).min(ROWS - 1)
}

impl HeatMap {
    /// Enters an exchange that began `at_ns` after the recording's first event.
    pub fn record(&mut self, at_ns: u64, latency_ns: u64) {
        while at_ns / self.column_ns >= COLUMNS as u64 {
            self.merge();
        }
        let column = (at_ns / self.column_ns) as usize;
        if self.counts.len() <= column {
            self.counts.resize(column + 1, [0; ROWS]);
        }
        let count = &mut self.counts[column][row_of(latency_ns)];
        *count = count.saturating_add(1);
    }

    /// Makes each two columns one.
    fn merge(&mut self) {
        self.column_ns = self.column_ns.saturating_mul(2);
        let merged = self.counts.chunks(2).map(|pair| {
            let mut sum = pair[0];
            for (to, from) in sum.iter_mut().zip(pair.get(1).into_iter().flatten()) {
                *to = to.saturating_add(*from);
            }
            sum
        });
        self.counts = merged.collect();
    }

    /// Length of a column, ns.
    pub fn column_ns(&self) -> u64 {
        self.column_ns
    }

    /// Columns up to the last exchange.
    pub fn columns(&self) -> usize {
        self.counts.len()
    }

    /// Count in a column and row, 0 outside.
    pub fn count(&self, column: usize, row: usize) -> u64 {
        self.counts.get(column).and_then(|rows| rows.get(row)).copied().unwrap_or_default().into()
    }

    /// The highest count of a column and row.
    pub fn most(&self) -> u64 {
        self.counts.iter().flatten().copied().max().unwrap_or_default().into()
    }

    /// All exchanges.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().map(|count| u64::from(*count)).sum()
    }

    /// The lowest and the highest row that has counts.
    pub fn rows(&self) -> Option<(usize, usize)> {
        let used = |row: &usize| self.counts.iter().any(|column| column[*row] > 0);
        Some(((0..ROWS).find(used)?, (0..ROWS).rev().find(used)?))
    }

    /// The shortest latency of a row, ns.
    pub fn row_ns(row: usize) -> f64 {
        10f64.powf(row as f64 / ROWS_PER_DECADE as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_columns_keeps_every_count() {
        let mut heat = HeatMap::default();
        for number in 0..5_000u64 {
            // Ever sparser, so that columns are merged many times.
            heat.record(number * number * 1_000, 1_000 + number % 7 * 100_000);
            assert_eq!(heat.total(), number + 1);
            assert!(heat.columns() <= COLUMNS);
        }
        assert!(heat.column_ns() > FIRST_NS && heat.columns() > COLUMNS / 2);
    }

    #[test]
    fn an_exchange_stays_at_its_time_when_columns_are_merged() {
        let mut heat = HeatMap::default();
        let early = [0, 3_000_000, 7_000_000];
        early.iter().for_each(|at_ns| heat.record(*at_ns, 50_000));
        heat.record(1_000_000_000_000, 50_000);
        for at_ns in early {
            let column = (at_ns / heat.column_ns()) as usize;
            assert!(heat.count(column, row_of(50_000)) > 0, "{at_ns}");
        }
    }

    #[test]
    fn rows_are_powers_of_ten_in_tenths() {
        assert_eq!((row_of(0), row_of(1), row_of(10), row_of(1_000_000)), (0, 0, 10, 60));
        assert_eq!(row_of(u64::MAX), ROWS - 1);
        for ns in [1, 999, 1_000, 123_456, 9_999_999] {
            let row = row_of(ns);
            assert!(HeatMap::row_ns(row) <= ns as f64 * 1.000_001, "{ns}");
            assert!((ns as f64) < HeatMap::row_ns(row + 1), "{ns}");
        }
    }

    #[test]
    fn an_empty_map_has_no_rows() {
        let heat = HeatMap::default();
        assert_eq!((heat.rows(), heat.most(), heat.columns(), heat.count(3, 4)), (None, 0, 0, 0));
    }
}
