//! The same recording gives the same report, byte for byte, in whatever pieces it is read, taken or written.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::{self, Cursor, Read},
    path::PathBuf,
};

use tests::{
    header::header,
    stream::Stream,
    world::{Machine, Random, Recipe, World, Xdp, correlator, topology},
};
use tracer::{
    analysis::{Analysis, Unobserved, analyse},
    cli::Format,
    correlate::{
        Limits, Options, Passage,
        exchange::{Exchange, Exchanger},
    },
    decode::Event,
    export::write_report,
    record::{Item, RecordReader, RecordWriter},
    recording::Header,
    report::Report,
};
use tracer_common::{event::ABI_VERSION, hop::Hop};

const GOLDENS: [&str; 3] = ["echo-peer", "echo-guest", "download"];
/// How often each is read in pieces.
const TIMES: u64 = 5;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"));
    fs::read(path).unwrap()
}

/// Worlds of some kinds, as recipes.
fn recipes() -> impl Iterator<Item = Recipe> {
    let machines = [Machine::Emulated, Machine::Kvm { vhost: true, queues: 2 }];
    (0..4).map(move |seed| Recipe {
        seed,
        vms: 2,
        machine: machines[seed as usize % 2],
        routed: false,
        user: false,
        talks: 40,
        nat: seed == 1,
        xdp: (seed >= 2).then_some(Xdp::Native),
        bridge: true,
        vcpu: true,
        drops: 20,
        tap_cuts: seed == 3,
        duplicates: 5,
        lag_ns: 200_000,
    })
}

fn world_header(recipe: &Recipe) -> Header {
    let hook = if recipe.xdp.is_some() { "xdp" } else { "tp_btf:netif_receive_skb" };
    header(topology(recipe.vms, recipe.machine), hook, Hop::ALL)
}

/// A recording with these lengths of batches, the last one as long as need be.
fn recorded(header: &Header, events: &[Event], mut batch: impl FnMut() -> usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::create(&mut bytes, header).unwrap();
    let mut rest = batch();
    for event in events {
        writer.event(event).unwrap();
        rest -= 1;
        if rest == 0 {
            writer.flush().unwrap();
            rest = batch();
        }
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// All that a report says: JSON and text.
fn said(report: &Report) -> String {
    let mut out = Vec::new();
    for format in [Format::Json, Format::Text] {
        write_report(report, format, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn reported(bytes: Vec<u8>) -> String {
    said(&analyse(&mut RecordReader::from_read(Cursor::new(bytes)).unwrap()).unwrap())
}

/// Gives a few bytes at a time.
struct Dribble(Cursor<Vec<u8>>, Random);

impl Read for Dribble {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = 1 + self.1.below(3000) as usize;
        let length = into.len().min(most);
        self.0.read(&mut into[..length])
    }
}

#[test]
fn a_recording_is_reported_alike_in_whatever_pieces_it_is_read() {
    let worlds = recipes().map(|recipe| recorded(&world_header(&recipe), &recipe.build().events, || 1000));
    for bytes in GOLDENS.map(golden).into_iter().chain(worlds) {
        let whole = reported(bytes.clone());
        for seed in 0..TIMES {
            let dribble = Dribble(Cursor::new(bytes.clone()), Random::new(seed));
            let report = analyse(&mut RecordReader::from_read(dribble).unwrap()).unwrap();
            assert_eq!(said(&report), whole);
        }
    }
}

#[test]
fn a_recording_is_reported_alike_whatever_its_batches_are() {
    for recipe in recipes() {
        let (header, world) = (world_header(&recipe), recipe.build());
        let whole = reported(recorded(&header, &world.events, || usize::MAX));
        let mut random = Random::new(recipe.seed);
        for _ in 0..TIMES {
            let batches = recorded(&header, &world.events, || 1 + random.below(700) as usize);
            assert_eq!(reported(batches), whole);
        }
    }
}

#[test]
fn rows_that_are_taken_one_by_one_are_reported_as_those_of_a_file() {
    for recipe in recipes() {
        let (header, world) = (world_header(&recipe), recipe.build());
        let mut analysis = Analysis::new(&header, ABI_VERSION, Limits::default());
        world.events.iter().for_each(|event| analysis.push(Item::Event(*event), &mut Unobserved));
        let taken = analysis.finish(false, &mut Unobserved);
        assert_eq!(said(&taken), reported(recorded(&header, &world.events, || 1000)));
    }
}

/// Passages and exchanges, polled for after each event with a chance of one in `often`.
fn polled(world: &World, limits: Limits, often: u64) -> (Vec<Passage>, Vec<Exchange>) {
    let mut random = Random::new(often);
    let (mut correlator, mut exchanger) = (world.correlator(limits), Exchanger::default());
    let (mut passages, mut exchanges) = (Vec::new(), Vec::new());
    for event in &world.events {
        correlator.push(*event);
        if random.one_in(often) {
            passages.extend(std::iter::from_fn(|| correlator.poll()).map(|passage| *passage));
        }
    }
    correlator.finish();
    passages.extend(std::iter::from_fn(|| correlator.poll()).map(|passage| *passage));
    for passage in &passages {
        exchanger.push(passage);
        if random.one_in(often) {
            exchanges.extend(std::iter::from_fn(|| exchanger.poll()));
        }
    }
    exchanges.extend(std::iter::from_fn(|| exchanger.poll()));
    (passages, exchanges)
}

#[test]
fn passages_come_in_the_same_order_however_rarely_they_are_asked_for() {
    for recipe in recipes() {
        let world = recipe.build();
        // With few frames on their way at once some are given up: the same ones.
        for frames in [20, 1 << 18] {
            let often = polled(&world, Limits::of_frames(frames), 1);
            assert!(!often.0.is_empty() && !often.1.is_empty());
            for rarely in [7, 1000, u64::MAX] {
                assert_eq!(polled(&world, Limits::of_frames(frames), rarely), often);
            }
        }
    }
}

#[test]
fn one_stream_of_events_makes_one_sequence_of_passages() {
    let passages = |rest: usize| {
        let options =
            Options { waits_for_vcpu: true, irqs: true, xdp: false, no_socket: None, segments_told: true };
        let machine = Machine::Kvm { vhost: true, queues: 2 };
        let mut correlator = correlator(2, machine, Limits::of_frames(500), options);
        let mut passages = Vec::new();
        for (number, event) in Stream::new().take(40_000).enumerate() {
            correlator.push(event);
            if number % rest == 0 {
                passages.extend(std::iter::from_fn(|| correlator.poll()).map(|passage| *passage));
            }
        }
        correlator.finish();
        passages.extend(std::iter::from_fn(|| correlator.poll()).map(|passage| *passage));
        passages
    };
    assert_eq!(passages(1), passages(10_000));
}
