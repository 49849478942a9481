//! The report of histogram mode: from the histograms that the kernel made of segments, and its counts, instead of from events.
//! What only single frames tell stays out, and is named.

use std::collections::BTreeMap;

use tracer_common::{histogram::Origin, hop::Hop};

use super::{Books, order};
use crate::{
    latency::{LAYERS, Layer, Span, Way},
    recording::{Header, Histograms, SpanTimes, total},
    report::{HopRow, LayerRow, Passages, Report, SegmentRow},
};

/// What histogram mode cannot tell.
const NOT_KNOWN: [&str; 8] = [
    "exchanges, and with them wire+peer, guest, totals and the residual",
    "layers of single frames: their means are sums of the segments' means, and have no percentiles",
    "flows, what passed each NIC, and single frames",
    "kicks (vmm.kick), interrupts of NICs (nic.irq), and when an emulated guest takes a frame",
    "coverage, and which joining was ambiguous: frames are told apart by the address of their sk_buff",
    "frames in tunnels beyond the tunnel's device, and the segments of super-frames that the kernel cuts",
    "copies of floods but the one that goes on in the first sk_buff",
    "percentiles more exactly than to 3 %",
];

/// Where a way leads, by its exit hops.
const OUT: [Hop; 3] = [Hop::NicQueue, Hop::NicXmit, Hop::NicDone];
const IN: [Hop; 4] = [Hop::TapQueue, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd];

/// Enters the counts into the books that reports of all kinds are laid out from.
pub(super) fn enter(header: &Header, books: &mut Books, all: &Histograms) {
    (books.first_ns, books.last_ns) = (header.started_monotonic_ns, all.until_ns);
    books.loss.passages = Counted(all).passages();
    all.taps.iter().for_each(|&(slot, frames)| books.bill.frames(slot, frames));
    for drop in &all.drops {
        let Some(after) = Hop::from_code(drop.after) else { continue };
        let key = (after, Some(drop.device), drop.reason, drop.location);
        let count = books.loss.drops.entry(key).or_default();
        *count = count.saturating_add(drop.frames);
    }
}

/// Lays out what the histograms tell.
pub(super) fn lay_out(header: &Header, all: &Histograms, report: &mut Report) {
    let times = Counted(all).by_span();
    let mut spans: Vec<Span> = times.keys().copied().collect();
    order::sort(&mut spans);
    report.segments = spans.iter().map(|span| segment_row(header, *span, &times[span])).collect();
    report.layers = layers(&times, report.passages.count);
    for row in &mut report.hops {
        count_hop(header, all, row);
    }
    report.recording.not_known = NOT_KNOWN.map(str::to_owned).to_vec();
}

fn segment_row(header: &Header, span: Span, times: &SpanTimes) -> SegmentRow {
    SegmentRow {
        way: span.way.name().to_owned(),
        from: header.hop_name(span.from),
        to: header.hop_name(span.to),
        layer: span.layer().name().to_owned(),
        count: times.count(),
        mean_ns: times.mean_ns(),
        p50_ns: times.percentile_ns(50.0),
        p90_ns: times.percentile_ns(90.0),
        p99_ns: times.percentile_ns(99.0),
        max_ns: Some(times.max_ns),
        negative: 0,
    }
}

/// The mean time of a frame in each layer: all the time there, by all the frames.
fn layers(times: &BTreeMap<Span, SpanTimes>, frames: u64) -> Vec<LayerRow> {
    let mut sums = [0u128; LAYERS];
    for (span, times) in times {
        sums[span.layer() as usize] += u128::from(times.sum_ns);
    }
    let total: u128 = sums.iter().sum();
    if frames == 0 || total == 0 {
        return Vec::new();
    }
    let row = |(layer, sum): (Layer, u128)| LayerRow {
        layer: layer.name().to_owned(),
        mean_ns: sum as f64 / frames as f64,
        share: sum as f64 / total as f64,
        p50_ns: None,
        p90_ns: None,
        p99_ns: None,
        max_ns: None,
    };
    Layer::ALL.into_iter().zip(sums).filter(|(_, sum)| *sum > 0).map(row).collect()
}

