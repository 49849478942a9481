//! Which frames are recorded where not all are: the same ones at every hop, and with a question what may answer it.
//!
//! A frame's choice follows from what no layer of a host changes and what question and answer agree in:
//!
//! | frame | chosen by |
//! | --- | --- |
//! | ICMP echo | the sequence number, which request and reply share |
//! | TCP with payload, SYN or FIN | the stretches of the sequence space in which it begins and ends |
//! | TCP with ACK | as well by the stretch that it acknowledges, and by the one before: the first acknowledgement of a chosen byte is chosen, unless it acknowledges a whole stretch at once ([`STRETCH`]) |
//! | UDP | the flow, whose answers are told by their order; all of it where addresses may be translated |
//! | ARP, other ICMP | always: they are few |
//! | others | the digest |
//!
//! Of a TCP connection the choice is so in stretches of 1 MiB. One side's acknowledgement number stands still while it only
//! sends: one of N connections is recorded whole.

use crate::frame::{Frame, Kind};

/// Bytes of TCP's sequence space that are chosen together, and within which the answer to a question lies.
pub const STRETCH: u32 = 1 << STRETCH_BITS;
const STRETCH_BITS: u32 = 20;

const FIN_SYN: u8 = 0x03;
const ACK: u8 = 0x10;

/// A choice of one of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Random number of this recording.
    pub seed: u32,
    /// What hashes below are chosen: 2^32 / N - 1.
    pub limit: u32,
}

impl Sampling {
    /// The choice of one of `one_in`, which is at least 1.
    pub const fn one_in(one_in: u32, seed: u32) -> Sampling {
        let one_in = if one_in == 0 { 1 } else { one_in };
        Sampling { seed, limit: ((1u64 << 32) / one_in as u64 - 1) as u32 }
    }

    /// Whether the number is chosen. A smaller limit chooses some of what a larger one does.
    #[inline(always)]
    const fn chooses(&self, number: u32) -> bool {
        spread(number ^ self.seed) <= self.limit
    }

    /// Whether a byte of TCP's sequence space is chosen: then so is the first acknowledgement of it.
    #[inline(always)]
    pub const fn chooses_byte(&self, seq: u32) -> bool {
        self.chooses(seq >> STRETCH_BITS)
    }

    /// Whether echo requests and replies of this sequence number are chosen.
    #[inline(always)]
    pub const fn chooses_echo(&self, seq: u32) -> bool {
        self.chooses(seq)
    }

    /// Whether to record the frame. `payload` is its layer 4 payload, bytes; `translates` says that its addresses may be
    /// others at another hop.
    #[inline(always)]
    pub fn chooses_frame(&self, frame: &Frame, payload: u32, translates: bool) -> bool {
        match frame.kind {
            Kind::EchoRequest | Kind::EchoReply => self.chooses_echo(frame.seq),
            Kind::Tcp => self.chooses_segment(frame, payload),
            Kind::Udp => translates || self.chooses((frame.flow >> 1) as u32),
            Kind::Arp | Kind::Icmp => true,
            Kind::Fragment | Kind::Other | Kind::Truncated => self.chooses(frame.digest as u32),
        }
    }

    #[inline(always)]
    fn chooses_segment(&self, frame: &Frame, payload: u32) -> bool {
        let asks = payload > 0 || frame.tcp_flags & FIN_SYN != 0;
        let by_sequence =
            self.chooses_byte(frame.seq) | self.chooses_byte(end_of(frame.seq, payload, frame.tcp_flags));
        let by_answer = self.chooses_byte(frame.ack) | self.chooses_byte(frame.ack.wrapping_sub(STRETCH));
        (asks & by_sequence) | ((frame.tcp_flags & ACK != 0) & by_answer)
    }
}

/// The sequence number behind a segment.
#[inline(always)]
const fn end_of(seq: u32, payload: u32, tcp_flags: u8) -> u32 {
    seq.wrapping_add(payload).wrapping_add((tcp_flags & FIN_SYN).count_ones())
}

/// Spreads neighbouring numbers over all (the finalizer of MurmurHash3, public domain).
#[inline(always)]
const fn spread(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Slice;

    const KEY: [u64; 2] = [3, 4];

    fn ipv4(protocol: u8, layer4: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([
            0x45,
            0,
            0,
            20 + layer4.len() as u8,
            0,
            7,
            0x40,
            0,
            64,
            protocol,
            0,
            0,
            192,
            0,
            2,
            1,
            192,
            0,
            2,
            2,
        ]);
        bytes.extend(layer4);
        bytes
    }

    fn segment(seq: u32, ack: u32, flags: u8) -> Frame {
        let mut layer4 = vec![1, 2, 3, 4];
        layer4.extend(seq.to_be_bytes());
        layer4.extend(ack.to_be_bytes());
        layer4.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
        Slice(&ipv4(6, &layer4)).parse(&KEY)
    }

    fn echo(kind: u8, id: u8, seq: u16) -> Frame {
        let mut layer4 = vec![kind, 0, 0, 0, 0, id];
        layer4.extend(seq.to_be_bytes());
        layer4.extend([9; 16]);
        Slice(&ipv4(1, &layer4)).parse(&KEY)
    }

    #[test]
    fn one_in_n_is_about_that() {
        for one_in in [1, 2, 64, 1000] {
            let sampling = Sampling::one_in(one_in, 0x1234_5678);
            let chosen = (0..1_000_000).filter(|number| sampling.chooses(*number)).count() as f64;
            let expected = 1e6 / f64::from(one_in);
            assert!((chosen - expected).abs() <= 5.0 * expected.sqrt(), "{one_in}: {chosen}");
        }
    }

    #[test]
    fn a_choice_of_fewer_is_a_part_of_one_of_more() {
        let (more, fewer) = (Sampling::one_in(8, 77), Sampling::one_in(64, 77));
        assert!((0..100_000).all(|number| !fewer.chooses(number) || more.chooses(number)));
    }

    #[test]
    fn request_and_reply_are_chosen_together_behind_a_nat_too() {
        let sampling = Sampling::one_in(4, 5);
        for seq in 0..1000 {
            let chosen = |frame: &Frame| sampling.chooses_frame(frame, 16, false);
            assert_eq!(chosen(&echo(8, 1, seq)), chosen(&echo(0, 2, seq)));
        }
    }

    proptest! {
        #[test]
        fn the_first_acknowledgement_of_a_chosen_segment_is_chosen(
            seq: u32, seed: u32, payload in 1u32..65_000, beyond in 0u32..(STRETCH - 1),
        ) {
            let sampling = Sampling::one_in(4, seed);
            let end = seq.wrapping_add(payload);
            if sampling.chooses_byte(end) {
                prop_assert!(sampling.chooses_frame(&segment(seq, 1, ACK), payload, false));
                let answer = segment(99, end.wrapping_add(beyond), ACK);
                prop_assert!(sampling.chooses_frame(&answer, 0, false));
            }
        }

        #[test]
        fn a_super_frame_is_chosen_with_any_of_its_segments(
            seq: u32, seed: u32, payload in 1u32..65_000, at in 0u32..65_000,
        ) {
            let sampling = Sampling::one_in(4, seed);
            let whole = segment(seq, 1, 0);
            let part = segment(seq.wrapping_add(at % payload), 1, 0);
            let rest = (payload - at % payload).min(1448);
            prop_assert!(!sampling.chooses_frame(&part, rest, false) || sampling.chooses_frame(&whole, payload, false));
        }
    }
}
