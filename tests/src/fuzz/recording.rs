//! A recording from anywhere: read to its end or to an error, and all that was read makes a report that can be shown.

use std::io::Cursor;

use tracer::{
    analysis::analyse,
    cli::Format,
    export::write_report,
    record::{Item, RecordReader, RecordWriter},
    recording::{Came, Counters, Header, Note},
    report::Report,
};
use tracer_common::hop::Hop;

use super::{assert_printable, told_in_one_line};
use crate::{
    header::header,
    world::{Machine, Recipe, topology},
};

pub(super) fn run(bytes: &[u8]) {
    let open = || RecordReader::from_read(Cursor::new(bytes.to_vec()));
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => return told_in_one_line(error.into()),
    };
    let header = reader.header().clone();
    let mut items = Vec::new();
    let mut whole = true;
    for item in reader.by_ref() {
        match item {
            Ok(item) => items.push(item),
            Err(error) => {
                whole = false;
                told_in_one_line(error.into());
            }
        }
    }
    assert!(reader.next().is_none());
    written_again(&header, &items);
    match analyse(&mut open().unwrap()) {
        Ok(report) => {
            assert!(whole);
            shown(&report);
        }
        Err(_) => assert!(!whole),
    }
}

/// What was read can be written, and is then read as the same.
fn written_again(header: &Header, items: &[Item]) {
    let again = written(header, items);
    let mut reader = RecordReader::from_read(Cursor::new(again)).unwrap();
    assert_eq!(reader.header(), header);
    let read: Vec<Item> = reader.by_ref().map(Result::unwrap).collect();
    assert!(read == items && !reader.truncated());
}

fn written(header: &Header, items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::create(&mut bytes, header).unwrap();
    for item in items {
        match item {
            Item::Event(event) => writer.event(event).unwrap(),
            Item::Note(note) => writer.note(note).unwrap(),
        }
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn shown(report: &Report) {
    let write = |format| {
        let mut out = Vec::new();
        write_report(report, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_printable(&write(Format::Text));
    let _: serde_json::Value = serde_json::from_str(&write(Format::Json)).unwrap();
}

/// Words of a header's and a note's JSON.
pub(super) const WORDS: &[&str] = &[
    "{\"warning\":{\"text\":\"",
    "\"flow\":",
    "\"counters\":",
    "\"bill\":",
    "\"end\":",
    "\"symbols\":",
    "\\u001b[2J",
    "\\u202e",
    "\\n",
    "18446744073709551615",
    "-1",
    "null",
    "\"vms\":[]",
    "\"taps\":[]",
    "\"hop\":\"tap.rx\"",
    "\"xdp\"",
    "\"nic\"",
    "\"tap\"",
    "vmhop.recording",
    "vmhop.abi",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..4).map(small).collect();
    seeds.push(written(&header(topology(2, Machine::Emulated), "xdp", Hop::ALL), &[]));
    let cut: Vec<Vec<u8>> = seeds.iter().map(|seed| seed[..seed.len() - seed.len() / 3].to_vec()).collect();
    seeds.extend(cut);
    seeds.extend([&b""[..], b"vmhop", &[0xff; 64]].map(<[u8]>::to_vec));
    seeds
}

/// The recording of a world of a few frames.
fn small(seed: u64) -> Vec<u8> {
    let recipe = Recipe {
        seed,
        vms: 1 + (seed % 2) as usize,
        machine: if seed < 2 { Machine::Emulated } else { Machine::Kvm { vhost: true, queues: 1 } },
        routed: false,
        user: false,
        talks: 2,
        nat: false,
        xdp: None,
        bridge: true,
        vcpu: true,
        drops: 100,
        tap_cuts: false,
        duplicates: 0,
        lag_ns: 0,
    };
    let mut items: Vec<Item> = recipe.build().events.into_iter().map(Item::Event).collect();
    let text = "something the reader should know".to_owned();
    items.push(Item::Note(Note::warning(text)));
    let vms = topology(recipe.vms, recipe.machine).vms;
    let came = Some(Box::new(Came { vms, devices: Vec::new() }));
    items.push(Item::Note(Note::Warning { text: "VMs came".to_owned(), came }));
    items.push(Item::Note(Note::Counters(Counters::default())));
    items.push(Item::Note(Note::End { reason: "the time was up".to_owned(), failed: false }));
    written(&header(topology(recipe.vms, recipe.machine), "xdp", Hop::ALL), &items)
}
