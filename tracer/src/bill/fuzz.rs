//! What the bill reads of the kernel, for the fuzz targets of the crate `tests`.

use super::{
    format,
    threads::{self, CpuTimes},
};

/// The format of `kvm:kvm_exit`, `/proc/PID/schedstat`, `/proc/PID/stat`, `/proc/stat`.
pub fn text(text: &str) {
    let _ = format::parse(text);
    let _ = CpuTimes::from_schedstat(text);
    let _ = CpuTimes::from_stat(text, 10_000_000);
    let _ = threads::from_host_stat(text, 10_000_000);
}
