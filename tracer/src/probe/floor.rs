//! The floor of what observing costs: programs that only read the clock. For `cargo xtask bench overhead`, nothing else.

use anyhow::{Context as _, Result, anyhow};
use aya::{Btf, Ebpf, programs::BtfTracePoint};

/// The BPF object, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmhop-floor"));

/// Attached programs that read the clock and end. Dropping it detaches them.
pub struct Floor(#[expect(dead_code, reason = "holds the attachments")] Ebpf);

impl Floor {
    /// Attaches one to each of these tracepoints.
    ///
    /// # Errors
    /// There is no program for one of them, or the kernel refuses it.
    pub fn attach(tracepoints: &[String]) -> Result<Floor> {
        let btf = Btf::from_sys_fs().context("failed to read the kernel's BTF")?;
        let mut ebpf = Ebpf::load(OBJECT).context("failed to load the floor: is this user root?")?;
        for name in tracepoints {
            let program = ebpf.program_mut(name).ok_or_else(|| anyhow!("the floor has no program {name}"))?;
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, &btf).with_context(|| format!("failed to load {name}"))?;
            program.attach().with_context(|| format!("failed to attach {name}"))?;
        }
        Ok(Floor(ebpf))
    }
}
