//! Where all is measured: the scene, the CPUs, the folder for what tools write, and what they need.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use super::{
    Args, bpftrace,
    ftrace::Tracefs,
    process::{End, Process, Ready, Started, look_out},
    scene::Scene,
    stats::Pair,
    tools::{Row, Tool, strings},
};
use crate::{interrupt, shell::target};

/// Frames that are written before each measurement and not counted: programs just attached are cold.
const WARM_UP: u64 = 10_000;

/// Where it is measured, and what is needed for it.
pub struct Bench {
    /// The devices and the writer of frames.
    pub scene: Scene,
    /// With nothing attached.
    pub ns_a_frame: f64,
    tools_cpu: usize,
    scratch: Scratch,
    pairs: u16,
    frames: u64,
    /// Of all batches: ns that they took, and of these with the CPU.
    spent_ns: [u64; 2],
    tracefs: OnceCell<Tracefs>,
    bpftrace: OnceCell<Result<Vec<String>, String>>,
}

impl Bench {
    /// Makes it.
    pub fn new(args: &Args) -> anyhow::Result<Bench> {
        let &[writer_cpu, tools_cpu] = args.cpus.as_slice() else {
            bail!("--cpus names two CPUs, such as 0,1")
        };
        let scratch = Scratch::new(&args.scratch)?;
        let mut scene = Scene::new(&target().join("release/bench-frames"), writer_cpu)?;
        scene.run(WARM_UP)?;
        let ns_a_frame = scene.flood(Duration::from_millis(args.batch))?.ns_a_frame();
        let frames = (args.batch as f64 * 1e6 / ns_a_frame) as u64;
        let (tracefs, bpftrace) = (OnceCell::new(), OnceCell::new());
        Ok(Bench {
            scene,
            ns_a_frame,
            tools_cpu,
            scratch,
            pairs: args.pairs,
            frames,
            spent_ns: [0; 2],
            tracefs,
            bpftrace,
        })
    }

    /// Without, with, with, without; and so on.
    pub fn row(&mut self, tool: &Tool) -> anyhow::Result<Row> {
        let mut row = Row { name: tool.name.to_owned(), hits: tool.hits, ..Row::default() };
        for _ in 0..self.pairs.div_ceil(2) {
            let first = self.batch()?;
            let attached = match tool.attach(self) {
                Ok(Ok(attached)) => attached,
                Ok(Err(why)) => return Ok(Row { absent: Some(why), ..row }),
                Err(error) if interrupt::noted().is_some() => return Err(error),
                Err(error) => return Ok(Row { absent: Some(format!("{error:#}")), ..row }),
            };
            let (second, third) = (self.batch()?, self.batch()?);
            if let Some(recorded) = attached.stop()? {
                *row.seen.get_or_insert_default() += recorded.seen();
                *row.lost.get_or_insert_default() += recorded.lost();
            }
            row.pairs.extend([
                Pair { without: first, with: second },
                Pair { without: self.batch()?, with: third },
            ]);
        }
        Ok(row)
    }

    /// ns a frame.
    fn batch(&mut self) -> anyhow::Result<f64> {
        self.scene.run(WARM_UP)?;
        let written = self.scene.run(self.frames)?;
        self.spent_ns = [self.spent_ns[0] + written.ns, self.spent_ns[1] + written.cpu_ns];
        Ok(written.ns_a_frame())
    }

    /// How much of the time the writer had its CPU while frames were counted.
    pub fn writer_share(&self) -> Option<f64> {
        let [all, with_cpu] = self.spent_ns;
        (all > 0).then(|| with_cpu as f64 / all as f64)
    }

    /// Starts a tool on the CPU of the tools.
    pub fn start(&self, words: &[String], ready: Ready, end: End) -> anyhow::Result<Started> {
        look_out()?;
        Process::start(words, self.tools_cpu, &self.scratch_file("tool"), ready, end)
    }

    /// Starts `vmhop record` of a VM, with these options; its report is in its output.
    pub fn record(&self, vm: &str, options: &[String]) -> anyhow::Result<Started> {
        let file = self.scratch_file("vmhop");
        let record = strings(&[&self.built("vmhop"), "record", "--vm", vm, "-o", &file, "--force", "--json"]);
        // It starts when all is attached, and ends with the input.
        let command = strings(&["--", "sh", "-c", "echo attached; cat > /dev/null"]);
        self.start(&[&record, options, &command].concat(), Ready::Says("attached"), End::Input)
    }

    /// The writer, as vmhop's VM.
    pub fn scene_vm(&self) -> String {
        self.scene.pid().to_string()
    }

    /// The namespace of its tap.
    pub fn scene_netns(&self) -> String {
        self.scene.host.0.clone()
    }

    /// A program of this workspace.
    pub fn built(&self, name: &str) -> String {
        target().join("release").join(name).display().to_string()
    }

    /// A file for a tool to write.
    pub fn scratch_file(&self, name: &str) -> String {
        self.scratch.0.join(name).display().to_string()
    }

    /// Makes sure that so much can be recorded.
    pub fn has_room(&self, bytes: u64) -> anyhow::Result<()> {
        let found = nix::sys::statvfs::statvfs(&self.scratch.0)?;
        let room = found.blocks_available() * found.fragment_size();
        ensure!(
            room > bytes,
            "{} has {} MiB left and the recording may take {} MiB: name another folder by --scratch, or less time",
            self.scratch.0.display(),
            room >> 20,
            bytes >> 20
        );
        Ok(())
    }

    /// Where tracefs is; mounted until the bench ends where it was not.
    pub fn tracefs(&self) -> anyhow::Result<PathBuf> {
        if self.tracefs.get().is_none() {
            let found = Tracefs::find()?;
            let _ = self.tracefs.set(found);
        }
        self.tracefs.get().map(|tracefs| tracefs.path.clone()).context("there is no tracefs")
    }

    /// How bpftrace is started, or why it cannot be.
    pub fn bpftrace(&self) -> Result<Vec<String>, String> {
        self.bpftrace.get_or_init(|| bpftrace::ensure().map_err(|error| format!("{error:#}"))).clone()
    }
}

/// A folder for what tools write; dropping it removes it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(below: &Path) -> anyhow::Result<Scratch> {
        let folder = below.join(format!("vmhop-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
