//! The commands that only look: each from its options to its output and exit code.

use std::{io::Write, process::ExitCode};

use crate::{
    cli::{DoctorArgs, TopologyArgs},
    doctor, export,
    failure::Failure,
    topology::Topology,
};

/// `vmhop doctor`. Exit code 2 where this host cannot record.
///
/// # Errors
/// The output cannot be written.
pub fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let diagnosis = doctor::diagnose();
    if args.json {
        export::write_json(&diagnosis, out)?;
    } else {
        export::doctor::write_diagnosis(&diagnosis, out)?;
    }
    Ok(if diagnosis.can_record { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// `vmhop topology`.
///
/// # Errors
/// VMs cannot be looked for, or the output cannot be written.
pub fn topology(args: &TopologyArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let topology = Topology::discover().map_err(Failure::Usage)?;
    if args.json {
        export::write_json(&topology, out)?;
    } else {
        export::topology::write_tree(&topology, out)?;
    }
    Ok(ExitCode::SUCCESS)
}
