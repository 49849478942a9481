//! Conversations: who asks whom what, and what is answered.

use tracer_common::frame::Kind;

use super::{Content, Place, build::Builder, way::Sent};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// After this the asker of a datagram asks again, and the sender of bytes sends them again, ns.
const TIMEOUT_NS: u64 = 3_000_000;
/// Set in the word of a step that is a timeout: the rest is what was acknowledged then.
const TIMEOUT: usize = 1 << 40;

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    asker: Place,
    answerer: Place,
    flow: u64,
    /// Rounds still to go.
    rounds: usize,
    subject: Subject,
}

#[derive(Clone, Copy, Debug)]
enum Subject {
    /// One request after another, perhaps before the reply to the last.
    Echo { id: u32, seq: u32, flood: bool },
    /// Question and answer, then the next.
    Udp,
    /// Bytes, acknowledged.
    Tcp(Stream),
    /// One frame to all.
    Broadcast,
    /// Datagrams in super-frames, one way, with the identification of the next.
    Datagrams { id: u32, segment: u32 },
}

/// A stream of bytes in one direction.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// First byte not sent.
    next: u32,
    /// First byte not acknowledged.
    acknowledged: u32,
    /// First byte that the receiver lacks.
    received: u32,
    /// Sequence number of the receiver's own bytes.
    other: u32,
    /// Bytes a segment, and segments a frame.
    segment: u32,
    frame: u32,
}

impl Talk {
    pub(super) fn random(builder: &mut Builder, number: usize) -> Talk {
        let asker = builder.place();
        let mut answerer = builder.place();
        while answerer == asker
            || (asker != Place::Host && answerer == Place::Host && builder.random.one_in(2))
        {
            answerer = builder.place();
        }
        // The wire and the host themselves do not talk through a VM's tap.
        let through_vm = |place: Place| matches!(place, Place::Guest(_));
        if !through_vm(asker) && !through_vm(answerer) {
            answerer = Place::Guest(0);
        }
        let random = &mut builder.random;
        let subject = match random.below(9) {
            0 => Subject::Broadcast,
            8 => Subject::Datagrams {
                id: random.below(1 << 15) as u32,
                segment: 200 + random.below(900) as u32,
            },
            1..=2 => Subject::Udp,
            3..=4 => {
                let flood = random.one_in(6) && asker != Place::Host && answerer != Place::Host;
                Subject::Echo { id: random.below(1 << 16) as u32, seq: random.below(1000) as u32, flood }
            }
            _ => Subject::Tcp(Stream::random(random)),
        };
        let rounds = 1 + random.below(12) as usize;
        Talk { asker, answerer, flow: (number as u64 + 1) * 1000, rounds, subject }
    }

    /// Goes on at a time.
    pub(super) fn step(&mut self, builder: &mut Builder, number: usize, now_ns: u64, word: usize) {
        if self.rounds == 0 && !matches!(self.subject, Subject::Tcp(_)) {
            return;
        }
        match self.subject {
            Subject::Echo { id, seq, flood } => self.echo(builder, number, now_ns, (id, seq, flood)),
            Subject::Udp => self.udp(builder, number, now_ns),
            Subject::Tcp(stream) => self.tcp(builder, number, now_ns, stream, word),
            Subject::Datagrams { id, segment } => self.datagrams(builder, number, now_ns, (id, segment)),
            Subject::Broadcast => {
                let content = self.content(builder, Kind::Arp, false);
                let to = if self.answerer == Place::Host { Place::Guest(0) } else { self.answerer };
                if self.asker != Place::Host && self.asker != to {
                    builder.send(now_ns, self.asker, to, content, true, None);
                }
                self.again(builder, number, now_ns + 100_000);
            }
        }
    }

    fn again(&mut self, builder: &mut Builder, number: usize, at_ns: u64) {
        self.rounds -= 1;
        let pause_ns = builder.random.latency();
        builder.schedule(at_ns + pause_ns, number, 0);
    }

    /// A frame that says something of its own, from the asker, or back.
    fn content(&self, builder: &mut Builder, kind: Kind, back: bool) -> Content {
        Content {
            kind,
            flow: self.flow | u64::from(back),
            digest: builder.random.number() | 1,
            seq: 0,
            ack: 0,
            flags: 0,
            payload: 8 + builder.random.below(500) as u32,
            segment: u32::MAX,
        }
    }

    fn ask(&self, builder: &mut Builder, now_ns: u64, content: Content, flood: bool) -> Sent {
        builder.send(now_ns, self.asker, self.answerer, content, flood, None)
    }

    fn answer(&self, builder: &mut Builder, now_ns: u64, content: Content, question: usize) -> Sent {
        builder.send(now_ns, self.answerer, self.asker, content, false, Some(question))
    }

