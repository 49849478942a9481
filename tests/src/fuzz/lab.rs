//! What a lab reads that others write: a guest's serial port, whose other end the guest owns, and files.

use tracer::lab::fuzz;

use super::texts;
use crate::world::Random;

/// Longest content of a frame of the port.
const LONGEST: usize = 16 * 1024;

pub(super) fn run(bytes: &[u8]) {
    fuzz::files(bytes);
    // One byte says in which pieces the rest comes.
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let own = stream.get(4..12).and_then(|session| session.try_into().ok()).map(u64::from_le_bytes);
    for session in [None, own] {
        let whole = fuzz::port(stream, stream.len(), session);
        assert_eq!(fuzz::port(stream, usize::from(piece), session), whole);
        assert!(
            whole
                .iter()
                .all(|(of, _, content)| content.len() <= LONGEST && session.is_none_or(|own| own == *of))
        );
    }
}

/// A frame of the port: mark, session, kind, length, content.
fn frame(kind: u8, length: u32, content: &[u8]) -> Vec<u8> {
    [&b"VMHP"[..], &7_u64.to_le_bytes(), &[kind], &length.to_le_bytes(), content].concat()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let noise: Vec<u8> = (0..100).map(|_| random.number() as u8).collect();
    let run = frame(2, 14, b"ping\0-c\x001\0here");
    let streams = [
        run.clone(),
        [frame(16, 0, b""), frame(17, 5, b"hello"), frame(19, 1, &[0])].concat(),
        [&noise[..], &run, &run[..9], &run].concat(),
        frame(3, u32::MAX, b"x"),
        frame(3, LONGEST as u32, &noise),
        frame(99, 4, b"VMHP"),
    ];
    let mut seeds: Vec<Vec<u8>> = streams.iter().map(|stream| [&[5][..], stream].concat()).collect();
    seeds.push(program());
    seeds.extend(texts(&[STATE, STAT, MODULES, LIBRARIES]));
    seeds
}

/// The start of a program: an ELF header and two program headers, of which one names the loader.
fn program() -> Vec<u8> {
    let mut image = vec![0; 64 + 2 * 56 + 32];
    image[..6].copy_from_slice(b"\x7fELF\x02\x01");
    image[32] = 64; // e_phoff
    image[54] = 56; // e_phentsize
    image[56] = 2; // e_phnum
    for (number, kind, offset, size) in [(0, 3, 176_u64, 15_u64), (1, 1, 0, 200)] {
        let at = 64 + 56 * number;
        image[at] = kind;
        image[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
        image[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
    }
    image[176..191].copy_from_slice(b"/lib64/ld.so.2\0");
    image
}

const STATE: &str = r#"{"ready":true,"spec":{"network":"bridge","guests":1,"queues":1,"wire":null,"vhost":false,"memory_mib":256,"cpus":1},"qemus":[{"pid":7,"start_time":9}],"helpers":[{"name":"httpd","process":{"pid":8,"start_time":9}}],"accel":"tcg","kernel":"vmlinuz"}"#;
const STAT: &str = "7 (a) b) (c) S 1 7 7 0 -1 4194560 5 0 0 0 120 30 0 0 20 0 1 0 99 0 0";
const MODULES: &str = "kernel/a/virtio.ko.xz:\nkernel/a/virtio_pci.ko.xz: kernel/a/virtio.ko.xz\n\
                       kernel/n/virtio_net.ko.xz: kernel/a/virtio_pci.ko.xz kernel/n/virtio_net.ko.xz\n";
const LIBRARIES: &str =
    "\tlinux-vdso.so.1 (0x01)\n\tlibc.so.6 => /lib/libc.so.6 (0x02)\n\t/lib64/ld.so (0x03)\n";
