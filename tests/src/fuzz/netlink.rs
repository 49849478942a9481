//! rtnetlink's answers: a datagram, whatever is in it, gives no more devices and routes than it has messages. Its seeds
//! are answers of a real kernel, in files.

use tracer::topology::fuzz;

pub(super) fn run(bytes: &[u8]) {
    let most = bytes.len() / 16;
    assert!(fuzz::netlink(bytes) <= most);
}

/// A message that ends a dump, and one that is shorter than it says.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let header =
        |length: u32, kind: u16| [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[2, 0], &[0; 8]].concat();
    vec![[&header(20, 3)[..], &[0; 4]].concat(), header(64, 16), header(0, 16)]
}
