//! The bill of each VM: its vCPUs' time by exit reason, its threads' CPU time, each with what is not accounted for.

use std::io::{self, Write};

use super::{paragraph, table};
use crate::{
    export::numbers::{ABSENT, count, counted, mean, name, percent, time},
    report::{ThreadRow, VcpuTimeKind, VcpuTimeRow, VmBill},
};

pub(super) fn write(bills: &[VmBill], width: usize, out: &mut dyn Write) -> io::Result<()> {
    for bill in bills {
        vm(bill, width, out)?;
    }
    Ok(())
}

fn vm(bill: &VmBill, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let vcpus = match bill.vcpus {
        0 => String::new(),
        vcpus => format!("{}, ", counted(vcpus.into(), "vCPU")),
    };
    let frames = counted(bill.frames, "frame");
    writeln!(out, "\nCPU bill of {}: {vcpus}{}, {frames}", name(&bill.vm), time(bill.wall_ns as f64))?;
    if let Some(why) = &bill.vcpu_time_missing {
        paragraph("  ", 4, &format!("not known where its vCPUs' time went: {}", name(why)), width, out)?;
    } else {
        vcpu_time(&bill.vcpu_time, out)?;
        writeln!(out)?;
    }
    threads(&bill.threads, out)?;
    paragraph("  ", 4, &footnote(bill), width, out)
}

fn vcpu_time(rows: &[VcpuTimeRow], out: &mut dyn Write) -> io::Result<()> {
    let cells = rows.iter().map(|row| {
        vec![
            starred(&row.what, row.kind == VcpuTimeKind::Derived),
            percent(row.share),
            row.on_cpu_share.map_or(ABSENT.to_owned(), percent),
            row.count.map_or(ABSENT.to_owned(), count),
            number(row.per_frame),
            mean(row.mean_ns),
        ]
    });
    table::write(&["vCPU time", "of it all", "on a CPU", "count", "per frame", "average"], 1, cells, out)
}

fn threads(rows: &[ThreadRow], out: &mut dyn Write) -> io::Result<()> {
    let cells = rows.iter().map(|row| {
        vec![
            starred(&row.what, row.derived),
            row.threads.map_or(ABSENT.to_owned(), count),
            percent(row.share),
            mean(row.cpu_ns_per_frame),
            mean(row.wait_ns_per_frame),
        ]
    });
    table::write(&["CPU time", "threads", "of one CPU", "per frame", "waiting per frame"], 1, cells, out)
}

fn starred(what: &str, derived: bool) -> String {
    if derived { format!("* {}", name(what)) } else { name(what) }
}

/// A count per frame, which may be a small fraction.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => ABSENT.to_owned(),
        Some(value) if value > 0.0 && value < 0.01 => "<0.01".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

pub(crate) fn footnote(bill: &VmBill) -> String {
    let sum = if bill.vcpu_time.is_empty() { "" } else { "; the others add up to 100 % of the vCPUs' time" };
    let frames = match (bill.per_frames, bill.frames) {
        (Some(_), _) => "Frames are those sent and received; a super-frame counts as one.",
        (None, 0) => "No frame was seen, so nothing is per frame.",
        (None, _) => "Nothing is per frame: frames that were paid for are not in the recording.",
    };
    format!("* is derived from other rows{sum}. {frames}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;

    fn text(bill: &VmBill) -> String {
        let mut out = Vec::new();
        write(std::slice::from_ref(bill), 100, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_bill_of_a_guest_on_kvm() {
        insta::assert_snapshot!(text(&sample::bill()));
    }

    #[test]
    fn a_bill_of_an_emulated_guest_without_frames() {
        let mut bill = sample::bill();
        (bill.vcpus, bill.frames, bill.per_frames) = (0, 0, None);
        bill.vcpu_time.clear();
        bill.vcpu_time_missing = Some("its CPU is emulated".to_owned());
        for row in &mut bill.threads {
            (row.cpu_ns_per_frame, row.wait_ns_per_frame) = (None, None);
        }
        insta::assert_snapshot!(text(&bill));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_ends_in_a_blank() {
        for line in text(&sample::bill()).lines() {
            assert!(line.chars().count() <= 100 && !line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn small_numbers_per_frame_are_not_nothing() {
        let shown = [None, Some(0.0), Some(0.004), Some(0.5), Some(12.34)].map(number);
        assert_eq!(shown, ["–", "0.00", "<0.01", "0.50", "12.3"]);
    }
}
