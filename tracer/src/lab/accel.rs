//! What executes a guest's instructions, and how that is chosen.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Which accelerator to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM if a guest really starts under it, else emulation
    Auto,
    /// KVM or nothing
    Kvm,
    /// QEMU's emulation
    Tcg,
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// The processor, through /dev/kvm
    Kvm,
    /// QEMU's emulation, which works everywhere and is slower
    Tcg,
}

impl Accel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Five-level page tables are only slower to emulate.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max,la57=off",
        }
    }
}
