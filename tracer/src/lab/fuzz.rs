//! What the lab reads that others write, for the fuzz targets of the crate `tests`.

use super::{elf, kernel, spec::Cable, state, wire};

/// The frames in what came through a guest's port, in pieces of so many bytes: session, kind, content. With a session,
/// as its client reads them; without, as the agent does.
pub fn port(bytes: &[u8], piece: usize, session: Option<u64>) -> Vec<(u64, u8, Vec<u8>)> {
    let mut decoder = session.map_or_else(wire::Decoder::default, wire::Decoder::for_session);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        decoder.push(piece);
        while let Some(frame) = decoder.next() {
            found.push((frame.session, frame.kind as u8, frame.content));
        }
        assert!(decoder.waiting() <= wire::PREAMBLE.len(), "{} bytes wait", decoder.waiting());
    }
    found
}

/// Files: a lab's state, `/proc/PID/stat`, `modules.dep`, programs, the loader's list.
pub fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = serde_json::from_slice::<state::State>(bytes);
    let _ = state::parse_stat(&text);
    let _ = kernel::load_order(&text, &kernel::WANTED_MODULES);
    let _ = elf::interpreter(bytes);
    let _ = elf::loaded_libraries(&text);
    let part = elf::runnable_part(bytes.to_vec());
    assert!(part.len() <= bytes.len());
}

/// `--wire`.
///
/// # Errors
/// It is no pair of devices.
pub fn cable(typed: &str) -> anyhow::Result<Cable> {
    typed.parse()
}
