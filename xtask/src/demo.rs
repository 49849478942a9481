//! `cargo xtask demo`: from a fresh clone to the per-hop reports of a real VM's traffic.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::{
    interrupt,
    setup::{self, privileged},
    shell::{self, command, say, seconds, target, workspace},
};

/// Where the demo leaves its files
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the recordings and reports
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    out: PathBuf,
}

/// One recording: its name, what it shows, and the command of the lab that makes the traffic.
struct Scene {
    name: &'static str,
    title: &'static str,
    traffic: &'static [&'static str],
}

const SCENES: [Scene; 2] = [
    Scene {
        name: "ping",
        title: "120 echo exchanges, asked for by the peer and answered by the guest",
        traffic: &["ping", "-q", "-c", "120", "-i", "0.05", "192.0.2.2"],
    },
    Scene {
        name: "http",
        title: "a file of 40 MB, fetched from the guest by the peer over HTTP",
        traffic: &["busybox", "wget", "-q", "-O", "/dev/null", "http://192.0.2.2/40MB"],
    },
];

/// Shows vmhop at work.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if !setup::prepare(false)? {
        return Ok(ExitCode::from(2));
    }
    say(&format!("demo: set-up took {}", seconds(started.elapsed())));
    let building = Instant::now();
    shell::run(command(&["cargo", "build", "--package", "tracer"]).current_dir(workspace()))?;
    say(&format!("demo: building took {}", seconds(building.elapsed())));
    fs::create_dir_all(&args.out).with_context(|| format!("failed to make {}", args.out.display()))?;
    // The command that is running gets the signal as well and ends; the lab is to be taken down first.
    interrupt::catch();
    let lab = Lab::up()?;
    for scene in &SCENES {
        lab.show(scene, &args.out)?;
    }
    drop(lab);
    let out = args.out.display();
    say(&format!("demo: recordings are in {out}/ping.vmhop and {out}/http.vmhop"));
    say(&format!("demo: reports as JSON are in {out}/report.json (ping) and {out}/http.json"));
    say(&format!("demo: all of it took {}", seconds(started.elapsed())));
    Ok(ExitCode::SUCCESS)
}

/// The demo's lab; dropping it takes it down.
struct Lab {
    name: String,
    vmhop: PathBuf,
}

impl Lab {
    fn up() -> anyhow::Result<Self> {
        let lab = Self { name: format!("demo-{}", std::process::id()), vmhop: target().join("debug/vmhop") };
        lab.run(&["lab", "up", "--name", &lab.name])?;
        Ok(lab)
    }

    /// Records the scene's traffic, which ends with the report as text, and writes the report as JSON.
    fn show(&self, scene: &Scene, out: &Path) -> anyhow::Result<()> {
        say(&format!("\n=== {} ===", scene.title));
        let file = |end: &str| out.join(format!("{}.{end}", scene.name)).display().to_string();
        let (recording, json) = (file("vmhop"), file("json"));
        let vm = format!("vmhop-{}", self.name);
        let vmhop = self.vmhop.display().to_string();
        let record = ["record", "--vm", &vm, "-o", &recording, "--"];
        let exec = [&vmhop, "lab", "exec", "--name", &self.name, "peer", "--"];
        self.run(&[&record, &exec[..], scene.traffic].concat())?;
        self.run(&["report", &recording, "--format", "json", "-o", &json])?;
        if scene.name == "ping" {
            let copy = out.join("report.json");
            fs::copy(&json, &copy).with_context(|| format!("failed to write {}", copy.display()))?;
        }
        Ok(())
    }

    fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let vmhop = self.vmhop.display().to_string();
        privileged(&[&[vmhop.as_str()], words].concat())
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let done = shell::run(&mut self.command(words)?);
        if interrupt::noted().is_some() {
            bail!("interrupted");
        }
        done
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = self.command(&["lab", "down", "--name", &self.name]);
        if let Err(error) = down.and_then(|mut down| shell::run(&mut down)) {
            say(&format!("demo: failed to take the lab down: {error:#}"));
        }
    }
}
