//! Two reports as one: that of a watch so far, and that of its latest recording.
//!
//! Counts and sums of times are added up, so that what is exported as a counter never falls. Percentiles of two recordings
//! cannot be had from those of each: they are the latest. So are warnings, flows and the topology, which are a recording's.
//! A list holds so many rows at most; what comes beyond is in none, so that a watch of months does not grow.

use super::{
    Cost, Drop, Exchanges, GivenUp, Group, HopCount, HopRow, LayerRow, Losses, NicRow, Passages,
    ProgramCount, Report, RuleCount, SegmentRow, ThreadRow, VanishedRow, VcpuTimeRow, VmBill,
};
use crate::recording::{Mode, ProgramCost};

/// Rows that a list may have: VMs, drops, and so on, over the whole watch.
const MOST: usize = 1024;

impl Report {
    /// Adds a later report.
    pub fn add(&mut self, later: Report) {
        // What the layers are the means of.
        let of = |report: &Report| match report.recording.mode {
            Mode::Stream => report.exchanges.count,
            Mode::Histogram => report.passages.count,
        };
        let (before, behind) = (of(self), of(&later));
        let recording = &mut self.recording;
        recording.duration_ns += later.recording.duration_ns;
        recording.events += later.recording.events;
        recording.complete = later.recording.complete;
        recording.ended = later.recording.ended;
        recording.failed = later.recording.failed;
        join(&mut recording.vms, later.recording.vms, |one, other| one == other, |_, _| {});
        self.topology = later.topology;
        join(&mut self.hops, later.hops, |one, other| one.hop == other.hop, add_hop);
        join(&mut self.segments, later.segments, same_segment, add_segment);
        add_layers(&mut self.layers, later.layers, before, behind);
        add_exchanges(&mut self.exchanges, later.exchanges);
        add_passages(&mut self.passages, &later.passages);
        join(&mut self.nics, later.nics, same_nic, add_nic);
        self.flows = later.flows;
        self.flows_left_out = later.flows_left_out;
        add_losses(&mut self.losses, later.losses);
        join(&mut self.bill, later.bill, |one, other| one.vm == other.vm, add_bill);
        add_cost(&mut self.cost, later.cost);
        self.warnings = later.warnings;
    }

    /// Keeps what programs cost from falling below an earlier report of the same recording: it is reckoned from a part of
    /// the time, so that a later reckoning can be the lower one, and a counter that falls has begun anew to who reads it.
    pub fn hold_cost(&mut self, earlier: &Report) {
        let Cost { programs, programs_ns, .. } = &mut self.cost;
        for program in programs {
            let same = |before: &&ProgramCost| before.program == program.program;
            if let Some(before) = earlier.cost.programs.iter().find(same) {
                program.runs = program.runs.max(before.runs);
                program.run_ns = program.run_ns.max(before.run_ns);
            }
        }
        *programs_ns = (*programs_ns).max(earlier.cost.programs_ns);
    }
}

/// Adds each row to the one that stands for the same, or behind all.
fn join<T>(rows: &mut Vec<T>, later: Vec<T>, same: impl Fn(&T, &T) -> bool, add: impl Fn(&mut T, T)) {
    for row in later {
        match rows.iter().position(|known| same(known, &row)) {
            Some(at) => add(&mut rows[at], row),
            None if rows.len() < MOST => rows.push(row),
            None => {}
        }
    }
}

/// The mean of two groups. Their sum, which is the mean times the count, is never less than that of the first: a counter
/// that falls by its last bit has begun anew, to who reads it.
fn mean(first: f64, count: u64, second: f64, more: u64) -> f64 {
    if more == 0 {
        return first;
    }
    let (sum, all) = (first * count as f64, (count + more) as f64);
    let mut mean = (sum + second * more as f64) / all;
    while mean * all < sum {
        mean = mean.next_up();
    }
    mean
}

fn mean_of(first: Option<f64>, count: u64, second: Option<f64>, more: u64) -> Option<f64> {
    match (first, second) {
        (Some(first), Some(second)) => Some(mean(first, count, second, more)),
        (first, second) => first.or(second),
    }
}

