//! Reads what the programs counted in histogram mode.

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray},
};
use tracer_common::{
    event::NO_DEVICE,
    histogram::{BUCKETS, DropKey, HopCount, Times},
    hop::Hop,
};

use crate::{
    host::monotonic_ns,
    plan::spans::HistogramSpan,
    recording::{DropCount, Histograms, HopFirsts, SpanTimes},
};

/// What the programs count, and what they had counted before all were attached.
pub struct HistogramMeter {
    spans: Vec<HistogramSpan>,
    times: PerCpuArray<MapData, Times>,
    hops: PerCpuArray<MapData, HopCount>,
    taps: PerCpuArray<MapData, u64>,
    drops: HashMap<MapData, DropKey, u64>,
    before: Histograms,
}

impl HistogramMeter {
    /// Counts from now on: hooks are attached one after the other, and before the last, a frame shows only a part of its way.
    ///
    /// # Errors
    /// A map is not there, or cannot be read.
    pub(super) fn open(ebpf: &mut Ebpf, spans: Vec<HistogramSpan>) -> Result<HistogramMeter> {
        let mut take =
            |name: &str| ebpf.take_map(name).ok_or_else(|| anyhow!("the BPF object has no map {name}"));
        let mut meter = HistogramMeter {
            spans,
            times: take("TIMES")?.try_into()?,
            hops: take("HOPS")?.try_into()?,
            taps: take("TAPS")?.try_into()?,
            drops: take("DROPS")?.try_into()?,
            before: Histograms::default(),
        };
        meter.begin()?;
        Ok(meter)
    }

    /// Counts from now on, whatever was counted before.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn begin(&mut self) -> Result<()> {
        self.before = self.read_all()?;
        Ok(())
    }

    /// All that was counted since.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn read(&self) -> Result<Histograms> {
        Ok(self.read_all()?.since(&self.before))
    }

    fn read_all(&self) -> Result<Histograms> {
        let spans = (1..).zip(&self.spans).map(|(number, span)| self.span(number, span));
        let firsts = Hop::ALL.iter().map(|&hop| self.firsts(hop));
        Ok(Histograms {
            until_ns: monotonic_ns()?,
            spans: spans.filter_map(Result::transpose).collect::<Result<_>>()?,
            firsts: firsts.filter_map(Result::transpose).collect::<Result<_>>()?,
            taps: self.at_taps()?,
            drops: self.dropped()?,
        })
    }

    /// Nothing for a span that did not occur.
    fn span(&self, number: u32, span: &HistogramSpan) -> Result<Option<SpanTimes>> {
        let cpus = self.times.get(&number, 0).context("failed to read the histograms")?;
        let mut buckets = vec![0; BUCKETS];
        let (mut sum_ns, mut max_ns) = (0u64, 0);
        for times in cpus.iter() {
            buckets.iter_mut().zip(&times.buckets).for_each(|(sum, count)| *sum += count);
            sum_ns = sum_ns.saturating_add(times.sum_ns);
            max_ns = times.max_ns.max(max_ns);
        }
        let buckets: Vec<(u32, u64)> = (0..).zip(buckets).filter(|(_, count)| *count > 0).collect();
        let (origin, from, to) = (span.origin as u8, span.from as u8, span.to as u8);
        Ok((!buckets.is_empty()).then_some(SpanTimes { origin, from, to, sum_ns, max_ns, buckets }))
    }

    fn firsts(&self, hop: Hop) -> Result<Option<HopFirsts>> {
        let cpus = self.hops.get(&(hop as u32), 0).context("failed to read the counts of hops")?;
        let sum = |value: fn(&HopCount) -> u64| cpus.iter().map(value).sum::<u64>();
        let (frames, bytes) = (sum(|count| count.firsts), sum(|count| count.bytes));
        Ok((frames + bytes > 0).then_some(HopFirsts { hop: hop as u8, frames, bytes }))
    }

    fn at_taps(&self) -> Result<Vec<(u8, u64)>> {
        let mut taps = Vec::new();
        for slot in 0..NO_DEVICE {
            let cpus = self.taps.get(&slot.into(), 0).context("failed to read the counts of taps")?;
            let frames = cpus.iter().sum::<u64>();
            taps.extend((frames > 0).then_some((slot, frames)));
        }
        Ok(taps)
    }

    fn dropped(&self) -> Result<Vec<DropCount>> {
        let rows = self.drops.iter().map(|row| {
            let (key, frames) = row.context("failed to read the counts of drops")?;
            let DropKey { location, reason, device, after, .. } = key;
            Ok(DropCount { location, reason, device, after, frames })
        });
        rows.collect()
    }
}
