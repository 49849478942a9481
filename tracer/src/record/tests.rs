//! A recording says what was put into it, whole or in part, and no bytes make reading panic.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Write},
};

use arrow::ipc::reader::StreamReader;
use proptest::prelude::*;
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::{BATCH_ROWS, Item, ReadError, RecordReader, RecordWriter};
use crate::{
    decode::{Event, Flow},
    recording::{
        Bill, Counters, ExitReason, ExitUse, Header, Host, Mode, Note, PlannedHop, ProgramCost, ThreadUse,
        VmUse,
    },
    topology::{ThreadRole, Topology},
};

fn header() -> Header {
    Header {
        host: Host {
            name: "host".to_owned(),
            kernel: "6.18.0".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: 2,
            vmhop: "0.1.0".to_owned(),
        },
        started_unix_ns: 1_700_000_000_000_000_000,
        started_monotonic_ns: 5,
        topology: Topology::default(),
        vms: vec!["lab".to_owned()],
        devices: Vec::new(),
        plan: vec![PlannedHop {
            hop: "tap.rx".to_owned(),
            hooks: Vec::new(),
            unserved: Some("no".to_owned()),
            choices: Vec::new(),
        }],
        filter: "icmp".to_owned(),
        command: vec!["ping".to_owned()],
        drop_reasons: BTreeMap::from([(2, "NOT_SPECIFIED".to_owned())]),
        exit_reasons: BTreeMap::from([(1, BTreeMap::from([(12, "HLT".to_owned())]))]),
        user_hops: Vec::new(),
        sampled: None,
        mode: Mode::default(),
    }
}

fn event(n: u64) -> Event {
    Event {
        time_ns: n,
        skb: 0xffff_8881_0000_0000 | n,
        head: n + 1,
        digest: u64::MAX - n,
        flow: n * 7,
        len: 98,
        seq: n as u32,
        ack: 3,
        stamps: n as u32 + 9,
        tid: 4,
        cpu: 513,
        device: n.is_multiple_of(2).then_some(n as u8),
        hop: Hop::ALL[n as usize % Hop::ALL.len()],
        hook: Hook::ALL[n as usize % Hook::ALL.len()],
        kind: Kind::from_code((n % 10) as u8),
        tcp_flags: 0x18,
        overhead: 42,
        gso_size: 1448,
        tunnelled: n.is_multiple_of(3),
    }
}

fn bill() -> Bill {
    let exit = |reason| ExitUse { reason, count: 1, ns: u64::MAX, off_ns: 2 };
    let thread = ThreadUse {
        tid: 7,
        name: "CPU 0/KVM".to_owned(),
        role: ThreadRole::Vcpu(0),
        cpu_ns: 3,
        wait_ns: None,
    };
    let used = VmUse {
        vm: "lab".to_owned(),
        vcpus: 1,
        entries: 4,
        guest_ns: 5,
        exits: vec![
            exit(ExitReason::Told { isa: 2, code: u32::MAX }),
            exit(ExitReason::Other),
            exit(ExitReason::Untold),
            exit(ExitReason::Before),
        ],
        threads: vec![thread],
    };
    Bill { wall_ns: 6, host_ns: Some(7), vms: vec![used] }
}

fn notes() -> Vec<Note> {
    let flow = Flow {
        flow: u64::MAX,
        src: Some([192, 0, 2, 1].into()),
        dst: None,
        src_port: 1,
        dst_port: 65535,
        protocol: 6,
    };
    let program = ProgramCost { program: "tap_rx".to_owned(), runs: 1, run_ns: u64::MAX, missed: 2 };
    let counters = Counters {
        lost: BTreeMap::from([("tap.rx".to_owned(), 1)]),
        lost_by_cpu: BTreeMap::from([(1, u64::MAX)]),
        undecoded: 2,
        programs: vec![program],
        reader_cpu_ns: 3,
        wall_ns: 4,
        metered_ns: 0,
    };
    vec![
        Note::Flow(flow),
        Note::Counters(counters),
        Note::Bill(bill()),
        Note::warning("ü \"quoted\"\n"),
        Note::End { reason: "interrupted".to_owned(), failed: true },
    ]
}

/// `events` events with a note of each sort in between, flushed after every `batch` of them.
fn recording(events: u64, batch: u64) -> (Vec<u8>, Vec<Item>) {
    let mut bytes = Vec::new();
    let mut items = Vec::new();
    let mut writer = RecordWriter::create(&mut bytes, &header()).unwrap();
    for n in 0..events {
        writer.event(&event(n)).unwrap();
        items.push(Item::Event(event(n)));
        if n == events / 2 {
            for note in notes() {
                writer.note(&note).unwrap();
                items.push(Item::Note(note));
            }
        }
        if n % batch == batch - 1 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap();
    drop(writer);
    (bytes, items)
}

/// Everything that can be read, whether it was cut off, and the error at its end.
fn read(bytes: &[u8]) -> Result<(Vec<Item>, bool, Option<ReadError>), ReadError> {
    let mut reader = RecordReader::from_read(Cursor::new(bytes.to_vec()))?;
    let (mut items, mut error) = (Vec::new(), None);
    for item in reader.by_ref() {
        match item {
            Ok(item) => items.push(item),
            Err(it) => error = Some(it),
        }
    }
    Ok((items, reader.truncated(), error))
}

#[test]
fn what_was_written_is_read() {
    for (events, batch) in [(0, 1), (1, 1), (100, 7), (BATCH_ROWS as u64 * 2 + 5, u64::MAX)] {
        let (bytes, expected) = recording(events, batch);
        let (items, truncated, error) = read(&bytes).unwrap();
        assert!(items == expected, "{events} events in batches of {batch}");
        assert!(!truncated && error.is_none());
    }
    let (bytes, _) = recording(1, 1);
    assert_eq!(RecordReader::from_read(Cursor::new(bytes)).unwrap().header(), &header());
}

#[test]
fn other_tools_read_it_and_find_the_names_in_it() {
    let (bytes, items) = recording(100, 30);
    let reader = StreamReader::try_new(&bytes[..], None).unwrap();
    let schema = reader.schema();
    assert_eq!(schema.metadata()["vmhop.recording"], "1");
    let hops: BTreeMap<u8, String> = serde_json::from_str(&schema.metadata()["vmhop.hops"]).unwrap();
    assert_eq!(hops[&(Hop::TapRx as u8)], "tap.rx");
    assert!(schema.metadata()["vmhop.hooks"].contains("tp_btf:netif_receive_skb"));
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, items.len());
}

