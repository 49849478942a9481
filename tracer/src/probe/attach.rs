//! Loading and attaching programs, whatever their kind.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FEntry, KProbe, Program as Loaded, ProgramError, RawTracePoint},
};

use crate::plan::catalog::{Attach, Program};

/// Programs that are verified at once, where there are so many CPUs: the host has other work.
const MOST_WORKERS: usize = 4;

/// Loads programs of the catalog, several at once: the verifier takes tens of milliseconds for each. Returns those that the
/// kernel refuses, and its words, on one line.
pub(super) fn load_all(
    ebpf: &mut Ebpf,
    programs: &[&'static Program],
    btf: Option<&Btf>,
) -> Vec<(&'static Program, String)> {
    let of = |name: &str| programs.iter().find(|program| program.name == name);
    let jobs: Vec<_> = ebpf.programs_mut().filter_map(|(name, loaded)| Some((*of(name)?, loaded))).collect();
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS);
    let (jobs, refused) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some((program, loaded)) = next() {
            if let Err(error) = load(loaded, program, btf) {
                let why = told(program, &error);
                refused.lock().unwrap_or_else(PoisonError::into_inner).push((program, why));
            }
        }
    };
    thread::scope(|scope| {
        (1..workers).for_each(|_| {
            scope.spawn(work);
        });
        work();
    });
    refused.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Attaches a program of the catalog, which is loaded where it is not yet. The attachment belongs to `ebpf`.
///
/// # Errors
/// The kernel's words, on one line.
pub(super) fn attach(ebpf: &mut Ebpf, program: &Program, btf: Option<&Btf>) -> Result<(), String> {
    // The object is this crate's own, and its programs are those of the catalog.
    let loaded = ebpf.program_mut(program.name).ok_or(ProgramError::NotLoaded);
    let outcome = loaded.and_then(|loaded| {
        if loaded.fd().is_err() {
            load(loaded, program, btf)?;
        }
        hook(loaded, program)
    });
    outcome.map_err(|error| told(program, &error))
}

fn told(program: &Program, error: &ProgramError) -> String {
    log::debug!("{}: {error}", program.name);
    in_short(error)
}

fn load(loaded: &mut Loaded, program: &Program, btf: Option<&Btf>) -> Result<(), ProgramError> {
    let typed = || btf.ok_or(ProgramError::NotLoaded);
    match program.attach {
        Attach::TpBtf(tracepoint) => BtfTracePoint::of(loaded)?.load(tracepoint, typed()?),
        Attach::RawTracepoint(_) => RawTracePoint::of(loaded)?.load(),
        Attach::Fentry(function) => FEntry::of(loaded)?.load(function, typed()?),
        Attach::Kprobe(_) => KProbe::of(loaded)?.load(),
    }
}

fn hook(loaded: &mut Loaded, program: &Program) -> Result<(), ProgramError> {
    match program.attach {
        Attach::TpBtf(_) => BtfTracePoint::of(loaded)?.attach().map(drop),
        Attach::RawTracepoint(tracepoint) => RawTracePoint::of(loaded)?.attach(tracepoint).map(drop),
        Attach::Fentry(_) => FEntry::of(loaded)?.attach().map(drop),
        Attach::Kprobe(function) => KProbe::of(loaded)?.attach(function, 0).map(drop),
    }
}

/// A program by its kind.
trait Kind: Sized {
    fn of(loaded: &mut Loaded) -> Result<&mut Self, ProgramError>;
}

impl<P> Kind for P
where
    for<'a> &'a mut P: TryFrom<&'a mut Loaded, Error = ProgramError>,
{
    fn of(loaded: &mut Loaded) -> Result<&mut P, ProgramError> {
        loaded.try_into()
    }
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
