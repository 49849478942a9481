//! Cuts an Arrow IPC stream into messages and checks them, before arrow looks inside.
//!
//! arrow's own reader trusts the lengths and offsets in a message and panics where they lie, and it does not
//! tell a stream that was closed from one that was cut off. Here every number is checked that it would use.

use std::io::{self, Read};

use arrow::ipc::{self, Message, MessageHeader, MetadataVersion, RecordBatch, Type};

use super::schema::{Column, ColumnKind};

/// Longest metadata of a message: the header's JSON is some 100 KB with a thousand devices.
const MAX_METADATA: usize = 64 << 20;
/// Longest body of a message: a thousand times what [`super::RecordWriter`] writes, since other tools may
/// have rewritten the file in larger batches.
const MAX_BODY: usize = 1 << 30;
/// What is reserved before the bytes have come.
const RESERVED: usize = 1 << 20;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// A message as it lies in the stream.
pub(super) struct Framed {
    pub(super) metadata: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// What comes next.
pub(super) enum Next {
    Message(Framed),
    /// The end marker.
    End,
    /// The stream stops without it.
    Cut,
}

/// Why there is no next message.
pub(super) enum FramingError {
    Io(io::Error),
    Corrupt(String),
}

impl From<io::Error> for FramingError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<&str> for FramingError {
    fn from(what: &str) -> Self {
        Self::Corrupt(what.to_owned())
    }
}

/// Reads the next message.
pub(super) fn next(input: &mut impl Read) -> Result<Next, FramingError> {
    let Some(prefix) = take(input, 8)? else { return Ok(Next::Cut) };
    let Some(length) = prefix.strip_prefix(&CONTINUATION) else {
        return Err("a message does not start with its mark".into());
    };
    let length = length.iter().rev().fold(0, |value, &byte| (value << 8) | usize::from(byte));
    if length == 0 {
        return Ok(Next::End);
    }
    if length > MAX_METADATA {
        return Err(FramingError::Corrupt(format!("a message has {length} bytes of metadata")));
    }
    let Some(metadata) = take(input, length)? else { return Ok(Next::Cut) };
    let body_length = message(&metadata)?.bodyLength();
    let body_length = usize::try_from(body_length)
        .ok()
        .filter(|&length| length <= MAX_BODY)
        .ok_or_else(|| FramingError::Corrupt(format!("a message has a body of {body_length} bytes")))?;
    let Some(body) = take(input, body_length)? else { return Ok(Next::Cut) };
    Ok(Next::Message(Framed { metadata, body }))
}

/// So many bytes; `None` where the input ends before.
fn take(input: &mut impl Read, length: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(length.min(RESERVED));
    input.take(length as u64).read_to_end(&mut bytes)?;
    Ok((bytes.len() == length).then_some(bytes))
}

/// The message of some metadata, its flatbuffer verified.
pub(super) fn message(metadata: &[u8]) -> Result<Message<'_>, FramingError> {
    ipc::root_as_message(metadata).map_err(|error| {
        // It says what it was at, on lines of their own.
        let words = error.to_string();
        let words: Vec<&str> = words.split_whitespace().collect();
        FramingError::Corrupt(format!("a message's metadata is no flatbuffer: {}", words.join(" ")))
    })
}

/// The metadata of a schema message, in which a key may be missing; `None` where it is no schema.
pub(super) fn schema_metadata<'a>(message: &Message<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let schema = message.header_as_schema()?;
    let pairs = schema.custom_metadata()?;
    Some(pairs.iter().filter_map(|pair| Some((pair.key()?, pair.value()?))).collect())
}

/// Checks that a schema message has these columns.
pub(super) fn check_columns(message: &Message<'_>, columns: &[Column]) -> Result<(), FramingError> {
    let schema = message.header_as_schema().ok_or("the first message is no schema")?;
    let fields = schema.fields().ok_or("the schema has no columns")?;
    if fields.len() != columns.len() || schema.endianness() != ipc::Endianness::Little {
        return Err(FramingError::Corrupt(format!("the schema has {} columns", fields.len())));
    }
    for (field, column) in fields.iter().zip(columns) {
        let kind = match field.type_type() {
            Type::Utf8 => Some(ColumnKind::Text),
            Type::Int => field
                .type_as_int()
                .filter(|int| !int.is_signed())
                .and_then(|int| u8::try_from(int.bitWidth()).ok())
                .map(ColumnKind::Unsigned),
            _ => None,
        };
        let same = field.name() == Some(column.name) && kind == Some(column.kind);
        if !same || field.dictionary().is_some() {
            return Err(FramingError::Corrupt(format!("the schema lacks the column {}", column.name)));
        }
    }
    Ok(())
}

/// The record batch of a message, with every length and offset in it checked against the body.
pub(super) fn batch<'a>(
    message: &Message<'a>,
    columns: &[Column],
    body: usize,
) -> Result<RecordBatch<'a>, FramingError> {
    if message.header_type() != MessageHeader::RecordBatch || message.version() != MetadataVersion::V5 {
        return Err("a message is no record batch".into());
    }
    let batch = message.header_as_record_batch().ok_or("a message is no record batch")?;
    let rows = usize::try_from(batch.length()).map_err(|_| "a batch has a negative length")?;
    let nodes = batch.nodes().ok_or("a batch has no columns")?;
    let mut buffers = batch.buffers().ok_or("a batch has no buffers")?.iter();
    if batch.compression().is_some() || nodes.len() != columns.len() || rows > body {
        return Err("a batch is compressed, or has other columns or more rows than fit".into());
    }
    let mut room = || -> Option<usize> {
        let buffer = buffers.next()?;
        let (offset, length) =
            (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
        (offset.checked_add(length)? <= body).then_some(length)
    };
    for (node, column) in nodes.iter().zip(columns) {
        let whole = check_column(column.kind, rows, node.null_count() != 0, &mut room).unwrap_or(false);
        let nulls = usize::try_from(node.null_count()).is_ok_and(|nulls| nulls <= rows);
        let nullable = column.nullable || node.null_count() == 0;
        if !whole || !nulls || !nullable || usize::try_from(node.length()) != Ok(rows) {
            return Err(FramingError::Corrupt(format!("the column {} is not whole", column.name)));
        }
    }
    if room().is_some() { Err("a batch has more buffers than columns".into()) } else { Ok(batch) }
}

/// An offset into the text of a column.
const OFFSET_BYTES: usize = 4;

/// Whether a column's buffers hold as many rows; `None` where one is missing.
fn check_column(
    kind: ColumnKind,
    rows: usize,
    nulls: bool,
    room: &mut impl FnMut() -> Option<usize>,
) -> Option<bool> {
    let validity = room()?;
    let validity = !nulls || validity >= rows.div_ceil(8);
    let values = room()?;
    // arrow also panics where a buffer ends within a value.
    let holds = |count: usize, width: usize| values >= count * width && values % width == 0;
    Some(match kind {
        ColumnKind::Unsigned(bits) => validity && holds(rows, usize::from(bits / 8)),
        ColumnKind::Text => {
            // The text itself: arrow checks the offsets into it, and that it is UTF-8.
            room()?;
            validity && holds(if rows == 0 { 0 } else { rows + 1 }, OFFSET_BYTES)
        }
    })
}
