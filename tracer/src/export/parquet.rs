//! The table of segments as Parquet: words by dictionary, compressed, a row group at a time.

use std::{io, mem, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Builder, RecordBatch, StringDictionaryBuilder, UInt32Builder, UInt64Builder},
    datatypes::{DataType, Field, Int16Type, Schema, SchemaRef},
    error::ArrowError,
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use super::{
    exporter::Target,
    table::{Row, RowWriter, SCHEMA},
};
use crate::recording::Header;

/// Rows that are handed over at once.
const BATCH: usize = 8 * 1024;
/// Rows of a row group: what is kept in memory, compressed, until it is written.
const ROW_GROUP: usize = 16 * BATCH;

type Words = StringDictionaryBuilder<Int16Type>;

/// Writes the rows.
pub(super) struct Rows<'a> {
    schema: SchemaRef,
    columns: Columns,
    /// The writer must be one that may go to another thread, which the target need not be: it fills this buffer, which
    /// is emptied into the target.
    writer: ArrowWriter<Vec<u8>>,
    out: Target<'a>,
}

/// The rows of the next batch, by column.
#[derive(Default)]
struct Columns {
    rows: usize,
    exchange: UInt64Builder,
    kind: Words,
    initiator: Words,
    vm: Words,
    start_ns: Int64Builder,
    start_unix_ns: Int64Builder,
    total_ns: Int64Builder,
    segment: UInt32Builder,
    way: Words,
    from: Words,
    to: Words,
    from_hook: Words,
    to_hook: Words,
    layer: Words,
    offset_ns: Int64Builder,
    time_ns: Int64Builder,
}

fn schema() -> SchemaRef {
    let words = || DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    let field = |name: &str, kind: DataType| Field::new(name, kind, name == "start_unix_ns");
    Arc::new(Schema::new(vec![
        field("exchange", DataType::UInt64),
        field("kind", words()),
        field("initiator", words()),
        field("vm", words()),
        field("start_ns", DataType::Int64),
        field("start_unix_ns", DataType::Int64),
        field("total_ns", DataType::Int64),
        field("segment", DataType::UInt32),
        field("way", words()),
        field("from", words()),
        field("to", words()),
        field("from_hook", words()),
        field("to_hook", words()),
        field("layer", words()),
        field("offset_ns", DataType::Int64),
        field("time_ns", DataType::Int64),
    ]))
}

impl Columns {
    fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        self.rows += 1;
        self.exchange.append_value(row.exchange);
        self.start_ns.append_value(row.start_ns);
        self.start_unix_ns.append_option(row.start_unix_ns);
        self.total_ns.append_value(row.total_ns);
        self.segment.append_value(row.segment);
        self.offset_ns.append_value(row.offset_ns);
        self.time_ns.append_value(row.time_ns);
        for (column, word) in [
            (&mut self.kind, row.kind),
            (&mut self.initiator, row.initiator),
            (&mut self.vm, row.vm),
            (&mut self.way, row.way),
            (&mut self.from, row.from),
            (&mut self.to, row.to),
            (&mut self.from_hook, row.from_hook),
            (&mut self.to_hook, row.to_hook),
            (&mut self.layer, row.layer),
        ] {
            column.append(word)?;
        }
        Ok(())
    }

    /// The rows so far, in the order of [`schema`].
    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.exchange.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.initiator.finish()),
            Arc::new(self.vm.finish()),
            Arc::new(self.start_ns.finish()),
            Arc::new(self.start_unix_ns.finish()),
            Arc::new(self.total_ns.finish()),
            Arc::new(self.segment.finish()),
            Arc::new(self.way.finish()),
            Arc::new(self.from.finish()),
            Arc::new(self.to.finish()),
            Arc::new(self.from_hook.finish()),
            Arc::new(self.to_hook.finish()),
            Arc::new(self.layer.finish()),
            Arc::new(self.offset_ns.finish()),
            Arc::new(self.time_ns.finish()),
        ];
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