fn add_hop(hop: &mut HopRow, later: HopRow) {
    let found = |row: &HopRow| row.coverage.map(|share| share * row.expected as f64);
    let found = found(hop).unwrap_or_default() + found(&later).unwrap_or_default();
    hop.seen += later.seen;
    hop.matched += later.matched;
    hop.ambiguous += later.ambiguous;
    hop.lost += later.lost;
    hop.expected += later.expected;
    hop.coverage = (hop.expected > 0).then(|| (found / hop.expected as f64).min(1.0));
    hop.hook = later.hook;
    hop.unserved = later.unserved;
    let add = |rule: &mut RuleCount, later: RuleCount| rule.count += later.count;
    join(&mut hop.rules, later.rules, |one, other| one.rule == other.rule, add);
}

fn same_segment(one: &SegmentRow, other: &SegmentRow) -> bool {
    (&one.way, &one.from, &one.to, &one.layer) == (&other.way, &other.from, &other.to, &other.layer)
}

fn add_segment(segment: &mut SegmentRow, later: SegmentRow) {
    let mean_ns = mean_of(segment.mean_ns, segment.count, later.mean_ns, later.count);
    let (count, negative) = (segment.count + later.count, segment.negative + later.negative);
    // Without any of its own the latest recording says nothing of percentiles.
    if later.count > 0 {
        *segment = later;
    }
    (segment.mean_ns, segment.count, segment.negative) = (mean_ns, count, negative);
}

/// A layer that is in one of the two alone was passed by no exchange of the other.
fn add_layers(layers: &mut Vec<LayerRow>, later: Vec<LayerRow>, count: u64, more: u64) {
    for layer in layers.iter_mut() {
        let other = later.iter().find(|other| other.layer == layer.layer);
        layer.mean_ns = mean(layer.mean_ns, count, other.map_or(0.0, |other| other.mean_ns), more);
        if let Some(other) = other {
            let LayerRow { p50_ns, p90_ns, p99_ns, max_ns, .. } = *other;
            (layer.p50_ns, layer.p90_ns, layer.p99_ns, layer.max_ns) = (p50_ns, p90_ns, p99_ns, max_ns);
        }
    }
    for other in later {
        if layers.iter().all(|layer| layer.layer != other.layer) {
            let mean_ns = mean(0.0, count, other.mean_ns, more);
            layers.push(LayerRow { mean_ns, ..other });
        }
    }
    let total: f64 = layers.iter().map(|layer| layer.mean_ns).sum();
    for layer in layers {
        layer.share = if total > 0.0 { layer.mean_ns / total } else { 0.0 };
    }
}

fn add_exchanges(exchanges: &mut Exchanges, later: Exchanges) {
    let (count, more) = (exchanges.count, later.count);
    exchanges.mean_ns = mean_of(exchanges.mean_ns, count, later.mean_ns, more);
    exchanges.residual_mean_ns = mean_of(exchanges.residual_mean_ns, count, later.residual_mean_ns, more);
    exchanges.count += more;
    if more > 0 {
        let Exchanges { p50_ns, p90_ns, p99_ns, max_ns, .. } = later;
        (exchanges.p50_ns, exchanges.p90_ns, exchanges.p99_ns, exchanges.max_ns) =
            (p50_ns, p90_ns, p99_ns, max_ns);
    }
    let same = |one: &Group, other: &Group| (&one.kind, &one.initiator) == (&other.kind, &other.initiator);
    join(&mut exchanges.groups, later.groups, same, add_group);
}

fn add_group(group: &mut Group, later: Group) {
    let (count, more) = (group.count, later.count);
    add_layers(&mut group.layers, later.layers, count, more);
    join(&mut group.segments, later.segments, same_segment, add_segment);
    group.mean_ns = mean_of(group.mean_ns, count, later.mean_ns, more);
    group.residual_mean_ns = mean_of(group.residual_mean_ns, count, later.residual_mean_ns, more);
    group.count += more;
    group.unanswered += later.unanswered;
    group.ambiguous += later.ambiguous;
    group.overtaken += later.overtaken;
    if more > 0 {
        let Group { p50_ns, p90_ns, p99_ns, max_ns, .. } = later;
        (group.p50_ns, group.p90_ns, group.p99_ns, group.max_ns) = (p50_ns, p90_ns, p99_ns, max_ns);
    }
}

