//! What device a file descriptor of another process is: the one unsafe file of the topology.
//!
//! The descriptor is duplicated (pidfd_getfd, since 5.6) and asked by ioctl, which is exact where its /proc
//! fdinfo only has a name. The duplicate is closed at once: while it lives it keeps the tap's queue open.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use nix::errno::Errno;

/// TUNGETIFF is declared with an unsigned int and fills a whole `struct ifreq`, hence not `ioctl_read!`.
const TUNGETIFF: nix::sys::ioctl::ioctl_num_type =
    nix::request_code_read!(b'T', 210, size_of::<libc::c_uint>());

nix::ioctl_read_bad!(
    /// The name and the flags of the device behind a tun or macvtap descriptor.
    tun_get_iff,
    TUNGETIFF,
    libc::ifreq
);
nix::ioctl_none!(
    /// A descriptor of the network namespace that the device of a tun descriptor is in now (since 5.7).
    tun_get_dev_netns,
    b'T',
    227
);

/// What a tun or macvtap descriptor stands for.
#[derive(Debug)]
pub(super) struct TunFd {
    /// The device's name.
    pub(super) name: String,
    /// Whether it carries Ethernet frames (IFF_TAP) and not bare IP packets (IFF_TUN).
    pub(super) tap: bool,
    /// The device's namespace; none for a macvtap, whose driver does not tell.
    pub(super) netns: Option<File>,
}

/// Asks descriptor `fd` of process `pid`. A tun descriptor without a device gives EBADFD.
pub(super) fn inspect(pid: i32, fd: i32) -> io::Result<TunFd> {
    let file = duplicate(pid, fd)?;
    // SAFETY: all-zero bytes are a valid ifreq: integers, bytes and unions of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and the kernel writes at most one struct ifreq (drivers/net/tun.c
    // tun_get_iff, drivers/net/tap.c tap_ioctl).
    unsafe { tun_get_iff(file.as_raw_fd(), &mut request) }?;
    // The kernel ends the name with a NUL, but the last byte is ours to make sure of.
    request.ifr_name[libc::IFNAMSIZ - 1] = 0;
    // SAFETY: the array holds a NUL, set above, and outlives the borrow.
    let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) }.to_string_lossy().into_owned();
    // SAFETY: TUNGETIFF fills the flags, and any bits are a valid integer.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(TunFd { name, tap: flags & libc::IFF_TAP != 0, netns: netns_of(&file) })
}

fn netns_of(tun: &OwnedFd) -> Option<File> {
    // SAFETY: the descriptor is open; the ioctl takes no argument (tun.c __tun_chr_ioctl).
    let netns = unsafe { tun_get_dev_netns(tun.as_raw_fd()) }.ok()?;
    // SAFETY: on success the kernel installed a new descriptor that nobody else owns.
    Some(unsafe { File::from_raw_fd(netns) })
}

/// A duplicate of descriptor `fd` of process `pid`.
fn duplicate(pid: i32, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers only and returns a new descriptor or -1.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let pidfd = owned(pidfd)?;
    // SAFETY: as above; the descriptor comes with FD_CLOEXEC.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    owned(copy)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(Errno::result(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned this descriptor to us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
