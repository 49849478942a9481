//! Asks the kernel whether it takes the programs, without attaching any: for `vmhop doctor`.

use anyhow::{Context as _, Result};
use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{BtfTracePoint, ProgramError, RawTracePoint},
};
use tracer_common::{
    config::{Offsets, Settings},
    event::ABI_VERSION,
    hop::Hook,
};

use super::OBJECT;
use crate::plan::{
    Plan,
    catalog::{Attach, Program},
};

/// Smallest ring that every page size allows: nothing is written to it.
const RING_BYTES: u32 = 64 << 10;

/// What the kernel said to one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its name.
    pub program: &'static str,
    /// What it would serve as.
    pub hook: Hook,
    /// Why the kernel refuses it, on one line; none where it takes it.
    pub refused: Option<String>,
}

/// Loads the programs of `plan` and lets go of them again.
///
/// # Errors
/// The kernel has not even room or permission for their maps, the ring buffer among them.
pub fn try_load(plan: &Plan, offsets: &Offsets) -> Result<Vec<Trial>> {
    let btf = Btf::from_sys_fs().context("failed to read the kernel's BTF")?;
    let mut ebpf = EbpfLoader::new()
        .override_global("OFFSETS", offsets, true)
        .override_global("SETTINGS", &Settings::default(), true)
        .override_global("VMHOP_ABI_2", &ABI_VERSION, true)
        .map_max_entries("EVENTS", RING_BYTES)
        .load(OBJECT)
        .context("failed to create the BPF maps")?;
    Ok(plan.programs.iter().map(|program| trial(&mut ebpf, program, &btf)).collect())
}

fn trial(ebpf: &mut Ebpf, program: &Program, btf: &Btf) -> Trial {
    let refused = load(ebpf, program, btf).err().map(|error| {
        log::debug!("{}: {error}", program.name);
        in_short(&error)
    });
    Trial { program: program.name, hook: program.hook, refused }
}

fn load(ebpf: &mut Ebpf, program: &Program, btf: &Btf) -> Result<(), ProgramError> {
    // The object is this crate's own, and its programs are those of the catalog.
    let loaded = ebpf.program_mut(program.name).ok_or(ProgramError::NotLoaded)?;
    match program.attach {
        Attach::TpBtf(tracepoint) => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(tracepoint, btf)
        }
        Attach::RawTracepoint(_) => {
            let loaded: &mut RawTracePoint = loaded.try_into()?;
            loaded.load()
        }
    }
}

/// The verifier's last word instead of all that it says.
fn in_short(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return error.to_string() };
    let log = verifier_log.to_string();
    match last_word(&log) {
        Some(line) => format!("{io_error}: {line}"),
        None => io_error.to_string(),
    }
}

/// The log ends with statistics; the line before them says what was wrong.
fn last_word(log: &str) -> Option<&str> {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("processed ");
    log.lines().map(str::trim).rfind(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_last_word_is_told() {
        let log = "0: R1=ctx()\n1: (79) r2 = *(u64 *)(r1 +8)\ninvalid bpf_context access off=8 size=8\n\
                   processed 2 insns (limit 1000000)\n\n";
        assert_eq!(last_word(log), Some("invalid bpf_context access off=8 size=8"));
        assert_eq!(last_word(""), None);
    }
}