fn count_hop(header: &Header, all: &Histograms, row: &mut HopRow) {
    let Some(hop) = header.hop(&row.hop) else { return };
    let sum = |is: &dyn Fn(&SpanTimes) -> bool| {
        total(all.spans.iter().filter(|span| is(span)).map(SpanTimes::count))
    };
    let joined = sum(&|span| span.to == hop as u8);
    let firsts = Counted(all).firsts(hop);
    // Of threads the first hop of a chain is counted by what follows it.
    let of_thread = matches!(hop, Hop::VmmRunnable | Hop::VmmWake | Hop::TapWrite);
    let followed = if of_thread { sum(&|span| span.from == hop as u8) } else { 0 };
    let is_birth = matches!(hop, Hop::TapRx | Hop::NicRx | Hop::NicStack);
    row.seen = firsts.saturating_add(joined.max(followed));
    row.matched = if is_birth { row.seen } else { joined.max(followed) };
    (row.ambiguous, row.expected, row.coverage, row.rules) = (0, 0, None, Vec::new());
}

/// Questions to the counts.
struct Counted<'a>(&'a Histograms);

impl Counted<'_> {
    fn firsts(&self, hop: Hop) -> u64 {
        total(self.0.firsts.iter().filter(|first| first.hop == hop as u8).map(|first| first.frames))
    }

    /// Frames of these origins that were joined to a hop.
    fn joined(&self, origins: &[Origin], hop: Hop) -> u64 {
        let is = |span: &&SpanTimes| {
            span.to == hop as u8 && origins.iter().any(|origin| span.origin == *origin as u8)
        };
        total(self.0.spans.iter().filter(is).map(SpanTimes::count))
    }

    /// Frames that went one way: as many as at its hop that saw the most of them.
    fn went(&self, origins: &[Origin], way: &[Hop]) -> u64 {
        way.iter().map(|&hop| self.joined(origins, hop)).max().unwrap_or_default()
    }

    /// Frames first seen on their way out, which came from no device that is traced.
    fn own(&self, way: &[Hop]) -> u64 {
        way.iter().map(|&hop| self.firsts(hop)).max().unwrap_or_default()
    }

    fn passages(&self) -> Passages {
        let sum = |counts: &[u64]| total(counts.iter().copied());
        let born = sum(&[self.firsts(Hop::TapRx), self.joined(&[Origin::Guest], Hop::TapRx)]);
        let arrived = sum(&[self.firsts(Hop::NicRx), self.firsts(Hop::NicStack)]);
        let transmitted = self.went(&[Origin::Guest], &OUT);
        let received = self.went(&[Origin::Wire], &IN);
        let between_guests = self.went(&[Origin::Guest], &IN[..2]);
        let own = sum(&[self.own(&OUT[..1]), self.own(&IN[..1])]);
        let dropped = total(self.0.drops.iter().map(|drop| drop.frames));
        let copied = self.went(&Origin::ALL, &[Hop::VmmReadEnd, Hop::VmmRead]);
        let complete = sum(&[self.joined(&Origin::ALL, Hop::NicDone), copied]);
        let count = sum(&[born, arrived, own]);
        Passages {
            count,
            transmitted,
            received,
            between_guests,
            elsewhere: own,
            complete,
            dropped,
            unfinished: count.saturating_sub(sum(&[complete, dropped])),
            bytes: total(self.0.firsts.iter().map(|first| first.bytes)),
            wire_frames: count,
            ..Passages::default()
        }
    }

    /// Times by span, with the ways that reports name.
    fn by_span(&self) -> BTreeMap<Span, SpanTimes> {
        let forks = self.went(&[Origin::Guest], &OUT) == 0 && self.went(&[Origin::Guest], &IN[..2]) > 0;
        let mut times: BTreeMap<Span, SpanTimes> = BTreeMap::new();
        for span in &self.0.spans {
            let hops = (Hop::from_code(span.from), Hop::from_code(span.to), Origin::from_code(span.origin));
            let (Some(from), Some(to), Some(origin)) = hops else { continue };
            let way = way_of(origin, from, to, forks);
            times.entry(Span { way, from, to }).or_default().add(span);
        }
        times
    }
}

/// Which way frames of this origin went between two hops. Before the way of a guest's frames forks they are taken for sent,
/// unless none was.
fn way_of(origin: Origin, from: Hop, to: Hop, none_sent: bool) -> Way {
    let inward = [from, to].iter().any(|hop| IN.contains(hop) || matches!(hop, Hop::VmmIrq | Hop::VcpuEnter));
    let outward = [from, to].iter().any(|hop| OUT.contains(hop));
    match origin {
        Origin::Guest if inward => Way::Between,
        Origin::Guest if none_sent && !outward && from.stage() >= Hop::TapRx.stage() => Way::Between,
        Origin::Guest => Way::Transmit,
        Origin::Between => Way::Between,
        Origin::Wire => Way::Receive,
        Origin::Host if outward => Way::Transmit,
        Origin::Host => Way::Receive,
    }
}