#[test]
fn the_kinds_in_the_metadata_are_all_kinds() {
    let (bytes, _) = recording(0, 1);
    let reader = StreamReader::try_new(&bytes[..], None).unwrap();
    let kinds: BTreeMap<u8, String> =
        serde_json::from_str(&reader.schema().metadata()["vmhop.kinds"]).unwrap();
    assert!((0..=u8::MAX).all(|code| kinds.contains_key(&code) == Kind::from_code(code).is_some()));
}

#[test]
fn a_recording_cut_off_anywhere_keeps_its_whole_batches() {
    let (bytes, expected) = recording(40, 10);
    let mut most = 0;
    for end in 0..bytes.len() {
        match read(&bytes[..end]) {
            Err(error) => {
                assert!(matches!(error, ReadError::NotARecording { .. }) && most == 0, "{end}: {error}")
            }
            Ok((items, truncated, error)) => {
                assert!(truncated && error.is_none(), "{end}: {error:?}");
                assert!(expected.starts_with(&items) && items.len() >= most, "{end}");
                most = items.len();
            }
        }
    }
    assert_eq!(most, expected.len());
}

#[test]
fn what_was_flushed_is_in_the_file_before_the_end() {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::create(&mut bytes, &header()).unwrap();
    writer.event(&event(1)).unwrap();
    writer.flush().unwrap();
    writer.event(&event(2)).unwrap();
    std::mem::forget(writer);
    let (items, truncated, error) = read(&bytes).unwrap();
    assert_eq!(items, [Item::Event(event(1))]);
    assert!(truncated && error.is_none());
}

#[test]
fn another_version_is_told_from_no_recording() {
    let (bytes, _) = recording(3, 3);
    let replaced = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        read(&bytes).map(|_| ()).unwrap_err()
    };
    let abi = read(&bytes).map(|_| super::schema::abi_version()).unwrap();
    assert!(matches!(replaced("vmhop.recording", "vmhop.recorking"), ReadError::NotARecording { .. }));
    assert!(matches!(replaced("vmhop.abi", "vmhop.aby"), ReadError::OtherVersion { .. }));
    assert!(matches!(replaced("overhead", "overhear"), ReadError::Corrupt { rows: 0, .. }));
    assert!(matches!(replaced("\"started_unix_ns\"", "\"started_unix_nn\""), ReadError::Corrupt { .. }));
    let mut format = bytes.clone();
    let key = bytes.windows(15).position(|window| window == b"vmhop.recording").unwrap();
    let value = (key..key + 64).chain(key - 64..key).find(|&at| bytes[at..].starts_with(b"1\0"));
    format[value.unwrap()] = b'7';
    let error = read(&format).map(|_| ()).unwrap_err().to_string();
    let expected = format!(
        "the input is a recording of format 7 with events of version {abi}, and this vmhop reads format 1 with \
         events of version {abi}: use the vmhop that wrote it, or record again"
    );
    assert_eq!(error, expected);
}

#[test]
fn what_is_no_recording_is_called_so() {
    for bytes in [&b""[..], b"vmhop", b"PK\x03\x04 some archive", &[0; 4096], &[0xff; 4096]] {
        let error = read(bytes).map(|_| ()).unwrap_err();
        assert!(matches!(error, ReadError::NotARecording { .. }), "{error}");
    }
    let error = RecordReader::open("/nonexistent").map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("failed to read /nonexistent"));
}

/// A disk with room for so many bytes.
struct SmallDisk(usize);

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = bytes.len().min(self.0);
        self.0 -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_of_its_kind_and_ends_the_recording() {
    let kind = |error: &anyhow::Error| error.downcast_ref::<io::Error>().map(io::Error::kind);
    let error = RecordWriter::create(SmallDisk(100), &header()).map(|_| ()).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::StorageFull));
    let mut writer = RecordWriter::create(SmallDisk(8000), &header()).unwrap();
    let error = (0..).find_map(|n| writer.event(&event(n)).and_then(|()| writer.flush()).err()).unwrap();
    assert_eq!(kind(&error), Some(io::ErrorKind::StorageFull));
    assert!(format!("{error:#}").starts_with("failed to write to the recording: "));
    assert!(writer.finish().unwrap_err().to_string().contains("has failed before"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_bytes_make_reading_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let (mut bytes, _) = recording(6, 3);
        for (index, value, how) in changes {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value & 7),
                _ => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = value | 0x7f),
            }
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = read(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
