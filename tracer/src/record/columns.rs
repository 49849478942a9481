//! The rows that are pending, by column.

use std::{mem, sync::Arc};

use arrow::{
    array::{ArrayBuilder as _, ArrayRef, PrimitiveArray, StringArray, StringBuilder, UInt8Array},
    buffer::NullBuffer,
    datatypes::{ArrowPrimitiveType, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use tracer_common::hop::{Hook, Hop};

use super::write::BATCH_ROWS;
use crate::decode::Event;

/// Events that are put into columns at once: they, and the ends of all columns, fit into a processor's nearest cache.
const BLOCK: usize = 128;

/// The rows that are pending.
#[derive(Default)]
pub(super) struct Columns {
    /// The last of them, which are in no column yet.
    block: Vec<Event>,
    /// Notes, and before how many rows of the columns they are.
    notes: Vec<(usize, String)>,
    time_ns: Vec<u64>,
    hop: Vec<u8>,
    hook: Vec<u8>,
    cpu: Vec<u16>,
    device: Vec<u8>,
    /// Whether there is a device.
    has_device: Vec<bool>,
    tid: Vec<u32>,
    skb: Vec<u64>,
    head: Vec<u64>,
    digest: Vec<u64>,
    flow: Vec<u64>,
    len: Vec<u32>,
    seq: Vec<u32>,
    ack: Vec<u32>,
    kind: Vec<u8>,
    tcp_flags: Vec<u8>,
    overhead: Vec<u8>,
    stamps: Vec<u32>,
    gso_size: Vec<u16>,
    tunnelled: Vec<u8>,
}

impl Columns {
    /// How many rows are pending.
    pub(super) fn rows(&self) -> usize {
        self.time_ns.len() + self.block.len()
    }

    /// Appends an event; whether that filled a block.
    #[inline]
    pub(super) fn push(&mut self, event: &Event) -> bool {
        self.block.push(*event);
        let full = self.block.len() == BLOCK;
        if full {
            self.turn_block();
        }
        full
    }

    /// Appends a note: a row of nothing but text.
    pub(super) fn push_note(&mut self, json: String) {
        self.notes.push((self.rows(), json));
        self.push(&Event::at(0, Hop::TapRx, Hook::NetifReceiveSkb));
        self.turn_block();
        // It has no hop and no hook.
        self.hop.last_mut().into_iter().chain(self.hook.last_mut()).for_each(|code| *code = 0);
    }

    /// Puts the block into the columns, one column after the other: a length is looked at once for all of it.
    fn turn_block(&mut self) {
        let block = &self.block;
        append(&mut self.time_ns, block, |event| event.time_ns);
        append(&mut self.hop, block, |event| event.hop as u8);
        append(&mut self.hook, block, |event| event.hook as u8);
        append(&mut self.cpu, block, |event| event.cpu);
        append(&mut self.device, block, |event| event.device.unwrap_or_default());
        append(&mut self.has_device, block, |event| event.device.is_some());
        append(&mut self.tid, block, |event| event.tid);
        append(&mut self.skb, block, |event| event.skb);
        append(&mut self.head, block, |event| event.head);
        append(&mut self.digest, block, |event| event.digest);
        append(&mut self.flow, block, |event| event.flow);
        append(&mut self.len, block, |event| event.len);
        append(&mut self.seq, block, |event| event.seq);
        append(&mut self.ack, block, |event| event.ack);
        append(&mut self.kind, block, |event| event.kind.map_or(0, |kind| kind as u8));
        append(&mut self.tcp_flags, block, |event| event.tcp_flags);
        append(&mut self.overhead, block, |event| event.overhead);
        append(&mut self.stamps, block, |event| event.stamps);
        append(&mut self.gso_size, block, |event| event.gso_size);
        append(&mut self.tunnelled, block, |event| u8::from(event.tunnelled));
        self.block.clear();
    }

    /// The columns in the order of the schema; leaves none pending.
    pub(super) fn take(&mut self) -> Vec<ArrayRef> {
        self.turn_block();
        let this = mem::take(self);
        let rows = this.time_ns.len();
        vec![
            numbers::<UInt64Type>(this.time_ns),
            numbers::<UInt8Type>(this.hop),
            numbers::<UInt8Type>(this.hook),
            numbers::<UInt16Type>(this.cpu),
            Arc::new(UInt8Array::new(this.device.into(), nulls(this.has_device))),
            numbers::<UInt32Type>(this.tid),
            numbers::<UInt64Type>(this.skb),
            numbers::<UInt64Type>(this.head),
            numbers::<UInt64Type>(this.digest),
            numbers::<UInt64Type>(this.flow),
            numbers::<UInt32Type>(this.len),
            numbers::<UInt32Type>(this.seq),
            numbers::<UInt32Type>(this.ack),
            numbers::<UInt8Type>(this.kind),
            numbers::<UInt8Type>(this.tcp_flags),
            numbers::<UInt8Type>(this.overhead),
            texts(&this.notes, rows),
            numbers::<UInt32Type>(this.stamps),
            numbers::<UInt16Type>(this.gso_size),
            numbers::<UInt8Type>(this.tunnelled),
        ]
    }
}

fn append<T>(column: &mut Vec<T>, block: &[Event], of: impl Fn(&Event) -> T) {
    if column.capacity() == 0 {
        column.reserve_exact(BATCH_ROWS);
    }
    column.extend(block.iter().map(of));
}

fn numbers<T: ArrowPrimitiveType>(column: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(column.into(), None))
}

/// Which rows are none, if there are such.
fn nulls(known: Vec<bool>) -> Option<NullBuffer> {
    Some(NullBuffer::from(known)).filter(|nulls| nulls.null_count() > 0)
}

/// A column of texts, each in its row, among rows without.
fn texts(texts: &[(usize, String)], rows: usize) -> ArrayRef {
    if texts.is_empty() {
        return Arc::new(StringArray::new_null(rows));
    }
    let mut builder = StringBuilder::new();
    for (row, text) in texts {
        builder.append_nulls(row - builder.len());
        builder.append_value(text);
    }
    builder.append_nulls(rows - builder.len());
    Arc::new(builder.finish())
}
