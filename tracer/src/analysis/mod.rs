//! From a recording to its report: runs the events through `correlate`, enters what comes out into the books of
//! `latency` and `loss`, and lays the books out as a [`Report`]. Needs neither root nor the host it came from.

mod bill;
pub mod detail;
mod flows;
mod histograms;
mod observer;
pub(crate) mod order;
mod rows;
mod standing;
mod taps;
mod wire;

use std::collections::BTreeMap;

use tracer_common::hop::{Hook, Hop};

pub(crate) use self::taps::vms as vms_of_taps;
use self::{bill::BillBook, flows::FlowBook, wire::WireBook};
pub use self::{
    observer::{EachExchange, Observer, Unobserved},
    standing::Standing,
};
use crate::{
    correlate::{
        Correlator, Limits, Options,
        exchange::{Exchanger, SampledFrames},
        threads::Threads,
    },
    latency::LatencyBook,
    loss::LossBook,
    record::{Item, ReadError, RecordReader},
    recording::{Came, Counters, Header, Histograms, Mode, Note},
    report::{Report, SampledRow, WarningRow},
    warnings,
};

/// Everything that a recording said, digested.
struct Books {
    latency: LatencyBook,
    loss: LossBook,
    exchanger: Exchanger,
    counters: Counters,
    bill: BillBook,
    wire: WireBook,
    flows: FlowBook,
    symbols: BTreeMap<u64, String>,
    sampled: Option<SampledRow>,
    /// In histogram mode what was counted.
    histograms: Option<Histograms>,
    notes: Vec<String>,
    ended: Option<String>,
    failed: bool,
    records: u64,
    events: u64,
    first_ns: u64,
    last_ns: u64,
}

/// Reads a recording to its end and makes its report.
///
/// # Errors
/// The recording cannot be read, or was damaged. One that was cut off is no error: the report says so.
pub fn analyse(reader: &mut RecordReader) -> Result<Report, ReadError> {
    analyse_within(reader, Limits::default())
}

/// As [`analyse`], with these limits instead of the default ones.
///
/// # Errors
/// As [`analyse`].
pub fn analyse_within(reader: &mut RecordReader, limits: Limits) -> Result<Report, ReadError> {
    analyse_with(reader, limits, &mut Unobserved)
}

