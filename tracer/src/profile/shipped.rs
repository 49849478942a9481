//! The profiles that vmhop brings along.

/// A profile, as a file that can be copied and changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Shipped {
    /// By which `--profile` knows it.
    pub name: &'static str,
    /// The TOML file.
    pub text: &'static str,
}

/// All of them.
pub const SHIPPED: &[Shipped] = &[
    Shipped { name: "macvtap", text: include_str!("../../profiles/macvtap.toml") },
    Shipped { name: "ovs", text: include_str!("../../profiles/ovs.toml") },
    Shipped { name: "vmnet", text: include_str!("../../profiles/vmnet.toml") },
];
