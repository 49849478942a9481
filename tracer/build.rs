//! Builds the BPF object (package `tracer-ebpf`) and leaves it in `OUT_DIR`, from where it is embedded.

use std::{env, process::Command};

use anyhow::{Context as _, bail};
use aya_build::{Package, Toolchain};

/// The rustup name under which `cargo xtask setup` links a distribution's rustc that comes with its source.
const LINKED_TOOLCHAIN: &str = "vmhop-bpf";

const REMEDY: &str = "run `cargo xtask setup`, which installs what building the BPF programs needs";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=../tracer-common/src");
    println!("cargo:rerun-if-env-changed=VMHOP_BPF_TOOLCHAIN");
    let chosen = env::var("VMHOP_BPF_TOOLCHAIN").ok();
    let candidates = match &chosen {
        Some(name) => vec![name.as_str()],
        None => vec![LINKED_TOOLCHAIN, "nightly"],
    };
    let Some(toolchain) = candidates.iter().find(|name| has_source(name)) else {
        bail!("no toolchain with Rust's source among {candidates:?}: {REMEDY}");
    };
    if Command::new("bpf-linker").arg("--version").output().is_err() {
        bail!("bpf-linker is not installed: {REMEDY}");
    }
    // SAFETY: a build script is one process with one thread here. Set only now and only for the nested
    // cargo, since set for the whole build it changes which features other crates detect.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let package = Package { name: "tracer-ebpf", root_dir: "../tracer-ebpf", ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(toolchain))
        .with_context(|| format!("failed to build the BPF programs with toolchain {toolchain}: {REMEDY}"))
}

/// Whether `toolchain` has the source of `core`, which the BPF target must compile itself.
fn has_source(toolchain: &str) -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", toolchain, "rustc", "--print", "sysroot"]);
    // Or rustup would start to download a toolchain that is not there.
    let Ok(output) = rustc.env("RUSTUP_AUTO_INSTALL", "0").output() else { return false };
    let sysroot = String::from_utf8_lossy(&output.stdout);
    let source = format!("{}/lib/rustlib/src/rust/library/core/Cargo.toml", sysroot.trim());
    output.status.success() && std::path::Path::new(&source).exists()
}
