//! Asks the kernel whether it takes the programs: each is loaded and attached for a moment, for `vmhop doctor`. No
//! device and no thread is traced meanwhile, so they do nothing.

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader};
use tracer_common::{
    config::{Offsets, Settings},
    hop::Hook,
};

use super::{
    BufferMode, Buffers,
    attach::{self, attach},
    own_btf,
};
use crate::plan::Plan;

/// Smallest room that every page size allows: nothing is written to it.
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

/// Attaches the programs of `plan` and lets go of them again. What is refused moves the plan down its chains, and
/// what comes in its place is tried as well.
///
/// # Errors
/// The kernel has not even room or permission for their maps, the ring buffer among them.
pub fn try_out(plan: &mut Plan, offsets: &Offsets) -> Result<Vec<Trial>> {
    let btf = own_btf();
    let buffers = Buffers::new(BufferMode::Auto, RING_BYTES)?;
    let settings = Settings::default();
    let mut loader = EbpfLoader::new();
    loader
        .override_global("OFFSETS", offsets, true)
        .override_global("SETTINGS", &settings, true)
        .override_global(aya_log::LEVEL, &0u8, true);
    let mut ebpf = buffers.load(&mut loader).context("failed to create the BPF maps")?;
    try_user_hops(plan, &mut ebpf);
    let mut trials: Vec<Trial> = Vec::new();
    loop {
        let tried = |name: &str| trials.iter().any(|trial| trial.program == name);
        let Some(program) = plan.programs().into_iter().find(|program| !tried(program.name)) else {
            return Ok(trials);
        };
        let refused = attach(&mut ebpf, program, btf.as_ref()).err();
        if let Some(why) = &refused {
            plan.fail(program, why);
        }
        trials.push(Trial { program: program.name, hook: program.hook, refused });
    }
}

/// Attaches hops of the user's: what is refused leaves the plan.
fn try_user_hops(plan: &mut Plan, ebpf: &mut Ebpf) {
    for (number, hop) in plan.user_hops.clone().iter().enumerate() {
        if let Err(error) = attach::kprobe(ebpf, &format!("user_hop_{number}"), &hop.function) {
            plan.fail_user_hop(&hop.name, &format!("{}: {}", hop.function, attach::in_short(&error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use aya::programs::{Program, ProgramError};

    use super::*;

    /// Steps that the verifier may take. Those of 5.10 and 6.1 take up to seven times as many, and 1,000,000 at most.
    const STEPS: u32 = 40_000;

    fn load(program: &mut Program) -> Option<Result<(), ProgramError>> {
        match program {
            Program::KProbe(program) => Some(program.load()),
            Program::RawTracePoint(program) => Some(program.load()),
            Program::Xdp(program) => Some(program.load()),
            // These ask BTF for the offsets, which are not set here, but read frames by the same code.
            _ => None,
        }
    }

    /// Also a kernel without kprobes has their verifier.
    #[test]
    fn the_verifier_takes_each_program_in_a_few_steps() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let of = |mode| Buffers::new(mode, RING_BYTES).unwrap();
        for buffers in [of(BufferMode::Auto), of(BufferMode::Ring), Buffers::histograms()] {
            let mut loader = EbpfLoader::new();
            loader.override_global(aya_log::LEVEL, &0u8, false);
            let mut ebpf = buffers.load(&mut loader).unwrap();
            let mut loaded = 0;
            for (name, program) in ebpf.programs_mut() {
                let Some(outcome) = load(program) else { continue };
                outcome.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                // Not told before 5.16.
                let steps = program.info().unwrap().verified_instruction_count().unwrap_or_default();
                assert!(steps < STEPS, "{name}: {steps}");
                loaded += 1;
            }
            assert!(loaded > 20, "{loaded}");
        }
    }
}
