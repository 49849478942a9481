//! File systems that are mounted nowhere: only who has the descriptor can reach them, and they go away with it.
//! A sysfs that is mounted so shows the devices of another network namespace than /sys.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::PathBuf,
    ptr,
};

use nix::errno::Errno;

/// `FSCONFIG_CMD_CREATE` and `FSMOUNT_CLOEXEC` (uapi/linux/mount.h, since 5.2).
const CREATE: libc::c_long = 6;
const CLOEXEC: libc::c_long = 1;

/// A mounted file system.
pub(crate) struct Mount(OwnedFd);

impl Mount {
    /// A new file system of this kind; a sysfs belongs to the calling thread's network namespace.
    pub(crate) fn new(kind: &CStr) -> io::Result<Self> {
        let none = ptr::null::<libc::c_char>();
        // SAFETY: takes a string that outlives the call and returns a new descriptor or an error.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })?;
        // SAFETY: this command of fsconfig takes neither key nor value.
        let created =
            unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, none, none, 0) };
        Errno::result(created)?;
        // SAFETY: takes integers only and returns a new descriptor or an error.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) }).map(Self)
    }

    /// The path of a file in it, for this process.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{file}", self.0.as_raw_fd()))
    }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(Errno::result(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned this descriptor to us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespaces_devices_are_in_its_sysfs() {
        // Mounting needs root; the tests of topology and lab cover the rest.
        let Ok(sysfs) = Mount::new(c"sysfs") else { return };
        let index = std::fs::read_to_string(sysfs.path("class/net/lo/ifindex")).unwrap();
        assert_eq!(index.trim(), "1");
    }
}
