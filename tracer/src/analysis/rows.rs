//! Laying out the books as the rows of a report. No arithmetic beyond means, shares and sums.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use tracer_common::hop::{Hook, Hop};

use super::{Books, order};
use crate::{
    correlate::{
        Correlator, Rule, Side,
        exchange::{ExchangeKind, Initiator, Tally},
    },
    latency::{GroupBook, Layer, LayerTimes, Span, Stats},
    loss::{DropKey, ELSEWHERE, Vanished},
    recording::{Counters, Header, PlannedHop},
    report::{
        Cost, CpuCount, Drop, Exchanges, GivenUp, Group, HopCount, HopRow, LayerRow, Losses, ProgramCount,
        Recording, Report, RuleCount, SCHEMA, SegmentRow, VanishedRow,
    },
};

/// The report, its warnings still to come.
pub(super) fn lay_out(header: &Header, books: &Books, correlator: &Correlator, complete: bool) -> Report {
    let exchanges = exchanges(header, books);
    let (flows, flows_left_out) = books.flows.lay_out();
    Report {
        schema: SCHEMA.to_owned(),
        host: header.host.clone(),
        recording: recording(header, books, complete),
        topology: header.topology.clone(),
        hops: header.plan.iter().filter_map(|planned| hop_row(planned, header, books, correlator)).collect(),
        segments: segments(header, books),
        layers: all_layers(books),
        cost: cost(header, books, exchanges.count),
        exchanges,
        passages: books.loss.passages.clone(),
        nics: books.wire.lay_out(header),
        flows,
        flows_left_out,
        losses: losses(header, books, correlator),
        bill: books.bill.lay_out(header),
        warnings: Vec::new(),
    }
}

fn recording(header: &Header, books: &Books, complete: bool) -> Recording {
    let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(header.started_unix_ns);
    Recording {
        started: humantime::format_rfc3339_seconds(started).to_string(),
        duration_ns: books.last_ns.saturating_sub(books.first_ns),
        vms: header.vms.clone(),
        filter: header.filter.clone(),
        sampled: books.sampled.clone(),
        mode: header.mode,
        not_known: Vec::new(),
        command: header.command.clone(),
        complete: complete && books.ended.is_some(),
        failed: books.failed,
        ended: books.ended.clone(),
        events: books.records,
    }
}

/// Hops whose events carry no header, so that a filter could not be applied to them in the kernel: of those only what was
/// joined to a frame that passed the filter counts as seen. Those of `ip.out` carry one, but not in earlier recordings,
/// which nothing tells apart.
fn is_unfiltered(hop: Hop) -> bool {
    matches!(
        hop,
        Hop::VmmKick
            | Hop::VmmRunnable
            | Hop::VmmWake
            | Hop::VmmIrq
            | Hop::VcpuEnter
            | Hop::TapWrite
            | Hop::IpOut
            | Hop::NicIrq
            | Hop::NicDone
            | Hop::VmmRead
            | Hop::VmmReadEnd
    ) || hop.user_number().is_some()
}

pub(super) fn hop_row(
    planned: &PlannedHop,
    header: &Header,
    books: &Books,
    correlator: &Correlator,
) -> Option<HopRow> {
    let Some(hop) = header.hop(&planned.hop) else {
        return planned.unserved.is_some().then(|| unserved(planned));
    };
    let at = hop as usize;
    let loss = &books.loss;
    let matched = loss.matched[at];
    let seen = correlator.seen.events[at];
    let expected = loss.expected[at];
    let rule =
        |rule: &Rule| RuleCount { rule: rule.name().to_owned(), count: loss.rules.of(hop, *rule as usize) };
    Some(HopRow {
        hop: planned.hop.clone(),
        hook: serving_hook(planned, hop, books),
        unserved: planned.unserved.clone().or_else(|| (seen == 0).then(|| half_served(planned)).flatten()),
        seen: if header.leaves_out_frames() && is_unfiltered(hop) { matched } else { seen },
        matched,
        ambiguous: correlator.seen.ambiguous[at],
        lost: books.counters.lost.get(hop.name()).copied().unwrap_or_default(),
        expected,
        coverage: (expected > 0).then(|| loss.found[at] as f64 / expected as f64),
        rules: Rule::ALL.iter().map(rule).filter(|count| count.count > 0).collect(),
    })
}

