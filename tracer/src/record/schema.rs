//! The columns of a recording and the words of its metadata: one definition for writing and for reading.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::{Context, Result};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tracer_common::{
    event::ABI_VERSION,
    hop::{Hook, Hop},
};

use crate::recording::Header;

/// Version of the format.
pub(super) const FORMAT_VERSION: &str = "1";

pub(super) const FORMAT_KEY: &str = "vmhop.recording";
pub(super) const ABI_KEY: &str = "vmhop.abi";
pub(super) const HEADER_KEY: &str = "vmhop.header";
const HOPS_KEY: &str = "vmhop.hops";
const HOOKS_KEY: &str = "vmhop.hooks";
const KINDS_KEY: &str = "vmhop.kinds";

/// Names of [`tracer_common::frame::Kind`] codes, for other readers.
const KINDS: [(u8, &str); 9] = [
    (1, "echo-request"),
    (2, "echo-reply"),
    (3, "tcp"),
    (4, "udp"),
    (5, "arp"),
    (6, "icmp"),
    (7, "fragment"),
    (8, "other"),
    (9, "truncated"),
];

/// A column: its name, its type, and whether it may be null.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: ColumnKind,
    pub(super) nullable: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Unsigned integers of so many bits.
    Unsigned(u8),
    /// Text.
    Text,
}

const fn integer(name: &'static str, bits: u8) -> Column {
    Column { name, kind: ColumnKind::Unsigned(bits), nullable: false }
}

/// All columns. The writer's builders and the reader's arrays have the same order.
pub(super) const COLUMNS: [Column; 20] = [
    integer("time_ns", 64),
    integer("hop", 8),
    integer("hook", 8),
    integer("cpu", 16),
    Column { name: "device", kind: ColumnKind::Unsigned(8), nullable: true },
    integer("tid", 32),
    integer("skb", 64),
    integer("head", 64),
    integer("digest", 64),
    integer("flow", 64),
    integer("len", 32),
    integer("seq", 32),
    integer("ack", 32),
    integer("kind", 8),
    integer("tcp_flags", 8),
    integer("overhead", 8),
    Column { name: "note", kind: ColumnKind::Text, nullable: true },
    integer("stamps", 32),
    integer("gso_size", 16),
    integer("tunnelled", 8),
];

/// How many of them recordings of versions before 3 have.
const FIRST_COLUMNS: usize = 17;

/// The columns of recordings with events of a version.
pub(super) fn columns(abi: u32) -> &'static [Column] {
    if abi < 3 { &COLUMNS[..FIRST_COLUMNS] } else { &COLUMNS }
}

/// The version of the events' meaning, as text.
pub(super) fn abi_version() -> String {
    ABI_VERSION.to_string()
}

/// The version that a recording names, if its events mean what this version reads in them: version 2 added hops and
/// hooks to version 1, version 3 columns.
pub(super) fn readable_abi(version: &str) -> Option<u32> {
    let known = 1..=ABI_VERSION;
    version.parse().ok().filter(|version| known.contains(version))
}

/// The schema of these columns without metadata, for reading batches.
pub(super) fn plain(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let kind = match column.kind {
                ColumnKind::Unsigned(64) => DataType::UInt64,
                ColumnKind::Unsigned(32) => DataType::UInt32,
                ColumnKind::Unsigned(16) => DataType::UInt16,
                ColumnKind::Unsigned(_) => DataType::UInt8,
                ColumnKind::Text => DataType::Utf8,
            };
            Field::new(column.name, kind, column.nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The schema with everything that the file says of itself.
pub(super) fn with_header(header: &Header) -> Result<Schema> {
    let hops: BTreeMap<u8, &str> = Hop::ALL.iter().map(|&hop| (hop as u8, hop.name())).collect();
    let hooks: BTreeMap<u8, &str> = Hook::ALL.iter().map(|&hook| (hook as u8, hook.name())).collect();
    let json = |what: &BTreeMap<u8, &str>| serde_json::to_string(what);
    let header = serde_json::to_string(header).context("failed to write the recording's header as JSON")?;
    let metadata = HashMap::from([
        (FORMAT_KEY.to_owned(), FORMAT_VERSION.to_owned()),
        (ABI_KEY.to_owned(), abi_version()),
        (HEADER_KEY.to_owned(), header),
        (HOPS_KEY.to_owned(), json(&hops)?),
        (HOOKS_KEY.to_owned(), json(&hooks)?),
        (KINDS_KEY.to_owned(), json(&BTreeMap::from(KINDS))?),
    ]);
    Ok(plain(&COLUMNS).as_ref().clone().with_metadata(metadata))
}
