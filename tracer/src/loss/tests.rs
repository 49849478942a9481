//! What the book says of passages that were moved without a word, and of hops that they must have gone by.

use tracer_common::hop::Hook;

use super::*;
use crate::correlate::Stamp;

fn passage(from: Side, to: Side, hops: &[Hop]) -> Passage {
    let stamp = |(index, hop): (usize, &Hop)| Stamp {
        hop: *hop,
        time_ns: 100 + index as u64,
        hook: Hook::NetifReceiveSkb,
        rule: Rule::Pointer,
    };
    let mut passage = Passage::empty(from, to);
    passage.stamps = hops.iter().enumerate().map(stamp).collect();
    passage.end = End::Done;
    passage
}

fn tap(behind: Option<Between>, hops: &[Hop]) -> TapFacts {
    let mut served = PerHop::default();
    hops.iter().for_each(|hop| served[*hop as usize] = true);
    TapFacts { behind, served }
}

fn book(behind: Option<Between>, passages: &[Passage]) -> LossBook {
    let mut book = LossBook::new(BTreeMap::from([(0, tap(behind, Hop::ALL))]));
    passages.iter().for_each(|passage| book.passage(passage));
    book
}

fn coverage(book: &LossBook, hop: Hop) -> (u64, u64) {
    (book.found[hop as usize], book.expected[hop as usize])
}

const GUEST: Side = Side::Guest(0);
const WIRE: Side = Side::Wire(1);

#[test]
fn what_was_written_without_a_kick_was_polled() {
    let told = passage(GUEST, WIRE, &[Hop::VmmKick, Hop::TapWrite, Hop::TapRx]);
    let untold = passage(GUEST, WIRE, &[Hop::TapWrite, Hop::TapRx]);
    let mut copy = untold.clone();
    copy.branch = Some(Branch::Copy);
    let unwritten = passage(GUEST, WIRE, &[Hop::TapRx]);
    assert_eq!(book(None, &[told, untold.clone(), copy, unwritten]).passages.polled, 1);
    let mut unserved = LossBook::new(BTreeMap::from([(0, tap(None, &[Hop::TapWrite]))]));
    unserved.passage(&untold);
    assert_eq!(unserved.passages.polled, 0);
}

#[test]
fn what_was_copied_without_an_interrupt_was_not_announced() {
    let announced = passage(WIRE, GUEST, &[Hop::TapRing, Hop::VmmReadEnd, Hop::VmmIrq]);
    let silent = passage(WIRE, GUEST, &[Hop::TapRing, Hop::VmmReadEnd]);
    let uncopied = passage(WIRE, GUEST, &[Hop::TapRing]);
    let mut open = silent.clone();
    open.end = End::Unfinished;
    assert_eq!(book(None, &[announced, silent, uncopied, open]).passages.unannounced, 1);
}

#[test]
fn an_entry_is_expected_of_what_was_announced() {
    let entered = passage(WIRE, GUEST, &[Hop::VmmReadEnd, Hop::VmmIrq, Hop::VcpuEnter]);
    let waiting = passage(WIRE, GUEST, &[Hop::VmmReadEnd, Hop::VmmIrq]);
    let silent = passage(WIRE, GUEST, &[Hop::VmmReadEnd]);
    assert_eq!(coverage(&book(None, &[entered, waiting, silent]), Hop::VcpuEnter), (1, 2));
}

#[test]
fn hops_of_the_network_are_expected_of_taps_that_have_it_behind_them() {
    let switched = passage(GUEST, WIRE, &[Hop::TapRx, Hop::BridgeIn, Hop::NicQueue, Hop::NicDone]);
    let routed = passage(WIRE, GUEST, &[Hop::NicStack, Hop::IpIn, Hop::IpOut, Hop::TapQueue]);
    let passages = [switched, routed];
    let figures = |behind| {
        let book = book(behind, &passages);
        [Hop::BridgeIn, Hop::BridgeOut, Hop::IpIn, Hop::IpOut].map(|hop| coverage(&book, hop))
    };
    assert_eq!(figures(None), [(0, 0); 4]);
    assert_eq!(figures(Some(Between::Switch)), [(1, 2), (0, 2), (0, 0), (0, 0)]);
    assert_eq!(figures(Some(Between::Route)), [(0, 0), (0, 0), (1, 2), (1, 2)]);
}

#[test]
fn what_did_not_get_that_far_is_expected_nowhere_beyond() {
    let mut cut = passage(GUEST, WIRE, &[Hop::TapRx, Hop::BridgeIn]);
    cut.end = End::Unfinished;
    let book = book(Some(Between::Switch), &[cut]);
    assert_eq!((coverage(&book, Hop::BridgeIn), coverage(&book, Hop::BridgeOut)), ((1, 1), (0, 0)));
}

#[test]
fn each_guest_is_expected_at_the_hops_that_are_served_for_it() {
    let kvm = tap(None, Hop::ALL);
    let emulated = tap(None, &[Hop::TapRing, Hop::VmmReadEnd]);
    let mut book = LossBook::new(BTreeMap::from([(0, kvm), (2, emulated)]));
    let copied = |to| passage(WIRE, to, &[Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd]);
    book.passage(&copied(Side::Guest(2)));
    assert_eq!((book.passages.unannounced, coverage(&book, Hop::TapQueue)), (0, (0, 0)));
    book.passage(&copied(GUEST));
    assert_eq!((book.passages.unannounced, coverage(&book, Hop::TapQueue)), (1, (0, 1)));
    let between = passage(GUEST, Side::Guest(2), &[Hop::TapRx, Hop::TapRing, Hop::VmmRead, Hop::VmmReadEnd]);
    book.passage(&between);
    assert_eq!((book.passages.unannounced, coverage(&book, Hop::TapQueue)), (1, (0, 1)));
    assert_eq!(coverage(&book, Hop::TapWrite), (0, 1));
}
