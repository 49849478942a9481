//! A record of the ring buffer: what is decoded is what the bytes say, and a recording keeps it.

use std::io::Cursor;

use tracer::{
    decode::{DecodeError, LATEST_NS, Record, decode},
    record::{Item, RecordReader, RecordWriter},
    recording::Note,
};
use tracer_common::{
    event::{FlowRecord, HopEvent},
    hop::{Hook, Hop},
};

use crate::{header::header, world};

pub(super) fn run(bytes: &[u8]) {
    match decode(bytes) {
        Ok(Record::Event(event)) => {
            assert_eq!(bytes.len(), size_of::<HopEvent>());
            assert_eq!(event.time_ns.to_ne_bytes(), bytes[..8]);
            kept(Item::Event(event));
        }
        Ok(Record::Flow(flow)) => {
            assert_eq!(bytes.len(), size_of::<FlowRecord>());
            assert_eq!(flow.src.is_some(), flow.dst.is_some());
            kept(Item::Note(Note::Flow(flow)));
        }
        Err(DecodeError::Length(length)) => assert_eq!(length, bytes.len()),
        Err(DecodeError::Hop(code)) => assert_eq!(Hop::from_code(code), None),
        Err(DecodeError::Hook(code)) => assert_eq!(Hook::from_code(code), None),
        Err(DecodeError::Time(time)) => assert!(time > LATEST_NS),
    }
}

/// What is written is read.
fn kept(item: Item) {
    let mut bytes = Vec::new();
    let mut writer =
        RecordWriter::create(&mut bytes, &header(world::topology(0, world::Machine::Emulated), "xdp", &[]))
            .unwrap();
    match &item {
        Item::Event(event) => writer.event(event).unwrap(),
        Item::Note(note) => writer.note(note).unwrap(),
    }
    writer.finish().unwrap();
    drop(writer);
    let items: Vec<Item> = RecordReader::from_read(Cursor::new(bytes)).unwrap().map(Result::unwrap).collect();
    assert_eq!(items, [item]);
}

/// An event of every hop by every hook, in turn, and flows of both versions.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let event = |(number, &hop): (usize, &Hop)| {
        let mut bytes = vec![number as u8; size_of::<HopEvent>()];
        let codes = [hop as u8, Hook::ALL[number % Hook::ALL.len()] as u8, (number % 10) as u8];
        let at = std::mem::offset_of!(HopEvent, hop);
        bytes[at..at + 3].copy_from_slice(&codes);
        bytes
    };
    let flow = |version: u8| {
        let mut bytes = vec![7; size_of::<FlowRecord>()];
        bytes[std::mem::offset_of!(FlowRecord, version)] = version;
        bytes
    };
    Hop::ALL.iter().enumerate().map(event).chain([4, 6, 0].map(flow)).collect()
}