/// Why nothing serves a hop in one case, where it is served in another.
fn half_served(planned: &PlannedHop) -> Option<String> {
    let choices = || planned.choices.iter();
    let served = |case: &str| choices().any(|choice| choice.case == case && !choice.hooks.is_empty());
    let choice = choices().find(|choice| !served(&choice.case))?;
    let reasons = choice.passed_over.iter().map(|over| format!("{}: {}", over.hook, over.why));
    Some(format!("{}: {}", choice.case, reasons.collect::<Vec<_>>().join("; ")))
}

/// A hop of the user's that the host of the recording did not have.
fn unserved(planned: &PlannedHop) -> HopRow {
    HopRow { hop: planned.hop.clone(), unserved: planned.unserved.clone(), ..HopRow::default() }
}

/// The hook that served most of a hop's events; where there were none, the first planned.
fn serving_hook(planned: &PlannedHop, hop: Hop, books: &Books) -> String {
    // Of the user's the plan knows the function, an event does not.
    if hop.user_number().is_some() {
        return planned.hooks.first().cloned().unwrap_or_default();
    }
    let seen = Hook::ALL.iter().map(|hook| (hook, books.loss.hooks.of(hop, *hook as usize)));
    let most = seen.filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
    let most = most.map(|(hook, _)| hook.name().to_owned());
    most.or_else(|| planned.hooks.first().cloned()).unwrap_or_default()
}

fn segment_row(header: &Header, span: Span, stats: &Stats) -> SegmentRow {
    SegmentRow {
        way: span.way.name().to_owned(),
        from: header.hop_name(span.from),
        to: header.hop_name(span.to),
        layer: span.layer().name().to_owned(),
        count: stats.count(),
        mean_ns: stats.mean_ns(),
        p50_ns: stats.percentile_ns(50.0),
        p90_ns: stats.percentile_ns(90.0),
        p99_ns: stats.percentile_ns(99.0),
        max_ns: stats.max_ns(),
        negative: stats.negative,
    }
}

/// All segments in the order of the ways: out of the guest, into it, between guests, the turns.
fn segments(header: &Header, books: &Books) -> Vec<SegmentRow> {
    let segments = &books.latency.segments;
    let mut spans: Vec<Span> = segments.sorted().into_iter().map(|(span, _)| span).collect();
    order::sort(&mut spans);
    let row = |span: &Span| Some(segment_row(header, *span, segments.get(span)?));
    spans.iter().filter_map(row).collect()
}

/// A layer's row in a group of so many exchanges, which took `total` ns together.
fn layer_row(layer: Layer, sum_ns: u128, total_ns: u128, exchanges: u64) -> LayerRow {
    LayerRow {
        layer: layer.name().to_owned(),
        mean_ns: sum_ns as f64 / exchanges as f64,
        share: if total_ns == 0 { 0.0 } else { sum_ns as f64 / total_ns as f64 },
        p50_ns: None,
        p90_ns: None,
        p99_ns: None,
        max_ns: None,
    }
}

/// Nothing where not one exchange counts, since all of its times ran backwards.
fn layer_rows(book: &GroupBook) -> Vec<LayerRow> {
    let exchanges = book.totals.count();
    if exchanges == 0 {
        return Vec::new();
    }
    let total = book.layers().map(|(_, times)| times.sum_ns()).sum();
    let row = |(layer, times): (Layer, &LayerTimes)| LayerRow {
        p50_ns: times.percentile_ns(50.0, exchanges),
        p90_ns: times.percentile_ns(90.0, exchanges),
        p99_ns: times.percentile_ns(99.0, exchanges),
        max_ns: times.max_ns(),
        ..layer_row(layer, times.sum_ns(), total, exchanges)
    };
    book.layers().map(row).collect()
}

/// Over all groups; only means, which add up, mean something there.
fn all_layers(books: &Books) -> Vec<LayerRow> {
    let mut sums: BTreeMap<Layer, u128> = BTreeMap::new();
    for (layer, times) in books.latency.groups.values().flat_map(GroupBook::layers) {
        *sums.entry(layer).or_default() += times.sum_ns();
    }
    let (total, exchanges) = (sums.values().sum(), books.latency.totals.count());
    if exchanges == 0 {
        return Vec::new();
    }
    sums.into_iter().map(|(layer, sum)| layer_row(layer, sum, total, exchanges)).collect()
}

fn residual(layers: &[LayerRow], count: u64) -> Option<f64> {
    let unattributed = layers.iter().find(|row| row.layer == Layer::Unattributed.name());
    (count > 0).then(|| unattributed.map_or(0.0, |row| row.mean_ns))
}

