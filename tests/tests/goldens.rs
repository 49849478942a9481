//! Golden recordings: real ones of a lab's guest, made once with `vmhop record`. The report of the same recording
//! is always the same, and whatever is cut off its end, the rest is reported honestly or refused in one line.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, io::Cursor, path::PathBuf};

use serde_json::{Value, json};
use tests::recording::assert_additive;
use tracer::{
    analysis::analyse,
    cli::Format,
    export::write_report,
    record::{ReadError, RecordReader},
    report::Report,
};

const GOLDENS: [&str; 3] = ["echo-peer", "echo-guest", "download"];
/// Places at which each recording is cut off.
const CUTS: usize = 120;

fn bytes(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"));
    fs::read(path).unwrap()
}

fn report(bytes: Vec<u8>) -> Result<Report, ReadError> {
    analyse(&mut RecordReader::from_read(Cursor::new(bytes))?)
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    write_report(report, Format::Text, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What the report says of frames and times, without what changes its words from version to version.
fn reduced(report: &Report) -> Value {
    let whole = serde_json::to_value(report).unwrap();
    json!({ "hops": whole["hops"], "layers": whole["layers"], "exchanges": whole["exchanges"] })
}

#[test]
fn the_report_of_a_recording_is_always_the_same() {
    for name in GOLDENS {
        let report = report(bytes(name)).unwrap();
        assert_additive(&report);
        insta::assert_snapshot!(format!("{name}-text"), text(&report));
        insta::assert_snapshot!(
            format!("{name}-json"),
            serde_json::to_string_pretty(&reduced(&report)).unwrap()
        );
    }
}

#[test]
fn twenty_echoes_are_twenty_exchanges() {
    for (name, initiator) in [("echo-peer", "peer"), ("echo-guest", "guest")] {
        let report = report(bytes(name)).unwrap();
        let groups = report.exchanges.groups.iter();
        let echoes: Vec<_> = groups.filter(|group| group.kind == "echo" && group.count > 0).collect();
        assert_eq!(echoes.len(), 1, "{name}");
        assert_eq!((echoes[0].initiator.as_str(), echoes[0].count), (initiator, 20), "{name}");
        assert_eq!((echoes[0].unanswered, echoes[0].ambiguous), (0, 0), "{name}");
        assert_eq!(report.losses.ring_total, 0, "{name}");
    }
}

#[test]
fn a_recording_that_was_cut_off_is_reported_as_far_as_it_goes() {
    for name in GOLDENS {
        let whole = bytes(name);
        let events = report(whole.clone()).unwrap().recording.events;
        let (mut reported, mut before) = (0, 0);
        for cut in 0..=CUTS {
            let rest = whole[..whole.len() * cut / CUTS].to_vec();
            let Ok(report) =
                report(rest).inspect_err(|error| assert_eq!(error.to_string().lines().count(), 1))
            else {
                assert_eq!(reported, 0, "{name}: a longer part is refused");
                continue;
            };
            reported += 1;
            assert_additive(&report);
            assert!(!text(&report).is_empty());
            assert!((before..=events).contains(&report.recording.events), "{name}");
            assert_eq!(report.recording.complete, cut == CUTS, "{name} cut at {cut} of {CUTS}");
            before = report.recording.events;
        }
        assert!(reported > CUTS / 2, "{name}: {reported} of {CUTS} cuts are reported");
    }
}
