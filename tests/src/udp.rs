//! Datagrams sent as super-frames, which the kernel cuts up where a device cannot (UDP_SEGMENT, since Linux 4.18).
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    thread::sleep,
    time::Duration,
};

use crate::host::inside;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Payload of one datagram, bytes.
    pub segment: u16,
    /// Datagrams in a super-frame.
    pub segments: usize,
    /// Super-frames.
    pub bursts: usize,
}

impl Burst {
    /// Payload of all of it.
    pub fn bytes(self) -> u64 {
        u64::from(self.segment) * (self.segments * self.bursts) as u64
    }
}

/// Sends it from a network namespace, each datagram with content of its own.
pub fn send(netns: &str, to: SocketAddr, burst: Burst) {
    inside(&std::path::Path::new("/run/netns").join(netns), || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        segmented(&socket, burst.segment);
        for number in 0..burst.bursts {
            // The port may be closed: what an ICMP error says is the next call's result.
            let _ = socket.send_to(&payload(burst, number), to);
            sleep(Duration::from_millis(10));
        }
    });
}

/// Lets the socket's sends be datagrams of this size.
fn segmented(socket: &UdpSocket, segment: u16) {
    let size = libc::c_int::from(segment);
    // SAFETY: the descriptor is open, and the option's value outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "UDP_SEGMENT: {}", io::Error::last_os_error());
}

fn payload(burst: Burst, number: usize) -> Vec<u8> {
    let datagram = |index: usize| {
        let mut bytes = vec![0; usize::from(burst.segment)];
        bytes[..8].copy_from_slice(&(number * burst.segments + index).to_be_bytes());
        bytes
    };
    (0..burst.segments).flat_map(datagram).collect()
}
