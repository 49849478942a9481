//! What was measured, as tables.

use super::{
    Measured,
    judge::Line,
    lab::{Attachment, Compared},
    loss::Flood,
    tools::{FLOOR, Row},
};
use crate::shell::say;

/// A writer that had the CPU for less of the time was not alone on it.
const UNDISTURBED: f64 = 0.95;

/// Prints it all.
pub fn print(measured: &Measured, verdict: &[Line]) {
    rows(&measured.rows);
    if let Some(share) = measured.writer_share.filter(|share| *share < UNDISTURBED) {
        let share = 100.0 * share;
        say(&format!(
            "DOUBTFUL: the writer had its CPU {share:.0} % of the time; the machine does other things"
        ));
    }
    flood("Full rate", measured.loss.as_ref());
    flood("Reader stopped", measured.stall.as_ref());
    attachment(measured.attachment.as_ref());
    if let Some(ping) = &measured.ping {
        say(&format!(
            "Ping's median round trip: {:.1} us; with vmhop {}",
            ping.summary.without / 1000.0,
            times(ping)
        ));
    }
    if let Some(iperf3) = &measured.iperf3 {
        let rate = iperf3.summary.without / 1e6;
        say(&format!("iperf3, guest to peer: {rate:.0} Mbit/s; with vmhop {}", times(iperf3)));
    }
    measured.notes.iter().for_each(|note| say(&format!("NOT MEASURED  {note}")));
    say("");
    verdict.iter().for_each(judged);
}

fn rows(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let without = rows.iter().filter_map(Row::summary).map(|summary| summary.without).collect::<Vec<_>>();
    if let Some(without) = super::stats::median(&without) {
        say(&format!("{without:.0} ns a frame with nothing attached; medians of interleaved pairs"));
        say("");
    }
    say(&line(
        &["tool", "ratio", "quartiles", "added ns", "hits", "ns a hit", "of floor's", "lost"]
            .map(str::to_owned),
    ));
    let floor = rows.iter().find(|row| row.name == FLOOR).and_then(Row::added_a_hit);
    for row in rows {
        match &row.absent {
            Some(why) => say(&format!("{:<20}NOT MEASURED: {why}", row.name)),
            None => say(&line(&cells(row, floor))),
        }
    }
    say("");
}

fn cells(row: &Row, floor: Option<f64>) -> [String; 8] {
    let summary = row.summary();
    let told =
        |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    let hit = row.added_a_hit();
    [
        row.name.clone(),
        told(summary.map(|summary| summary.ratio), 2),
        summary
            .map_or("-".into(), |summary| format!("{:.2}-{:.2}", summary.quartiles[0], summary.quartiles[1])),
        told(summary.map(|summary| summary.added), 0),
        row.hits.to_string(),
        told(hit, 0),
        told(hit.zip(floor).map(|(hit, floor)| hit / floor), 2),
        row.lost.map_or("-".into(), |lost| lost.to_string()),
    ]
}

fn line(cells: &[String; 8]) -> String {
    let [name, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!("{cell:>12}")).collect();
    format!("{name:<20}{rest}")
}

fn flood(name: &str, flood: Option<&Flood>) {
    let Some(flood) = flood else { return };
    let seconds = flood.ns as f64 / 1e9;
    let hops: Vec<String> =
        flood.hops.iter().map(|(hop, seen, lost)| format!("{hop} {seen} seen, {lost} lost")).collect();
    say(&format!("{name}: {} frames in {seconds:.1} s; {}", flood.sent, hops.join("; ")));
    if let Some(rate) = flood.million_records_a_second() {
        say(&format!("{name}: then {rate:.2} M records/s of the reader's CPU time"));
    }
}

fn attachment(attachment: Option<&Attachment>) {
    let Some(Attachment { attach_ns, detach_ns }) = attachment else { return };
    let (attach, detach) = (attach_ns / 1e6, detach_ns / 1e6);
    say(&format!("Everything attached in {attach:.0} ms, detached and reported in {detach:.0} ms"));
}

fn times(compared: &Compared) -> String {
    let [lower, upper] = compared.summary.quartiles;
    format!(
        "{:.3} times that (quartiles {lower:.3}-{upper:.3}, {} pairs)",
        compared.summary.ratio,
        compared.pairs.len()
    )
}

fn judged(line: &Line) {
    let word = match line.ok {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "not measured",
    };
    let figure = line.figure.map_or("-".into(), |figure| format!("{figure:.3}"));
    let bound = if line.at_least { ">=" } else { "<=" };
    say(&format!("{:<54}{bound} {:<7.3}{figure:>10}  {word}", line.what, line.limit));
}
