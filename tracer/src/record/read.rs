//! Reading a recording, a batch at a time; memory is bounded by the longest batch.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    slice::Iter,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch, StringArray, UInt8Array},
    buffer::{Buffer, ScalarBuffer},
    datatypes::{SchemaRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
    ipc::{MetadataVersion, reader::read_record_batch},
};
use thiserror::Error;
use tracer_common::{
    frame::Kind,
    hop::{Hook, Hop},
};

use super::{
    framing::{self, Framed, FramingError, Next},
    schema::{self, ABI_KEY, FORMAT_KEY, FORMAT_VERSION, HEADER_KEY},
};
use crate::{
    decode::{self, Event},
    recording::{Header, Note},
};

/// Large enough for a batch to take a dozen system calls.
const BUFFER: usize = 64 * 1024;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A hop event.
    Event(Event),
    /// A note.
    Note(Note),
}

/// Why a recording cannot be read, or no further.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Something else.
    #[error(
        "{path} is not a vmhop recording, or was cut off in its first bytes: name a file that `vmhop record` \
         has written"
    )]
    NotARecording {
        /// The file.
        path: String,
    },
    /// Written by a vmhop with which this one shares no format.
    #[error(
        "{path} is a recording of {found}, and this vmhop reads {supported}: use the vmhop that wrote it, or \
         record again"
    )]
    OtherVersion {
        /// The file.
        path: String,
        /// Its versions.
        found: String,
        /// The versions that can be read.
        supported: String,
    },
    /// The file cannot be read.
    #[error("failed to read {path}: check that it exists and that its disk is well")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file was changed after it was written.
    #[error(
        "{path} is damaged after {rows} rows ({what}): fetch the file again from where it was written, or \
         record again"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// Rows that were read before; they are good.
        rows: u64,
        /// What is wrong.
        what: String,
    },
}

/// Reads a recording: an iterator of its rows, which ends after the first error.
pub struct RecordReader {
    path: String,
    input: Box<dyn Read + Send>,
    header: Header,
    abi: u32,
    schema: SchemaRef,
    rows: Option<Rows>,
    read: u64,
    state: State,
}

/// How the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Cut,
    Failed,
}

impl RecordReader {
    /// Opens a recording and reads its header.
    ///
    /// # Errors
    /// No such file, or none that can be read, or no recording of this version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let name = path.as_ref().display().to_string();
        let file = File::open(path).map_err(|source| ReadError::Io { path: name.clone(), source })?;
        Self::named(name, Box::new(BufReader::with_capacity(BUFFER, file)))
    }

    /// Reads a recording from anything; errors call it "the input".
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_read(input: impl Read + Send + 'static) -> Result<Self, ReadError> {
        Self::named("the input".to_owned(), Box::new(BufReader::with_capacity(BUFFER, input)))
    }

    fn named(path: String, mut input: Box<dyn Read + Send>) -> Result<Self, ReadError> {
        let schema = match framing::next(&mut input) {
            Ok(Next::Message(schema)) => schema,
            Err(FramingError::Io(source)) => return Err(ReadError::Io { path, source }),
            Ok(Next::End | Next::Cut) | Err(FramingError::Corrupt(_)) => {
                return Err(ReadError::NotARecording { path });
            }
        };
        let (header, abi) = header(&path, &schema)?;
        let schema = schema::plain(schema::columns(abi));
        Ok(Self { path, input, header, abi, schema, rows: None, read: 0, state: State::Open })
    }

    /// What was known when the recording started.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Version of the events' meaning ([`ABI_VERSION`](tracer_common::event::ABI_VERSION) of the vmhop that wrote them).
    pub fn abi(&self) -> u32 {
        self.abi
    }

    /// Whether the stream stopped without its end marker, which a crash leaves behind; known once the
    /// iterator has ended. All rows before are good.
    pub fn truncated(&self) -> bool {
        self.state == State::Cut
    }

    /// The next row of the current batch or of the next ones.
    fn row(&mut self) -> Result<Option<Item>, FramingError> {
        loop {
            if let Some(rows) = self.rows.as_mut().filter(|rows| rows.at < rows.time_ns.len()) {
                let item = rows.item().map_err(FramingError::Corrupt)?;
                rows.at += 1;
                self.read += 1;
                return Ok(Some(item));
            }
            self.rows = None;
            match framing::next(&mut self.input)? {
                Next::Message(message) => self.rows = Some(self.batch(message)?),
                Next::End => self.state = State::Closed,
                Next::Cut => self.state = State::Cut,
            }
            if self.state != State::Open {
                return Ok(None);
            }
        }
    }

    fn batch(&self, Framed { metadata, body }: Framed) -> Result<Rows, FramingError> {
        let message = framing::message(&metadata)?;
        let batch = framing::batch(&message, schema::columns(self.abi), body.len())?;
        let schema = Arc::clone(&self.schema);
        let no_dictionaries = HashMap::new();
        let body = Buffer::from_vec(body);
        read_record_batch(&body, batch, schema, &no_dictionaries, None, &MetadataVersion::V5)
            .map_err(|error| error.to_string())
            .and_then(|batch| Rows::of(&batch).ok_or("a column has another type".to_owned()))
            .map_err(FramingError::Corrupt)
    }
}

