//! Opening a tap, as a VMM does: the one unsafe file of the self-test.

use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result};
use nix::net::if_::InterfaceFlags;

nix::ioctl_write_ptr_bad!(
    /// Attaches a descriptor of the tun driver to a device, which is made if there is none of the name.
    tun_set_iff,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);

/// A new tap in the calling thread's namespace. It goes away with the descriptor.
pub(super) fn open(name: &str) -> Result<File> {
    const PATH: &str = "/dev/net/tun";
    let file = OpenOptions::new().read(true).write(true).open(PATH);
    let file = file.with_context(|| format!("failed to open {PATH}: run modprobe tun"))?;
    // SAFETY: all-zero bytes are a valid ifreq: integers, bytes and unions of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, which ends the name.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let flags = InterfaceFlags::IFF_TAP | InterfaceFlags::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = flags.bits() as libc::c_short;
    // SAFETY: the descriptor is open, and the request outlives the call, which reads one ifreq (tun.c tun_set_iff).
    unsafe { tun_set_iff(file.as_raw_fd(), &request) }
        .with_context(|| format!("failed to make tap {name}"))?;
    Ok(file)
}
