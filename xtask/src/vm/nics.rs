//! Emulated PCI NICs, in pairs joined by a cable, so that each faces a peer in the same VM.

use clap::ValueEnum;

use crate::shell::note;

use super::emulator::Emulator;

/// A kind of NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Nic {
    /// Intel 82574L
    E1000e,
    /// Paravirtual
    #[value(name = "virtio-net")]
    VirtioNet,
    /// Intel 82576; needs QEMU 8.0 or later
    Igb,
}

impl Nic {
    /// QEMU's name of the device.
    pub fn device(self) -> &'static str {
        match self {
            Self::E1000e => "e1000e",
            Self::VirtioNet => "virtio-net-pci",
            Self::Igb => "igb",
        }
    }

    /// The module that drives it.
    pub fn module(self) -> &'static str {
        match self {
            Self::E1000e => "e1000e",
            Self::VirtioNet => "virtio_net",
            Self::Igb => "igb",
        }
    }

    /// The name of one of the pair in the VM.
    pub fn interface(self, end: u8) -> String {
        let kind = match self {
            Self::E1000e => "e1000e",
            Self::VirtioNet => "virtio",
            Self::Igb => "igb",
        };
        format!("{kind}{end}")
    }

    /// Its address: the kind and the end are the last two bytes.
    pub fn mac(self, end: u8) -> String {
        let kind: u8 = match self {
            Self::E1000e => 1,
            Self::VirtioNet => 2,
            Self::Igb => 3,
        };
        format!("52:54:00:76:{kind:02x}:{end:02x}")
    }
}

/// Those of the wanted NICs that this QEMU has; says which it has not. The others are older than any QEMU in use.
pub fn available(mut wanted: Vec<Nic>, emulator: &Emulator) -> Vec<Nic> {
    if wanted.contains(&Nic::Igb) && !emulator.has(Nic::Igb.device()) {
        note("xtask: this QEMU has no igb, which 8.0 and later have: there is no such pair");
        wanted.retain(|nic| *nic != Nic::Igb);
    }
    wanted
}
