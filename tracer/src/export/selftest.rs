//! The self-test's outcome as text, for `vmhop doctor --self-test`. Pure.

use std::io::{self, Write};

use crate::selftest::{Row, State};

/// Writes a line for each planned hook, and how many there are of each kind.
pub fn write(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    // What is not exercised in one case is not in another either.
    let told = |row: &Row, before: &[Row]| {
        let same = |other: &Row| (&other.hop, &other.hook, &other.why) == (&row.hop, &row.hook, &row.why);
        row.state == State::NotExercised && before.iter().any(same)
    };
    let rows: Vec<&Row> =
        rows.iter().enumerate().filter(|(at, row)| !told(row, &rows[..*at])).map(|(_, row)| row).collect();
    let width = |word: fn(&Row) -> usize| rows.iter().map(|row| word(row)).max().unwrap_or(0);
    let (hops, hooks) = (width(|row| row.hop.len()), width(|row| row.hook.len()));
    writeln!(out, "\nSelf-test: frames of its own, through taps, a bridge, a router and a macvtap")?;
    for Row { hop, case, hook, state, fired, why, .. } in &rows {
        let mark = if *state == State::Silent { "!" } else { " " };
        let told = match (state, fired, why) {
            (State::Fired, Some(count), _) => format!("fired {count} times"),
            (_, _, Some(why)) => why.clone(),
            (..) => String::new(),
        };
        let shown = !case.is_empty() && *state != State::NotExercised;
        let case = if shown { format!(" ({case})") } else { String::new() };
        writeln!(out, "{mark} {hop:hops$}  {hook:hooks$}  {told}{case}")?;
    }
    let count = |wanted: State| rows.iter().filter(|row| row.state == wanted).count();
    let (fired, silent, other) = (count(State::Fired), count(State::Silent), count(State::NotExercised));
    writeln!(out, "\n{fired} hooks fired, {silent} were silent, {other} could not be exercised.")
}
