//! Recordings of a part of the frames: whole exchanges, and none that a recording of all frames does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tests::{
    lab::{TestLab, root_or_skip},
    recording::{Recordings, analyse, assert_additive},
};
use tracer::{
    analysis::{Analysis, EachExchange},
    correlate::{Limits, exchange::Exchange},
    decode::Event,
    record::{Item, RecordReader},
    recording::{Header, Sampled},
    report::Report,
};
use tracer_common::{
    frame::{Frame, Slice},
    sample::Sampling,
};

const PINGS: u16 = 200;
/// Choices that are tried.
const SEEDS: u32 = 64;

/// An exchange by its kind, its first and last hop, and when the question was seen at each hop and the answer at each.
type Seen = (&'static str, Vec<(u64, &'static str)>);

fn seen(exchange: &Exchange) -> Seen {
    let stamps = exchange.stamps.iter();
    (exchange.kind.name(), stamps.map(|stamp| (stamp.time_ns, stamp.hop.name())).collect())
}

/// The events that the programs would have recorded of these: by headers where there are any, else by the frame's address.
struct Chooser {
    sampling: Sampling,
    chosen: BTreeMap<u64, bool>,
}

impl Chooser {
    fn takes(&mut self, event: &Event) -> bool {
        let Some(kind) = event.kind else {
            return event.skb == 0 || self.chosen.get(&event.skb).copied().unwrap_or_default();
        };
        let Event { digest, flow, seq, ack, tcp_flags, .. } = *event;
        let frame = Frame { digest, flow, kind, seq, ack, tcp_flags, ..Slice(&[]).parse(&[0, 0]) };
        let chosen = self.sampling.chooses_frame(&frame, event.payload(), false);
        self.chosen.insert(event.skb, chosen);
        chosen
    }
}

fn analysed(items: &[Item], header: &Header, sampling: Option<(u32, Sampling)>) -> (Report, BTreeSet<Seen>) {
    let sampled = sampling.map(|(one_in, choice)| Sampled { seed: choice.seed, one_in, budget: None });
    let mut analysis = Analysis::new(&Header { sampled, ..header.clone() }, 3, Limits::default());
    let mut exchanges = BTreeSet::new();
    let mut each = EachExchange(|exchange: &Exchange| {
        exchanges.insert(seen(exchange));
    });
    let mut chooser = sampling.map(|(_, sampling)| Chooser { sampling, chosen: BTreeMap::new() });
    for item in items {
        let taken = match (&mut chooser, item) {
            (Some(chooser), Item::Event(event)) => chooser.takes(event),
            _ => true,
        };
        if taken {
            analysis.push(item.clone(), &mut each);
        }
    }
    let report = analysis.finish(true, &mut each);
    (report, exchanges)
}

/// What came in the question, without what led to it: who kicked and woke whom depends on which frames are known.
fn frames_of(seen: &BTreeSet<Seen>) -> BTreeSet<Seen> {
    let of_frame = |hop: &str| !hop.starts_with("vmm.") && !hop.starts_with("vcpu.") && hop != "nic.irq";
    let kept =
        |(kind, stamps): &Seen| (*kind, stamps.iter().copied().filter(|(_, hop)| of_frame(hop)).collect());
    seen.iter().map(kept).collect()
}

#[test]
fn a_part_of_the_frames_has_no_exchange_that_all_do_not_have() {
    for (name, at_least) in [("echo-peer", 100), ("echo-guest", 100), ("download", 50)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"));
        let mut reader = RecordReader::open(path).unwrap();
        let header = reader.header().clone();
        let items: Vec<Item> = reader.by_ref().map(Result::unwrap).collect();
        let (_, all) = analysed(&items, &header, None);
        let all = frames_of(&all);
        let mut found = 0;
        for seed in 0..SEEDS {
            let (report, some) = analysed(&items, &header, Some((4, Sampling::one_in(4, seed))));
            let some = frames_of(&some);
            found += some.len();
            let wrong: Vec<&Seen> = some.difference(&all).collect();
            assert!(wrong.is_empty(), "{name}, {seed}: {} of {}: {:?}", wrong.len(), some.len(), wrong[0]);
            assert_additive(&report);
        }
        assert!(found >= at_least, "{name}: {found}");
        assert!(found < all.len() * SEEDS as usize * 3 / 4, "{name}: {found} of {SEEDS} times {}", all.len());
    }
}

#[test]
fn the_kernel_records_whole_exchanges_of_the_chosen_pings() {
    if !root_or_skip("sampled pings") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let recordings = Recordings::new();
    let ping = ["ping", "-q", "-c", &PINGS.to_string(), "-i", "0.02", "192.0.2.2"];
    let (path, done) = recordings.during(&lab, "sampled.vmhop", &["--sample", "1/4"], "peer", &ping);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (report, exchanges) = analyse(&path);
    let sampled = RecordReader::open(&path).unwrap().header().sampled.unwrap();
    let choice = Sampling::one_in(4, sampled.seed);
    let chosen = (1..=PINGS).filter(|seq| choice.chooses_echo(u32::from(*seq))).count();
    assert!(exchanges.len() == chosen && chosen > 0, "{} exchanges, {chosen} chosen", exchanges.len());
    assert_additive(&report);
    assert_eq!(report.losses.ring_total, 0);
    for name in [
        "tap.rx",
        "nic.queue",
        "nic.xmit",
        "nic.done",
        "nic.rx",
        "nic.stack",
        "tap.queue",
        "tap.ring",
        "vmm.read",
    ] {
        let hop = report.hops.iter().find(|hop| hop.hop == name).unwrap();
        assert_eq!(hop.coverage, Some(1.0), "{name}");
    }
    // What the verifier refuses is served by other hooks, and told.
    assert!(!done.text().contains("could not be attached"), "{}", done.text());
    assert!(done.text().contains("1 of 4 frames"), "{}", done.text());
}