fn exchanges(header: &Header, books: &Books) -> Exchanges {
    let totals = &books.latency.totals;
    Exchanges {
        count: totals.count(),
        mean_ns: totals.mean_ns(),
        p50_ns: totals.percentile_ns(50.0),
        p90_ns: totals.percentile_ns(90.0),
        p99_ns: totals.percentile_ns(99.0),
        max_ns: totals.max_ns(),
        residual_mean_ns: residual(&all_layers(books), totals.count()),
        groups: groups(header, books),
    }
}

/// The groups, and of kinds whose questions all stayed unanswered a row without figures.
fn groups(header: &Header, books: &Books) -> Vec<Group> {
    let mut keys: Vec<(ExchangeKind, Initiator)> = books.latency.groups.keys().copied().collect();
    for (kind, side) in books.exchanger.tallies.keys() {
        let initiator = initiator_of(*side);
        if !keys.iter().any(|(known, who)| known == kind && matches_side(*who, *side)) {
            keys.push((*kind, initiator));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let empty = GroupBook::default();
    let book = |key: &(ExchangeKind, Initiator)| books.latency.groups.get(key).unwrap_or(&empty);
    keys.iter().map(|key| group(header, *key, book(key), books)).collect()
}

/// Who asked, as far as the asking side alone tells.
fn initiator_of(side: Side) -> Initiator {
    match side {
        Side::Guest(_) => Initiator::Guest,
        Side::Wire(_) => Initiator::Peer,
        Side::Host => Initiator::Host,
    }
}

fn matches_side(initiator: Initiator, side: Side) -> bool {
    match side {
        Side::Guest(_) => {
            matches!(initiator, Initiator::Guest | Initiator::GuestToGuest | Initiator::GuestToHost)
        }
        Side::Wire(_) => matches!(initiator, Initiator::Peer | Initiator::PeerToHost),
        Side::Host => matches!(initiator, Initiator::Host | Initiator::HostToPeer),
    }
}

fn group(
    header: &Header,
    (kind, initiator): (ExchangeKind, Initiator),
    book: &GroupBook,
    books: &Books,
) -> Group {
    let totals = &book.totals;
    let layers = layer_rows(book);
    let tally = tally(kind, initiator, books);
    Group {
        kind: kind.name().to_owned(),
        initiator: initiator.name().to_owned(),
        count: totals.count(),
        unanswered: tally.unanswered,
        ambiguous: tally.ambiguous,
        overtaken: tally.overtaken,
        mean_ns: totals.mean_ns(),
        p50_ns: totals.percentile_ns(50.0),
        p90_ns: totals.percentile_ns(90.0),
        p99_ns: totals.percentile_ns(99.0),
        max_ns: totals.max_ns(),
        residual_mean_ns: residual(&layers, totals.count()),
        layers,
        segments: book.ordered().into_iter().map(|(span, stats)| segment_row(header, span, stats)).collect(),
    }
}

/// Questions of the group's asking side. An unanswered question does not tell whom it asked, so groups that
/// share a side share these counts: they stand with the side's first group.
fn tally(kind: ExchangeKind, initiator: Initiator, books: &Books) -> Tally {
    let mut sum = Tally::default();
    let first = match initiator {
        Initiator::Guest | Initiator::GuestToGuest | Initiator::GuestToHost => Initiator::Guest,
        Initiator::Peer | Initiator::PeerToHost => Initiator::Peer,
        Initiator::Host | Initiator::HostToPeer => Initiator::Host,
    };
    if initiator != first && books.latency.groups.contains_key(&(kind, first)) {
        return sum;
    }
    let of_side =
        |((of, side), _): &(&(ExchangeKind, Side), &Tally)| *of == kind && matches_side(initiator, *side);
    for (_, tally) in books.exchanger.tallies.iter().filter(of_side) {
        sum.unanswered += tally.unanswered;
        sum.ambiguous += tally.ambiguous;
        sum.overtaken += tally.overtaken;
    }
    sum
}

pub(super) fn losses(header: &Header, books: &Books, correlator: &Correlator) -> Losses {
    let counters = &books.counters;
    let name = |hop: &String| Hop::from_name(hop).map_or_else(|| hop.clone(), |hop| header.hop_name(hop));
    let ring: Vec<_> =
        counters.lost.iter().map(|(hop, count)| HopCount { hop: name(hop), count: *count }).collect();
    Losses {
        ring_by_cpu: counters.lost_by_cpu.iter().map(|(&cpu, &count)| CpuCount { cpu, count }).collect(),
        ring_total: ring.iter().map(|row| row.count).sum(),
        ring,
        skipped: skipped(header, counters),
        undecoded: counters.undecoded,
        late: correlator.late(),
        evicted: correlator.evicted,
        given_up: given_up(books, correlator),
        vanished: books.loss.vanished.iter().map(|(key, count)| vanished_row(header, *key, *count)).collect(),
        drops: books.loss.drops.iter().map(|(key, count)| drop_row(header, books, key, *count)).collect(),
    }
}

fn skipped(header: &Header, counters: &Counters) -> Vec<ProgramCount> {
    let skipped = counters.programs.iter().filter(|program| program.missed > 0);
    skipped.map(|it| ProgramCount { program: program_name(header, &it.program), count: it.missed }).collect()
}

/// What was given up for want of room, beside whole passages.
fn given_up(books: &Books, correlator: &Correlator) -> Vec<GivenUp> {
    let (questions, flows) = books.exchanger.evicted();
    let of_exchanges = [("questions", questions), ("flows of questions", flows)];
    let all = correlator.given_up().into_iter().chain(of_exchanges).filter(|(_, count)| *count > 0);
    all.map(|(what, count)| GivenUp { what: what.to_owned(), count }).collect()
}

fn vanished_row(header: &Header, (after, how): (Hop, Vanished), count: u64) -> VanishedRow {
    VanishedRow { after: header.hop_name(after), how: how.name().to_owned(), count }
}

fn drop_row(header: &Header, books: &Books, &(after, device, reason, address): &DropKey, count: u64) -> Drop {
    let device = header.devices.iter().find(|entry| Some(entry.slot) == device);
    let unnamed = || match reason {
        0 => "not reported".to_owned(),
        ELSEWHERE => "at further places".to_owned(),
        _ => format!("reason {reason}"),
    };
    Drop {
        after: header.hop_name(after),
        function: books.symbols.get(&address).cloned(),
        device: device.map(|entry| entry.device.name.clone()).unwrap_or_default(),
        reason: header.drop_reasons.get(&reason).cloned().unwrap_or_else(unnamed),
        count,
    }
}

/// A program of the user's by the name of its hop.
fn program_name(header: &Header, program: &str) -> String {
    let number = program.strip_prefix("user_hop_").and_then(|number| number.parse::<usize>().ok());
    let hop = number.and_then(|number| header.user_hops.get(number));
    hop.map_or_else(|| program.to_owned(), |hop| format!("{program} ({hop})"))
}

fn cost(header: &Header, books: &Books, exchanges: u64) -> Cost {
    let counters = &books.counters;
    let mut programs = counters.programs_in_all();
    let programs_ns = programs.iter().map(|program| program.run_ns).sum::<u64>();
    let share = |part: u64| if counters.wall_ns == 0 { 0.0 } else { part as f64 / counters.wall_ns as f64 };
    let passages = books.loss.passages.count;
    for program in &mut programs {
        program.program = program_name(header, &program.program);
    }
    programs
        .sort_by(|left, right| right.run_ns.cmp(&left.run_ns).then_with(|| left.program.cmp(&right.program)));
    Cost {
        programs,
        programs_ns,
        reader_cpu_ns: counters.reader_cpu_ns,
        wall_ns: counters.wall_ns,
        metered_ns: counters.metered_ns,
        programs_share: share(programs_ns),
        reader_share: share(counters.reader_cpu_ns),
        events_per_exchange: (exchanges > 0).then(|| books.events as f64 / exchanges as f64),
        programs_ns_per_passage: (passages > 0).then(|| programs_ns as f64 / passages as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Choice, PassedOver};

    fn choice(case: &str, hooks: &[&str], passed_over: &[(&str, &str)]) -> Choice {
        let over =
            |(hook, why): &(&str, &str)| PassedOver { hook: (*hook).to_owned(), why: (*why).to_owned() };
        Choice {
            case: case.to_owned(),
            hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
            passed_over: passed_over.iter().map(over).collect(),
        }
    }

    #[test]
    fn a_case_that_is_served_in_part_is_served() {
        let planned = |choices| PlannedHop { hop: String::new(), hooks: Vec::new(), unserved: None, choices };
        let ipv4 = choice("routed", &["fentry:ip_forward"], &[]);
        let ipv6 = choice("routed", &[], &[("kprobe:ip6_forward", "no such function")]);
        assert_eq!(half_served(&planned(vec![ipv4, ipv6])), None);
        let vmm = choice("tap served by the VMM", &["raw_tp:sys_enter"], &[]);
        let vhost = choice("tap served by vhost", &[], &[("kprobe:tun_sendmsg", "no kprobes")]);
        assert_eq!(
            half_served(&planned(vec![vhost, vmm])).unwrap(),
            "tap served by vhost: kprobe:tun_sendmsg: no kprobes"
        );
    }
}