impl Iterator for RecordReader {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Open {
            return None;
        }
        let error = match self.row() {
            Ok(item) => return item.map(Ok),
            Err(error) => error,
        };
        self.state = State::Failed;
        let path = self.path.clone();
        Some(Err(match error {
            FramingError::Io(source) => ReadError::Io { path, source },
            FramingError::Corrupt(what) => ReadError::Corrupt { path, rows: self.read, what },
        }))
    }
}

/// Checks that a schema message is that of a recording that this version reads. Gives the header in it and the version of
/// the events.
fn header(path: &str, schema: &Framed) -> Result<(Header, u32), ReadError> {
    let path = path.to_owned();
    let Ok(message) = framing::message(&schema.metadata) else {
        return Err(ReadError::NotARecording { path });
    };
    let metadata = framing::schema_metadata(&message).unwrap_or_default();
    let value = |key: &str| metadata.iter().find(|(name, _)| *name == key).map(|&(_, value)| value);
    let Some(format) = value(FORMAT_KEY) else {
        return Err(ReadError::NotARecording { path });
    };
    let (abi, own_abi) = (value(ABI_KEY).unwrap_or("0"), schema::abi_version());
    let Some(version) = schema::readable_abi(abi).filter(|_| format == FORMAT_VERSION) else {
        let shown = |format: &str, abi: &str| {
            format!("format {} with events of version {}", format.escape_debug(), abi.escape_debug())
        };
        let (found, supported) = (shown(format, abi), shown(FORMAT_VERSION, &own_abi));
        return Err(ReadError::OtherVersion { path, found, supported });
    };
    if let Err(FramingError::Corrupt(what)) = framing::check_columns(&message, schema::columns(version)) {
        return Err(ReadError::Corrupt { path, rows: 0, what });
    }
    let header = serde_json::from_str(value(HEADER_KEY).unwrap_or_default()).map_err(|error| {
        let what = format!("its header is not the JSON it should be: {error}");
        ReadError::Corrupt { path, rows: 0, what }
    })?;
    Ok((header, version))
}

/// A batch, column by column, and the row that comes next.
struct Rows {
    at: usize,
    time_ns: ScalarBuffer<u64>,
    hop: ScalarBuffer<u8>,
    hook: ScalarBuffer<u8>,
    cpu: ScalarBuffer<u16>,
    device: UInt8Array,
    tid: ScalarBuffer<u32>,
    skb: ScalarBuffer<u64>,
    head: ScalarBuffer<u64>,
    digest: ScalarBuffer<u64>,
    flow: ScalarBuffer<u64>,
    len: ScalarBuffer<u32>,
    seq: ScalarBuffer<u32>,
    ack: ScalarBuffer<u32>,
    kind: ScalarBuffer<u8>,
    tcp_flags: ScalarBuffer<u8>,
    overhead: ScalarBuffer<u8>,
    note: StringArray,
    /// Of recordings from version 3 on.
    further: Option<Further>,
}

