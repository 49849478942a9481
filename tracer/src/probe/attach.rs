//! Loading and attaching one program, whatever its kind.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FEntry, KProbe, ProgramError, RawTracePoint},
};

use crate::plan::catalog::{Attach, Program};

/// Loads a program of the catalog and attaches it. The attachment belongs to `ebpf`.
///
/// # Errors
/// The kernel's words, on one line.
pub(super) fn attach(ebpf: &mut Ebpf, program: &Program, btf: Option<&Btf>) -> Result<(), String> {
    try_attach(ebpf, program, btf).map_err(|error| {
        log::debug!("{}: {error}", program.name);
        in_short(&error)
    })
}

fn try_attach(ebpf: &mut Ebpf, program: &Program, btf: Option<&Btf>) -> Result<(), ProgramError> {
    // The object is this crate's own, and its programs are those of the catalog.
    let loaded = ebpf.program_mut(program.name).ok_or(ProgramError::NotLoaded)?;
    let typed = || btf.ok_or(ProgramError::NotLoaded);
    match program.attach {
        Attach::TpBtf(tracepoint) => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(tracepoint, typed()?)?;
            loaded.attach()?;
        }
        Attach::RawTracepoint(tracepoint) => {
            let loaded: &mut RawTracePoint = loaded.try_into()?;
            loaded.load()?;
            loaded.attach(tracepoint)?;
        }
        Attach::Fentry(function) => {
            let loaded: &mut FEntry = loaded.try_into()?;
            loaded.load(function, typed()?)?;
            loaded.attach()?;
        }
        Attach::Kprobe(function) => kprobe(ebpf, program.name, function)?,
    }
    Ok(())
}

/// Attaches the kprobe program `name` to a function.
pub(super) fn kprobe(ebpf: &mut Ebpf, name: &str, function: &str) -> Result<(), ProgramError> {
    let loaded: &mut KProbe = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
    loaded.load()?;
    loaded.attach(function, 0)?;
    Ok(())
}

/// The verifier's last word instead of all that it says; of other errors the kernel's own.
pub(super) fn in_short(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return chain(error) };
    let log = verifier_log.to_string();
    match last_word(&log) {
        Some(line) => format!("{io_error}: {line}"),
        None => io_error.to_string(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = cause.source();
    }
    words
}

/// The log ends with statistics; the line before them says what was wrong.
fn last_word(log: &str) -> Option<&str> {
    let statistics = ["processed ", "stack depth ", "verification time "];
    let says = |line: &&str| !line.is_empty() && !statistics.iter().any(|words| line.starts_with(words));
    log.lines().map(str::trim).rfind(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_last_word_is_told() {
        let log = "0: R1=ctx()\n1: (79) r2 = *(u64 *)(r1 +8)\ninvalid bpf_context access off=8 size=8\n\
                   verification time 9 usec\nstack depth 8+0+0\nprocessed 2 insns (limit 1000000)\n\n";
        assert_eq!(last_word(log), Some("invalid bpf_context access off=8 size=8"));
        assert_eq!(last_word(""), None);
    }
}