fn add_passages(passages: &mut Passages, later: &Passages) {
    passages.count += later.count;
    passages.transmitted += later.transmitted;
    passages.received += later.received;
    passages.between_guests += later.between_guests;
    passages.elsewhere += later.elsewhere;
    passages.complete += later.complete;
    passages.dropped += later.dropped;
    passages.unfinished += later.unfinished;
    passages.ambiguous += later.ambiguous;
    passages.branches += later.branches;
    passages.polled += later.polled;
    passages.unannounced += later.unannounced;
    passages.bytes += later.bytes;
    passages.segments += later.segments;
    passages.wire_frames += later.wire_frames;
}

fn same_nic(one: &NicRow, other: &NicRow) -> bool {
    (&one.device, &one.netns, &one.way) == (&other.device, &other.netns, &other.way)
}

fn add_nic(nic: &mut NicRow, later: NicRow) {
    nic.frames += later.frames;
    nic.bytes += later.bytes;
    nic.wire_frames += later.wire_frames;
    nic.wire_bytes += later.wire_bytes;
}

fn add_losses(losses: &mut Losses, later: Losses) {
    let add = |row: &mut HopCount, later: HopCount| row.count += later.count;
    join(&mut losses.ring, later.ring, |one, other| one.hop == other.hop, add);
    join(
        &mut losses.ring_by_cpu,
        later.ring_by_cpu,
        |one, other| one.cpu == other.cpu,
        |row, later| row.count += later.count,
    );
    losses.ring_total += later.ring_total;
    let add = |row: &mut ProgramCount, later: ProgramCount| row.count += later.count;
    join(&mut losses.skipped, later.skipped, |one, other| one.program == other.program, add);
    losses.undecoded += later.undecoded;
    losses.late += later.late;
    losses.evicted += later.evicted;
    let add = |row: &mut GivenUp, later: GivenUp| row.count += later.count;
    join(&mut losses.given_up, later.given_up, |one, other| one.what == other.what, add);
    let place =
        |row: &Drop| (row.after.clone(), row.device.clone(), row.reason.clone(), row.function.clone());
    let add = |row: &mut Drop, later: Drop| row.count += later.count;
    join(&mut losses.drops, later.drops, |one, other| place(one) == place(other), add);
    let same = |one: &VanishedRow, other: &VanishedRow| (&one.after, &one.how) == (&other.after, &other.how);
    join(&mut losses.vanished, later.vanished, same, |row, later| row.count += later.count);
}

/// Times and counts of rows; what is per frame is the latest.
fn add_bill(bill: &mut VmBill, later: VmBill) {
    bill.wall_ns += later.wall_ns;
    bill.frames += later.frames;
    bill.per_frames = bill.per_frames.zip(later.per_frames).map(|(one, other)| one + other);
    bill.vcpus = later.vcpus;
    bill.vcpu_time_missing = later.vcpu_time_missing;
    let add = |row: &mut VcpuTimeRow, later: VcpuTimeRow| {
        let (ns, count) =
            (row.ns.saturating_add(later.ns), row.count.zip(later.count).map(|(one, other)| one + other));
        *row = VcpuTimeRow { ns, count, ..later };
    };
    join(&mut bill.vcpu_time, later.vcpu_time, |one, other| one.what == other.what, add);
    let add = |row: &mut ThreadRow, later: ThreadRow| {
        let cpu_ns = row.cpu_ns.saturating_add(later.cpu_ns);
        *row = ThreadRow { cpu_ns, ..later };
    };
    join(&mut bill.threads, later.threads, |one, other| one.what == other.what, add);
}

fn add_cost(cost: &mut Cost, later: Cost) {
    let add = |program: &mut ProgramCost, later: ProgramCost| {
        program.runs += later.runs;
        program.run_ns += later.run_ns;
        program.missed += later.missed;
    };
    join(&mut cost.programs, later.programs, |one, other| one.program == other.program, add);
    cost.programs_ns += later.programs_ns;
    cost.reader_cpu_ns += later.reader_cpu_ns;
    cost.wall_ns += later.wall_ns;
    cost.metered_ns += later.metered_ns;
    let share = |part: u64, wall: u64| if wall == 0 { 0.0 } else { part as f64 / wall as f64 };
    cost.programs_share = share(cost.programs_ns, cost.wall_ns);
    cost.reader_share = share(cost.reader_cpu_ns, cost.wall_ns);
    cost.events_per_exchange = later.events_per_exchange;
    cost.programs_ns_per_passage = later.programs_ns_per_passage;
}

#[cfg(test)]
mod tests;