/// Columns that version 3 added.
struct Further {
    stamps: ScalarBuffer<u32>,
    gso_size: ScalarBuffer<u16>,
    tunnelled: ScalarBuffer<u8>,
}

impl Rows {
    /// The columns, in the order of the schema; `None` where one has another type.
    fn of(batch: &RecordBatch) -> Option<Self> {
        let columns = &mut batch.columns().iter();
        Some(Self {
            at: 0,
            time_ns: next::<UInt64Type>(columns)?,
            hop: next::<UInt8Type>(columns)?,
            hook: next::<UInt8Type>(columns)?,
            cpu: next::<UInt16Type>(columns)?,
            device: columns.next()?.as_primitive_opt::<UInt8Type>()?.clone(),
            tid: next::<UInt32Type>(columns)?,
            skb: next::<UInt64Type>(columns)?,
            head: next::<UInt64Type>(columns)?,
            digest: next::<UInt64Type>(columns)?,
            flow: next::<UInt64Type>(columns)?,
            len: next::<UInt32Type>(columns)?,
            seq: next::<UInt32Type>(columns)?,
            ack: next::<UInt32Type>(columns)?,
            kind: next::<UInt8Type>(columns)?,
            tcp_flags: next::<UInt8Type>(columns)?,
            overhead: next::<UInt8Type>(columns)?,
            note: columns.next()?.as_string_opt::<i32>()?.clone(),
            further: match columns.len() {
                0 => None,
                _ => Some(Further {
                    stamps: next::<UInt32Type>(columns)?,
                    gso_size: next::<UInt16Type>(columns)?,
                    tunnelled: next::<UInt8Type>(columns)?,
                }),
            },
        })
    }

    /// The row at `at`, which there is.
    fn item(&self) -> Result<Item, String> {
        let at = self.at;
        let code = self.hop[at];
        if code == 0 {
            let json = if self.note.is_valid(at) { self.note.value(at) } else { "" };
            let note =
                serde_json::from_str(json).map_err(|error| format!("a note is not understood: {error}"))?;
            return Ok(Item::Note(note));
        }
        let hook = self.hook[at];
        let further = self.further.as_ref();
        Ok(Item::Event(Event {
            time_ns: decode::checked_time(self.time_ns[at]).map_err(|error| error.to_string())?,
            skb: self.skb[at],
            head: self.head[at],
            digest: self.digest[at],
            flow: self.flow[at],
            len: self.len[at],
            seq: self.seq[at],
            ack: self.ack[at],
            stamps: further.map_or(0, |columns| columns.stamps[at]),
            tid: self.tid[at],
            cpu: self.cpu[at],
            device: self.device.is_valid(at).then(|| self.device.value(at)),
            hop: Hop::from_code(code).ok_or_else(|| format!("hop code {code} is not known"))?,
            hook: Hook::from_code(hook).ok_or_else(|| format!("hook code {hook} is not known"))?,
            kind: Kind::from_code(self.kind[at]),
            tcp_flags: self.tcp_flags[at],
            overhead: self.overhead[at],
            gso_size: further.map_or(0, |columns| columns.gso_size[at]),
            tunnelled: further.is_some_and(|columns| columns.tunnelled[at] != 0),
        }))
    }
}

/// The values of the next column; `None` where it is missing or of another type.
fn next<T: ArrowPrimitiveType>(columns: &mut Iter<'_, ArrayRef>) -> Option<ScalarBuffer<T::Native>> {
    Some(columns.next()?.as_primitive_opt::<T>()?.values().clone())
}
