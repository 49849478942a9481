//! A Rust toolchain for the BPF target: one that has Rust's own source, since `core` must be compiled for it.
//! `tracer/build.rs` looks for it by the same names.

use std::{env, path::Path};

use anyhow::bail;

use crate::shell::{command, output};

use super::{
    Outcome,
    packages::remedy,
    system::{Distribution, System, find},
};

/// The rustup name under which a distribution's rustc is linked that comes with its source.
const LINKED: &str = "vmhop-bpf";
const NIGHTLY: &str = "nightly";

/// Debian's complete toolchain with source; its other rustc packages are too old.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];

/// A toolchain that can build for BPF.
pub struct Toolchain {
    name: String,
    version: String,
    /// Major version of its LLVM, which bpf-linker's must not be older than.
    pub llvm: Option<u32>,
}

impl Toolchain {
    fn look(name: &str) -> Option<Self> {
        let rustc = |argument: &str| {
            let words = ["rustup", "run", name, "rustc", argument];
            // Or rustup would start to download a toolchain that is not there.
            output(command(&words).env("RUSTUP_AUTO_INSTALL", "0"))
        };
        let sysroot = rustc("--print=sysroot")?;
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
        source.is_file().then_some(())?;
        let version = rustc("-vV")?;
        let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "));
        let llvm = llvm.and_then(|llvm| llvm.split('.').next()?.parse().ok());
        let version = version.lines().next().unwrap_or_default().to_owned();
        Some(Self { name: name.to_owned(), version, llvm })
    }

    /// The one that `tracer/build.rs` will take.
    pub fn find() -> Option<Self> {
        match env::var("VMHOP_BPF_TOOLCHAIN") {
            Ok(name) => Self::look(&name),
            Err(_) => [LINKED, NIGHTLY].into_iter().find_map(Self::look),
        }
    }

    fn text(&self) -> String {
        format!("{}, {}, with source", self.name, self.version)
    }

    /// Whether there is, or can be had, a linker whose LLVM is that of this toolchain.
    fn has_linker(&self, system: &System) -> bool {
        let package = self.llvm.map(|llvm| format!("llvm-{llvm}-dev"));
        find("bpf-linker").is_some()
            || system.distribution != Distribution::Debian
            || package.is_some_and(|package| system.apt_has(&package))
    }
}

pub fn ensure(system: &System) -> anyhow::Result<Outcome> {
    if let Some(toolchain) = Toolchain::find() {
        return Ok(Outcome::Found(toolchain.text()));
    }
    if find("rustup").is_none() {
        let remedy = "install rustup, see https://rustup.rs, and run this again".to_owned();
        return Ok(Outcome::Missing("rustup, which chooses between toolchains".to_owned(), vec![remedy]));
    }
    if system.check_only {
        return Ok(Outcome::Missing("none has Rust's source".to_owned(), remedies(system)));
    }
    if let Ok(toolchain) = add_source(system)
        && toolchain.has_linker(system)
    {
        return Ok(Outcome::Installed(toolchain.text()));
    }
    if !system.may_install() {
        return Ok(Outcome::Missing("rustup cannot fetch Rust's source".to_owned(), remedies(system)));
    }
    link_debians(system).map(|toolchain| Outcome::Installed(toolchain.text()))
}

/// What to type to get one.
fn remedies(system: &System) -> Vec<String> {
    let mut lines = vec![format!("rustup toolchain install {NIGHTLY} --component rust-src")];
    if system.distribution == Distribution::Debian {
        let packages = remedy(system.distribution, &DEBIAN_PACKAGES);
        lines.push(format!("or: {packages} && rustup toolchain link {LINKED} /usr"));
    }
    lines
}

/// The usual way: a nightly toolchain and its component `rust-src`, by rustup.
fn add_source(system: &System) -> anyhow::Result<Toolchain> {
    let list = output(&mut command(&["rustup", "toolchain", "list"])).unwrap_or_default();
    let words: &[&str] = if list.lines().any(|line| line.starts_with(NIGHTLY)) {
        &["rustup", "component", "add", "rust-src", "--toolchain", NIGHTLY]
    } else {
        &["rustup", "toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "rust-src"]
    };
    system.log.run(&mut command(words))?;
    let Some(toolchain) = Toolchain::look(NIGHTLY) else { bail!("{NIGHTLY} has no source after all") };
    Ok(toolchain)
}

/// Where rustup can fetch nothing: Debian's rustc, linked by a name, so that rustup's stays first in PATH.
fn link_debians(system: &System) -> anyhow::Result<Toolchain> {
    let lacking = |package: &&str| !system.apt_has(package);
    if let Some(package) = DEBIAN_PACKAGES.iter().find(|package| lacking(package)) {
        bail!("rustup cannot fetch Rust's source, and there is no package {package} either");
    }
    system.apt_install(&DEBIAN_PACKAGES)?;
    system.log.run(&mut command(&["rustup", "toolchain", "link", LINKED, "/usr"]))?;
    let Some(toolchain) = Toolchain::look(LINKED) else {
        bail!("the rustc of packages {} has no source", DEBIAN_PACKAGES.join(", "));
    };
    Ok(toolchain)
}
