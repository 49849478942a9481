//! bpf-linker, which makes one BPF object out of what rustc compiles; by cargo, against the LLVM that fits
//! the toolchain's.

use std::path::PathBuf;

use anyhow::bail;

use crate::shell::{command, output};

use super::{
    Outcome,
    system::{Distribution, System},
    toolchain::Toolchain,
};

const VERSION: &str = "0.13.0";

pub fn ensure(system: &System) -> anyhow::Result<Outcome> {
    if let Some(version) = installed() {
        return Ok(Outcome::Found(version));
    }
    let llvm = Toolchain::find().and_then(|toolchain| toolchain.llvm);
    let package = llvm.map(|llvm| format!("llvm-{llvm}-dev")).filter(|package| system.apt_has(package));
    if system.check_only {
        let packaged = package.as_ref().map_or(String::new(), |package| format!(", with package {package}"));
        let remedy =
            format!("cargo install bpf-linker --version {VERSION}{packaged}, or `cargo xtask setup`");
        return Ok(Outcome::Missing("not installed".to_owned(), vec![remedy]));
    }
    let version = format!("--version={VERSION}");
    let mut install = command(&["cargo", "install", "bpf-linker", &version, "--locked"]);
    // Not the workspace's build folder: other builds may hold its lock.
    install.current_dir("/");
    match (llvm, &package) {
        (Some(llvm), Some(package)) => {
            let polly = format!("libpolly-{llvm}-dev");
            let packages = [package.as_str(), &polly, "libzstd-dev", "zlib1g-dev", "g++"];
            let missing: Vec<&str> = packages.into_iter().filter(|package| !is_installed(package)).collect();
            if !missing.is_empty() {
                system.apt_install(&missing)?;
            }
            let feature = format!("--features=llvm-{llvm}");
            install.arg("--no-default-features").arg(feature);
            install.env("LLVM_PREFIX", PathBuf::from(format!("/usr/lib/llvm-{llvm}")));
        }
        (Some(llvm), None) if system.distribution == Distribution::Debian => {
            bail!(
                "the archive has no package llvm-{llvm}-dev, which a bpf-linker for this toolchain is built with"
            );
        }
        _ => {}
    }
    system.log.run(&mut install)?;
    match installed() {
        Some(version) => Ok(Outcome::Installed(version)),
        None => bail!("cargo has installed bpf-linker into a folder that is not in PATH: add it"),
    }
}

fn installed() -> Option<String> {
    output(&mut command(&["bpf-linker", "--version"])).map(|version| version.trim().to_owned())
}

fn is_installed(package: &str) -> bool {
    let status = output(&mut command(&["dpkg-query", "-W", "-f=${Status}", package]));
    status.is_some_and(|status| status.ends_with(" installed"))
}