    fn echo(
        &mut self,
        builder: &mut Builder,
        number: usize,
        now_ns: u64,
        (id, seq, flood): (u32, u32, bool),
    ) {
        let said = |content: Content| Content { seq, ack: id, payload: 56, ..content };
        let request = said(self.content(builder, Kind::EchoRequest, false));
        let asked = self.ask(builder, now_ns, request, flood && self.rounds == 1);
        if let Some(asked_ns) = asked.delivered_ns {
            let reply = said(self.content(builder, Kind::EchoReply, true));
            let think_ns = builder.random.latency();
            self.answer(builder, asked_ns + think_ns, reply, asked.frame);
        }
        self.subject = Subject::Echo { id, seq: seq + 1, flood };
        self.again(builder, number, now_ns + 20_000);
    }

    fn udp(&mut self, builder: &mut Builder, number: usize, now_ns: u64) {
        let question = self.content(builder, Kind::Udp, false);
        let asked = self.ask(builder, now_ns, question, false);
        let mut next_ns = now_ns + TIMEOUT_NS;
        if let Some(asked_ns) = asked.delivered_ns {
            let answer = self.content(builder, Kind::Udp, true);
            let think_ns = builder.random.latency();
            let answered = self.answer(builder, asked_ns + think_ns, answer, asked.frame);
            next_ns = answered.delivered_ns.unwrap_or(next_ns.max(asked_ns + TIMEOUT_NS));
        }
        self.again(builder, number, next_ns);
    }

    fn datagrams(&mut self, builder: &mut Builder, number: usize, now_ns: u64, (id, segment): (u32, u32)) {
        let count = 1 + builder.random.below(5) as u32;
        let payload = segment * count - builder.random.below(u64::from(segment) / 2) as u32;
        let content = self.content(builder, Kind::Udp, false);
        let content = Content { seq: 0x1_0000 | id, ack: 0, payload, segment, ..content };
        self.ask(builder, now_ns, content, false);
        self.subject = Subject::Datagrams { id: id + count, segment };
        self.again(builder, number, now_ns + 50_000);
    }

    /// Go-back-N: a burst, an acknowledgement for each frame or every other, all again after a timeout.
    fn tcp(&mut self, builder: &mut Builder, number: usize, now_ns: u64, mut stream: Stream, word: usize) {
        if word >= TIMEOUT {
            if word - TIMEOUT != stream.acknowledged as usize || stream.acknowledged == stream.next {
                return;
            }
            builder.troubled.insert(self.flow);
            stream.next = stream.acknowledged;
        } else if self.rounds == 0 {
            return;
        }
        self.rounds = self.rounds.saturating_sub(1);
        let first = stream.next;
        let last_ns = self.burst(builder, now_ns, &mut stream);
        self.subject = Subject::Tcp(stream);
        if stream.acknowledged == stream.next {
            let pause_ns = builder.random.latency();
            builder.schedule(last_ns + pause_ns, number, 0);
        } else if self.rounds > 0 && first != stream.next {
            builder.schedule(last_ns + TIMEOUT_NS, number, TIMEOUT + stream.acknowledged as usize);
        }
    }

    fn burst(&self, builder: &mut Builder, now_ns: u64, stream: &mut Stream) -> u64 {
        let opens = stream.next == stream.other;
        let frames = if opens { 1 } else { 1 + builder.random.below(3) };
        let (mut last_ns, mut arrived_ns, mut now_ns, mut owed) = (now_ns, 0, now_ns, 0);
        for index in 0..frames {
            let mut data = self.content(builder, Kind::Tcp, false);
            data.flags = if opens { SYN } else { ACK };
            data.payload = if opens { 0 } else { stream.segment * stream.frame };
            (data.seq, data.ack, data.segment) = (stream.next, stream.other, stream.segment);
            stream.next = stream.next.wrapping_add(data.payload + u32::from(opens));
            let sent = self.ask(builder, now_ns, data, false);
            now_ns += 2000;
            // What is acknowledged has all arrived, whatever overtook what on its way.
            arrived_ns = arrived_ns.max(sent.delivered_ns.unwrap_or_default());
            if sent.delivered_ns.is_none() {
                continue;
            }
            owed += 1;
            if data.seq == stream.received {
                stream.received = stream.next;
            }
            if owed == 2 || opens || index + 1 == frames || builder.random.one_in(3) {
                owed = 0;
                last_ns = last_ns.max(self.acknowledge(builder, arrived_ns, stream, sent.frame));
            }
        }
        last_ns.max(now_ns)
    }

    fn acknowledge(&self, builder: &mut Builder, at_ns: u64, stream: &mut Stream, question: usize) -> u64 {
        let mut ack = self.content(builder, Kind::Tcp, true);
        (ack.seq, ack.ack, ack.flags, ack.payload) = (stream.other, stream.received, ACK, 0);
        let think_ns = builder.random.latency();
        let sent = self.answer(builder, at_ns + think_ns, ack, question);
        if sent.delivered_ns.is_some() {
            stream.acknowledged = stream.received;
        }
        sent.delivered_ns.unwrap_or(at_ns)
    }
}

impl Stream {
    fn random(random: &mut super::Random) -> Stream {
        let start = 1 + random.below(1 << 30) as u32;
        let frame = if random.one_in(2) { 1 } else { 2 + random.below(4) as u32 };
        Stream {
            next: start,
            acknowledged: start,
            received: start,
            other: start,
            segment: 500 + random.below(960) as u32,
            frame,
        }
    }
}