/// As [`analyse_within`], and shows `observer` what the report is made of.
///
/// # Errors
/// As [`analyse`].
pub fn analyse_with(
    reader: &mut RecordReader,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<Report, ReadError> {
    let mut analysis = Analysis::new(reader.header(), reader.abi(), limits);
    for item in reader.by_ref() {
        analysis.push(item?, observer);
    }
    Ok(analysis.finish(!reader.truncated(), observer))
}

/// An analysis on its way: takes a recording's rows one by one.
pub struct Analysis {
    header: Header,
    correlator: Correlator,
    books: Books,
}

impl Analysis {
    /// Begins with what was known when the recording started; `abi` is the version of its events.
    pub fn new(header: &Header, abi: u32, limits: Limits) -> Analysis {
        let served = served_hops(header);
        Analysis {
            header: header.clone(),
            correlator: correlator_for(header, abi, limits, &served),
            books: Books::new(header, limits),
        }
    }

    /// Takes the next row, and shows what is over now.
    pub fn push(&mut self, item: Item, observer: &mut dyn Observer) {
        self.books.records += 1;
        match item {
            Item::Note(note) => {
                observer.note(&note);
                if let Note::Warning { came: Some(came), .. } = &note {
                    self.meet(came);
                }
                self.books.note(note);
            }
            Item::Event(event) => {
                observer.event(&event);
                self.books.timed(event.time_ns);
                self.books.wire.event(&event);
                self.correlator.push(event);
                self.books.collect(&mut self.correlator, observer);
            }
        }
    }

    /// Learns of VMs and devices that came while the recording went on.
    fn meet(&mut self, came: &Came) {
        let Analysis { header, correlator, books } = self;
        header.take(came);
        correlator.meet(&header.topology, slot_of(header));
        books.loss.meet(taps::facts(header));
        books.exchanger.meet(taps::vms(header));
    }

    /// The report, when there are no more rows. `complete` says that the recording was closed.
    pub fn finish(mut self, complete: bool, observer: &mut dyn Observer) -> Report {
        let Analysis { header, correlator, books } = &mut self;
        correlator.finish();
        books.collect(correlator, observer);
        books.exchanger.finish();
        books.loss.settle();
        let counted = books.histograms.take();
        if let Some(counted) = &counted {
            histograms::enter(header, books, counted);
        }
        let mut report = rows::lay_out(header, books, correlator, complete);
        if let Some(counted) = &counted {
            histograms::lay_out(header, counted, &mut report);
        }
        let found = warnings::of(&report);
        report.warnings = found.iter().map(WarningRow::from).collect();
        let notes = std::mem::take(&mut books.notes);
        report.warnings.extend(notes.into_iter().map(|text| WarningRow { grave: false, text }));
        report
    }
}

/// Hops that some hook serves.
fn served_hops(header: &Header) -> Vec<Hop> {
    let served = header.plan.iter().filter(|planned| !planned.hooks.is_empty());
    served.filter_map(|planned| header.hop(&planned.hop)).collect()
}

/// Slots by namespace and index.
fn slot_of(header: &Header) -> impl Fn(u32, u32) -> Option<u8> + use<> {
    let entries = header.devices.iter();
    let slots: BTreeMap<(u32, u32), u8> =
        entries.map(|entry| ((entry.device.netns, entry.device.ifindex), entry.slot)).collect();
    move |netns, ifindex| slots.get(&(netns, ifindex)).copied()
}

fn correlator_for(header: &Header, abi: u32, limits: Limits, served: &[Hop]) -> Correlator {
    let threads = Threads::new(&header.topology, slot_of(header));
    let options = Options {
        waits_for_vcpu: served.iter().any(|hop| matches!(hop, Hop::VmmIrq | Hop::VcpuEnter)),
        irqs: served.contains(&Hop::VmmIrq),
        segments_told: abi >= 3,
        no_socket: header
            .drop_reasons
            .iter()
            .find(|(_, name)| *name == "NO_SOCKET")
            .map(|(&reason, _)| reason),
        xdp: header.plan.iter().any(|planned| planned.hooks.iter().any(|hook| hook == Hook::Xdp.name())),
    };
    Correlator::new(limits, threads, header.topology.vms.len(), options)
}

fn exchanger_for(header: &Header, limits: Limits) -> Exchanger {
    let mut exchanger = Exchanger::new(limits, taps::vms(header));
    exchanger.sampled = header.sampled.map(|sampled| SampledFrames::new(sampled.seed, sampled.one_in));
    exchanger
}

impl Books {
    fn new(header: &Header, limits: Limits) -> Books {
        Books {
            latency: LatencyBook::default(),
            loss: LossBook::new(taps::facts(header)),
            exchanger: exchanger_for(header, limits),
            sampled: header.sampled.map(SampledRow::new),
            histograms: (header.mode == Mode::Histogram).then(Histograms::default),
            counters: Counters::default(),
            bill: BillBook::default(),
            wire: WireBook::default(),
            flows: FlowBook::default(),
            symbols: BTreeMap::new(),
            notes: Vec::new(),
            ended: None,
            failed: false,
            records: 0,
            events: 0,
            first_ns: u64::MAX,
            last_ns: 0,
        }
    }

    fn timed(&mut self, time_ns: u64) {
        self.events += 1;
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Flow(flow) => self.flows.note(flow),
            Note::Counters(counters) => self.counters = counters,
            Note::Bill(bill) => self.bill.note(bill),
            Note::Histograms(all) => {
                if let Some(known) = &mut self.histograms {
                    *known = all.bounded();
                }
            }
            Note::Symbols(symbols) => self.symbols.extend(symbols),
            Note::Sampled { from_ns, one_in } => self.sampled(from_ns, one_in),
            Note::Warning { text, .. } => self.notes.push(text),
            Note::End { reason, failed } => (self.ended, self.failed) = (Some(reason), failed),
        }
    }

    /// The choice of frames changes.
    fn sampled(&mut self, from_ns: u64, one_in: u32) {
        if let Some(sampled) = &mut self.exchanger.sampled {
            sampled.change(from_ns, one_in);
        }
        if let Some(row) = &mut self.sampled {
            row.changed(one_in);
        }
    }

    /// Enters the passages that are over, and the exchanges that they complete.
    fn collect(&mut self, correlator: &mut Correlator, observer: &mut dyn Observer) {
        while let Some(passage) = correlator.poll() {
            observer.passage(&passage);
            self.loss.passage(&passage);
            self.latency.passage(&passage);
            self.bill.passage(&passage);
            self.flows.passage(&passage);
            self.exchanger.push(&passage);
            while let Some(exchange) = self.exchanger.poll() {
                self.latency.exchange(&exchange);
                observer.exchange(&exchange);
            }
            correlator.take_back(passage);
        }
    }
}