/// What the file says of itself.
fn metadata(header: &Header) -> io::Result<Vec<KeyValue>> {
    let entry = |key: &str, value: &str| KeyValue::new(format!("vmhop.{key}"), value.to_owned());
    Ok(vec![
        entry("schema", SCHEMA),
        entry("version", &header.host.vmhop),
        entry("host", &header.host.name),
        entry("kernel", &header.host.kernel),
        entry("arch", &header.host.arch),
        entry("vms", &serde_json::to_string(&header.vms)?),
        entry("filter", &header.filter),
        entry("command", &serde_json::to_string(&header.command)?),
        entry("started_unix_ns", &header.started_unix_ns.to_string()),
        entry("started_monotonic_ns", &header.started_monotonic_ns.to_string()),
    ])
}

impl<'a> Rows<'a> {
    pub(super) fn begin(header: &Header, out: Target<'a>) -> io::Result<Rows<'a>> {
        let properties = WriterProperties::builder()
            .set_created_by(format!("vmhop {}", header.host.vmhop))
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_key_value_metadata(Some(metadata(header)?))
            .build();
        let schema = schema();
        let writer =
            ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(parquet)?;
        Ok(Rows { schema, columns: Columns::default(), writer, out })
    }

    /// Hands the rows over, and what became of them so far to the target.
    fn flush(&mut self) -> io::Result<()> {
        if self.columns.rows > 0 {
            let batch = self.columns.take(&self.schema).map_err(io::Error::other)?;
            self.writer.write(&batch).map_err(parquet)?;
        }
        self.drain()
    }

    fn drain(&mut self) -> io::Result<()> {
        self.writer.sync()?;
        io::Write::write_all(&mut self.out, &mem::take(self.writer.inner_mut()))
    }
}

/// It writes to memory: only a defect makes it fail.
fn parquet(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

impl RowWriter for Rows<'_> {
    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.columns.push(row).map_err(io::Error::other)?;
        if self.columns.rows == BATCH { self.flush() } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        self.writer.finish().map_err(parquet)?;
        self.drain()?;
        io::Write::flush(&mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::BufWriter};

    use arrow::array::AsArray as _;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::{super::table::tests::ROW, *};
    use crate::record::RecordReader;

    /// Of a recording that is there.
    fn header() -> Header {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/echo-peer.vmhop");
        RecordReader::open(golden).unwrap().header().clone()
    }

    #[test]
    fn what_is_written_is_read_back_and_not_kept() {
        const ROWS: u64 = ROW_GROUP as u64 + 3;
        let mut file = tempfile::tempfile().unwrap();
        let mut rows = Rows::begin(&header(), BufWriter::new(&mut file)).unwrap();
        for exchange in 0..ROWS {
            let vm = if exchange % 2 == 0 { "a" } else { "b" };
            rows.row(&Row { exchange, vm, time_ns: exchange as i64 - 1, ..ROW }).unwrap();
            assert!(rows.writer.inner().is_empty(), "what was written is kept");
        }
        rows.end().unwrap();
        drop(rows);
        check(file, ROWS);
    }

    fn check(file: File, rows: u64) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let metadata = builder.metadata().file_metadata().clone();
        let entry = |key: &str| {
            let entries = metadata.key_value_metadata().unwrap().iter();
            entries.clone().find(|entry| entry.key == key).unwrap().value.clone().unwrap()
        };
        assert_eq!((entry("vmhop.schema"), entry("vmhop.host")), (SCHEMA.to_owned(), header().host.name));
        assert_eq!((builder.metadata().num_row_groups(), metadata.num_rows()), (2, rows as i64));
        let mut exchange = 0;
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let times =
                batch.column_by_name("time_ns").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
            let vms = batch.column_by_name("vm").unwrap().as_dictionary::<Int16Type>();
            let vms = vms.downcast_dict::<arrow::array::StringArray>().unwrap();
            for (row, time_ns) in times.values().iter().enumerate() {
                assert_eq!(*time_ns, exchange as i64 - 1);
                assert_eq!(arrow::array::ArrayAccessor::value(&vms, row), ["a", "b"][exchange % 2]);
                exchange += 1;
            }
        }
        assert_eq!(exchange as u64, rows);
    }
}
