//! How `lab exec` and the agent in the guest talk over a virtio-serial port.
//!
//! A port is a plain stream of bytes that outlives its users: when a client dies in the middle of a frame, or
//! the agent gives up in the middle of one, the rest of it is still on its way when the next client comes.
//! So every frame starts with a mark and the number of its session, and both sides can find back:
//! - the client skips everything until the first frame of its own session; from there on the agent sends
//!   nothing else;
//! - the client first sends as many zero bytes as the longest frame has ([`PREAMBLE`]), which fill up
//!   whatever the agent may still be waiting for, and which the agent skips.
//!
//! Pure: bytes in, frames out.

/// Longest content of a frame.
pub(crate) const MAX_CONTENT: usize = 16 * 1024;

const MARK: [u8; 4] = *b"VMHP";
const HEADER: usize = 4 + 8 + 1 + 4;

/// What a client sends first.
pub(crate) static PREAMBLE: [u8; HEADER + MAX_CONTENT] = [0; HEADER + MAX_CONTENT];

/// What a frame says. The numbers are the ones on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Client: are you there?
    Hello = 1,
    /// Client: run this; words each ended by a zero byte.
    Run = 2,
    /// Client: input for the command; empty at its end.
    Stdin = 3,
    /// Client: send the command this signal, one byte.
    Signal = 4,
    /// Agent: yes.
    Ready = 16,
    /// Agent: the command wrote this.
    Stdout = 17,
    /// Agent: the command wrote this to its standard error.
    Stderr = 18,
    /// Agent: the command ended with this code, one byte; the last frame of a session.
    Exit = 19,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Hello,
            Self::Run,
            Self::Stdin,
            Self::Signal,
            Self::Ready,
            Self::Stdout,
            Self::Stderr,
            Self::Exit,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) session: u64,
    pub(crate) kind: Kind,
    pub(crate) content: Vec<u8>,
}

/// Appends a frame to `out`; content longer than [`MAX_CONTENT`] is the caller's to split.
pub(crate) fn encode(session: u64, kind: Kind, content: &[u8], out: &mut Vec<u8>) {
    debug_assert!(content.len() <= MAX_CONTENT);
    out.extend(MARK);
    out.extend(session.to_le_bytes());
    out.push(kind as u8);
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(content);
}

/// Finds the frames in a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// Frames of other sessions are passed over byte by byte: they may be cut off.
    only: Option<u64>,
}

impl Decoder {
    /// For a client, which wants the frames of its own session only.
    pub(crate) fn for_session(session: u64) -> Self {
        Self { buffer: Vec::new(), only: Some(session) }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// Bytes that make no whole frame yet.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame, if it has arrived.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut start = 0;
        while let Some(rest) = self.buffer.get(start..start + HEADER) {
            let Some((session, kind, length)) = self.header(rest) else {
                start += 1;
                continue;
            };
            let end = start + HEADER + length;
            let Some(content) = self.buffer.get(start + HEADER..end) else { break };
            let frame = Frame { session, kind, content: content.to_vec() };
            self.buffer.drain(..end);
            return Some(frame);
        }
        self.buffer.drain(..start);
        None
    }

    fn header(&self, bytes: &[u8]) -> Option<(u64, Kind, usize)> {
        let session = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
        let length = u32::from_le_bytes(bytes.get(13..17)?.try_into().ok()?) as usize;
        let wanted = self.only.is_none_or(|only| only == session);
        let sound = bytes.starts_with(&MARK) && wanted && length <= MAX_CONTENT;
        sound.then_some((session, Kind::from_byte(*bytes.get(12)?)?, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(session: u64, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(session, Kind::Stdout, content, &mut bytes);
        bytes
    }

    fn all(decoder: &mut Decoder) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| decoder.next()).map(|frame| (frame.session, frame.content)).collect()
    }

    #[test]
    fn frames_come_out_whatever_pieces_they_come_in() {
        let content: Vec<u8> = (0..=255).collect();
        let stream = [frame(7, &content), frame(7, b""), frame(7, b"VMHP")].concat();
        for piece in [1, 2, 3, 17, 1000] {
            let mut decoder = Decoder::for_session(7);
            let mut found = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.push(bytes);
                found.extend(all(&mut decoder));
            }
            assert_eq!(found, [(7, content.clone()), (7, vec![]), (7, b"VMHP".to_vec())], "{piece}");
        }
    }

    #[test]
    fn a_client_passes_over_what_an_earlier_session_left_cut_off() {
        let left = frame(1, &[b'x'; 500]);
        for cut in 0..left.len() {
            // The end of a frame that was on its way, and the start of one that the agent gave up.
            for rest in [&left[cut..], &left[..cut]] {
                let mut decoder = Decoder::for_session(2);
                decoder.push(rest);
                decoder.push(&frame(2, b"mine"));
                assert_eq!(all(&mut decoder), [(2, b"mine".to_vec())], "{cut}");
            }
        }
    }

    #[test]
    fn the_preamble_lets_the_agent_find_the_next_run_after_a_client_died_in_a_frame() {
        let left = frame(1, &[b'x'; MAX_CONTENT]);
        for cut in [1, 4, 12, 16, 17, 18, 400, left.len() - 1, left.len()] {
            let mut decoder = Decoder::default();
            decoder.push(&left[..cut]);
            decoder.push(&PREAMBLE);
            decoder.push(&frame(2, b"next"));
            let last = all(&mut decoder).pop();
            assert_eq!(last, Some((2, b"next".to_vec())), "{cut}");
        }
    }
}
