//! The whole of `analyse` on recordings of garbage: no panic, layers that add up, no mean below zero.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io::Cursor, path::Path};

use clap::ValueEnum as _;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use tests::{
    garbage,
    header::header,
    world::{self, Machine},
};
use tracer::{
    analysis::analyse,
    cli::Format,
    correlate::Limits,
    export::{write_recording, write_report},
    record::{Item, RecordReader, RecordWriter},
    recording::{Came, Header, Mode, Note},
    report::{LayerRow, Report},
    topology::Topology,
};
use tracer_common::hop::Hop;

fn adds_up(layers: &[LayerRow], count: u64, mean_ns: Option<f64>) {
    let sum: f64 = layers.iter().map(|layer| layer.mean_ns).sum();
    let mean = mean_ns.unwrap_or_default();
    assert!(layers.iter().all(|layer| layer.mean_ns >= 0.0), "{layers:?}");
    assert!(count == 0 || (sum - mean).abs() <= mean / 1000.0 + 1.0, "{count}: layers {sum}, mean {mean}");
}

fn assert_sane(report: &Report) {
    let exchanges = &report.exchanges;
    // A time that ran backwards is left out of its row and counted; then there is nothing to add up.
    let backwards = report.segments.iter().any(|segment| segment.negative > 0);
    for segment in &report.segments {
        assert!(segment.mean_ns.is_none_or(|mean| mean >= 0.0), "{segment:?}");
    }
    let groups = exchanges.groups.iter().flat_map(|group| &group.layers);
    for layer in groups.chain(&report.layers) {
        assert!(layer.mean_ns.is_finite() && layer.share.is_finite(), "{layer:?}");
    }
    for hop in &report.hops {
        assert!(hop.coverage.is_none_or(|coverage| (0.0..=1.0).contains(&coverage)), "{hop:?}");
    }
    for group in exchanges.groups.iter().filter(|_| !backwards) {
        adds_up(&group.layers, group.count, group.mean_ns);
    }
    if !backwards {
        adds_up(&report.layers, exchanges.count, exchanges.mean_ns);
    }
    for format in [Format::Text, Format::Json] {
        write_report(report, format, &mut Vec::new()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_recording_of_garbage_has_a_report_that_adds_up(
        events in vec((garbage::event(), proptest::option::weighted(0.02, garbage::note())), 0..1500),
        served in subsequence(Hop::ALL.to_vec(), 0..=Hop::ALL.len()),
        vms in 0..=2_usize,
    ) {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::create(&mut bytes, &header(world::topology(vms, Machine::Emulated), "xdp", &served)).unwrap();
        for (event, note) in &events {
            writer.event(event).unwrap();
            note.iter().for_each(|note| writer.note(note).unwrap());
        }
        writer.finish().unwrap();
        drop(writer);
        let mut reader = RecordReader::from_read(Cursor::new(bytes.clone())).unwrap();
        let report = analyse(&mut reader).unwrap();
        assert_sane(&report);
        for &format in Format::value_variants() {
            let mut reader = RecordReader::from_read(Cursor::new(bytes.clone())).unwrap();
            let again = write_recording(&mut reader, Limits::default(), format, &mut Vec::new()).unwrap();
            assert_eq!(again.exchanges, report.exchanges);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_of_histogram_mode_has_a_report_in_every_format(
        notes in vec(garbage::note(), 0..10),
        last in garbage::histograms(),
        served in subsequence(Hop::ALL.to_vec(), 0..=Hop::ALL.len()),
    ) {
        let header = header(world::topology(2, Machine::Emulated), "xdp", &served);
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::create(&mut bytes, &Header { mode: Mode::Histogram, ..header }).unwrap();
        for note in notes.iter().chain([&Note::Histograms(last)]) {
            writer.note(note).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        for &format in Format::value_variants() {
            let mut reader = RecordReader::from_read(Cursor::new(bytes.clone())).unwrap();
            let report = write_recording(&mut reader, Limits::default(), format, &mut Vec::new()).unwrap();
            prop_assert!(report.layers.iter().all(|row| row.mean_ns.is_finite() && row.share <= 1.0));
        }
    }
}

/// A recording of the golden's events, under this header, with this note before all others.
fn report_of(golden: &Path, header: &Header, first: Option<&Note>) -> Report {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::create(&mut bytes, header).unwrap();
    first.iter().for_each(|note| writer.note(note).unwrap());
    for item in RecordReader::open(golden).unwrap() {
        match item.unwrap() {
            Item::Event(event) => writer.event(&event).unwrap(),
            Item::Note(note) => writer.note(&note).unwrap(),
        }
    }
    writer.finish().unwrap();
    drop(writer);
    analyse(&mut RecordReader::from_read(Cursor::new(bytes)).unwrap()).unwrap()
}

#[test]
fn a_vm_that_came_later_is_reported_as_one_that_was_there() {
    for name in ["echo-peer", "echo-guest", "download"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"));
        let header = RecordReader::open(&golden).unwrap().header().clone();
        let came = Came { vms: header.topology.vms.clone(), devices: header.devices.clone() };
        let without =
            Header { topology: Topology::default(), vms: Vec::new(), devices: Vec::new(), ..header.clone() };
        let note = Note::Warning { text: "came".to_owned(), came: Some(Box::new(came)) };
        let (before, mut later) =
            (report_of(&golden, &header, None), report_of(&golden, &without, Some(&note)));
        assert!(before.exchanges.count > 0, "{name}");
        later.warnings.retain(|warning| warning.text != "came");
        later.recording.events -= 1;
        let json = |report: &Report| serde_json::to_value(report).unwrap();
        assert_eq!(json(&later), json(&before), "{name}");
    }
}
