//! Python packages by which the tests read vmhop's files as others do. They go into a folder of their own in the cache,
//! beside the name of the interpreter that they fit; nothing is installed into that interpreter.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use crate::shell::{cache, command, output};

use super::{
    Outcome,
    packages::remedy,
    system::{Distribution, System},
};

/// Arrow and Parquet, OpenMetrics, Perfetto's own definitions.
const PACKAGES: [&str; 3] = ["pyarrow>=14", "prometheus_client>=0.14", "perfetto>=0.5"];
/// What shows that they are whole.
const TRIAL: &str = "import pyarrow.parquet, prometheus_client.openmetrics.parser, sys; \
    import perfetto.protos.perfetto.trace.perfetto_trace_pb2; \
    print('pyarrow', pyarrow.__version__, 'for', sys.executable)";
/// The file that names the interpreter; the tests read it.
const INTERPRETER: &str = "interpreter";

pub fn ensure(system: &System) -> anyhow::Result<Outcome> {
    let folder = cache()?.join("python");
    if let Some(found) = works(&folder) {
        return Ok(Outcome::Found(found));
    }
    if system.check_only {
        return Ok(missing("not installed", "cargo xtask setup".to_owned()));
    }
    let Some(python) = python_with_pip(system)? else {
        let package = match system.distribution {
            Distribution::Arch => "python-pip",
            _ => "python3-pip",
        };
        return Ok(missing("there is no Python with pip", remedy(system.distribution, &[package])));
    };
    install(system, &python, &folder)?;
    match works(&folder) {
        Some(version) => Ok(Outcome::Installed(format!("{version}, in {}", folder.display()))),
        None => bail!(
            "pip has installed {} into {}, where {python} does not find them",
            names(),
            folder.display()
        ),
    }
}

fn names() -> String {
    let name = |package: &&str| package.split_once('>').map_or(*package, |(name, _)| name).to_owned();
    PACKAGES.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn missing(what: &str, line: String) -> Outcome {
    Outcome::Missing(format!("{} ({what})", names()), vec![line])
}

/// What the packages in the folder say of themselves.
fn works(folder: &Path) -> Option<String> {
    let python = fs::read_to_string(folder.join(INTERPRETER)).ok()?;
    let said = output(command(&[python.trim(), "-c", TRIAL]).env("PYTHONPATH", folder))?;
    Some(said.trim().to_owned())
}

/// The path of an interpreter that has pip, which is installed where it may be.
fn python_with_pip(system: &System) -> anyhow::Result<Option<String>> {
    let able = |python: &str| {
        output(&mut command(&[python, "-m", "pip", "--version"]))?;
        let path = output(&mut command(&[python, "-c", "import sys; print(sys.executable)"]))?;
        Some(path.trim().to_owned()).filter(|path| !path.is_empty())
    };
    if let Some(python) = able("python3") {
        return Ok(Some(python));
    }
    if !system.may_install() {
        return Ok(None);
    }
    system.apt_install(&["python3", "python3-pip"])?;
    // The one that was found before may be another, without pip.
    Ok(able("python3").or_else(|| able("/usr/bin/python3")))
}

/// Installs into a folder beside, which takes the place of the old one when it is whole.
fn install(system: &System, python: &str, folder: &Path) -> anyhow::Result<()> {
    let new = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).with_context(|| format!("failed to make {}", new.display()))?;
    let mut pip = command(&[python, "-m", "pip", "install", "--disable-pip-version-check"]);
    // Nothing is compiled: where there is no wheel for this Python, pip says so.
    pip.args(["--quiet", "--only-binary", ":all:", "--target"]).arg(&new).args(PACKAGES);
    system.log.run(&mut pip)?;
    fs::write(new.join(INTERPRETER), format!("{python}\n"))
        .with_context(|| format!("failed to write {}", new.join(INTERPRETER).display()))?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&new, folder).with_context(|| format!("failed to make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_without_their_versions() {
        assert_eq!(names(), "pyarrow, prometheus_client, perfetto");
    }

    #[test]
    fn a_folder_without_an_interpreter_has_no_packages() {
        assert_eq!(works(Path::new("/no/such/folder")), None);
    }
}
