//! The folder of results: what an experiment is (written first), and what came of each run (written when it is over, in one
//! piece or not at all). What is in it is enough to make every table again, and to go on after an interruption.
//!
//! ```text
//! DIR/spec.toml              the experiment as it was read
//! DIR/experiment.json        seed, order of the runs, when it began
//! DIR/environment/NETWORK.json   the machine, VMM, NIC
//! DIR/runs/ID.vmhop          the recording
//! DIR/runs/ID.log            what the workload wrote
//! DIR/runs/ID.json           what came of the run
//! DIR/runs/ID.pcap           an independent capture, with --capture
//! ```

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statvfs::statvfs,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    environment::Environment,
    schedule::{Block, Run},
    spec::Spec,
    station::{Role, Station},
};

/// Name and version of the schema of the folder's JSON files.
const SCHEMA: &str = "vmhop.experiment-folder/1";

/// Less room than this is none: a run's files would not fit.
const LEAST_ROOM: u64 = 4 << 20;

/// What is known when an experiment begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) schema: String,
    pub(super) vmhop: String,
    /// Wall clock, RFC 3339.
    pub(super) started: String,
    /// What the order was drawn from.
    pub(super) seed: u64,
    /// The lab's name, where there is one.
    pub(super) lab: String,
    /// Whether each run is captured as well.
    pub(super) capture: bool,
    /// All runs in their order.
    pub(super) blocks: Vec<Block>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) run: Run,
    /// Wall clock at its start, RFC 3339.
    pub(super) started: String,
    /// How long it took, with attaching and detaching, ns.
    pub(super) wall_ns: u64,
    /// Why it failed; none where it did not.
    pub(super) failed: Option<String>,
    /// The client's command.
    pub(super) command: Vec<String>,
    /// The path's ends, first its beginning.
    pub(super) ends: [EndOfPath; 2],
}

/// A station at the end of a run's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EndOfPath {
    pub(super) role: Role,
    pub(super) addresses: Vec<IpAddr>,
    /// Of a guest: its VM.
    pub(super) vm: Option<String>,
}

impl From<&Station> for EndOfPath {
    fn from(station: &Station) -> EndOfPath {
        let Station { role, addresses, vm, .. } = station.clone();
        EndOfPath { role, addresses, vm }
    }
}

/// A folder of results.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) folder: PathBuf,
    pub(super) spec: Spec,
    pub(super) begun: Begun,
    /// Held while the experiment runs, so that no second one writes here.
    _lock: Option<Flock<File>>,
}

impl Store {
    /// A new folder.
    pub(super) fn create(folder: &Path, spec: Spec, text: &str, begun: Begun) -> Result<Store> {
        let shown = folder.display();
        let is_empty = fs::read_dir(folder).map(|mut entries| entries.next().is_none());
        match is_empty {
            Ok(true) => {}
            Ok(false) if folder.join("experiment.json").exists() => bail!(
                "{shown} holds an experiment already: name another folder with -o, or go on with --resume {shown}"
            ),
            Ok(false) => bail!("{shown} is not empty: name another folder with -o"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("failed to look into {shown}")),
        }
        for part in ["runs", "environment"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("failed to make {}", part.display()))?;
        }
        write_whole(&folder.join("spec.toml"), text.as_bytes())?;
        let store = Store { folder: folder.to_owned(), spec, begun, _lock: Some(lock(folder)?) };
        store.write("experiment.json", &store.begun)?;
        Ok(store)
    }

    /// A folder that is there, to read it.
    pub(super) fn open(folder: &Path) -> Result<Store> {
        let shown = folder.display();
        let file = folder.join("experiment.json");
        ensure!(
            file.exists(),
            "{shown} holds no experiment, there is no experiment.json in it: name a folder that \
             `vmhop experiment run` has made"
        );
        let begun: Begun = read(&file)?;
        ensure!(
            begun.schema == SCHEMA,
            "{} is of {}, and this vmhop reads {SCHEMA}: use the vmhop that wrote it",
            file.display(),
            begun.schema
        );
        let spec_file = folder.join("spec.toml");
        let text = fs::read_to_string(&spec_file)
            .with_context(|| format!("failed to read {}", spec_file.display()))?;
        let spec = Spec::parse(&text, &spec_file.display().to_string())?;
        Ok(Store { folder: folder.to_owned(), spec, begun, _lock: None })
    }

    /// The same, to go on with it.
    pub(super) fn resume(folder: &Path) -> Result<Store> {
        let store = Store::open(folder)?;
        Ok(Store { _lock: Some(lock(folder)?), ..store })
    }

    /// A file of a run.
    pub(super) fn file(&self, run: &Run, end: &str) -> PathBuf {
        self.folder.join("runs").join(format!("{}.{end}", run.id()))
    }

    /// What came of a run; none where it was never over.
    pub(super) fn record(&self, run: &Run) -> Result<Option<Record>> {
        let file = self.file(run, "json");
        if file.exists() { read(&file).map(Some) } else { Ok(None) }
    }

    /// Whether a run need not be done again.
    pub(super) fn is_done(&self, run: &Run) -> bool {
        // What cannot be read is done again, and so is what has no recording any more.
        self.file(run, "vmhop").is_file()
            && self.record(run).is_ok_and(|record| record.is_some_and(|record| record.failed.is_none()))
    }

    /// Keeps what came of a run.
    pub(super) fn keep(&self, record: &Record) -> Result<()> {
        self.write(&format!("runs/{}.json", record.run.id()), record)
    }

    /// Keeps what the machine was.
    pub(super) fn keep_environment(&self, block: &Block, seen: &Environment) -> Result<()> {
        self.write(&format!("environment/{}.json", environment_name(block)), seen)
    }

    /// What the machine was.
    pub(super) fn environment(&self, block: &Block) -> Environment {
        let file = self.folder.join(format!("environment/{}.json", environment_name(block)));
        read(&file).unwrap_or_default()
    }

    fn write(&self, name: &str, content: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(content)?;
        text.push(b'\n');
        write_whole(&self.folder.join(name), &text)
    }

    /// Whether there is room for another run.
    pub(super) fn has_room(&self) -> bool {
        // Where that cannot be told, writing will.
        let room = |it: nix::sys::statvfs::Statvfs| it.blocks_available() * it.fragment_size();
        statvfs(&self.folder).map_or(true, |it| room(it) >= LEAST_ROOM)
    }
}

impl Begun {
    /// An experiment that begins now.
    pub(super) fn now(seed: u64, lab: &str, capture: bool, blocks: Vec<Block>) -> Begun {
        Begun {
            schema: SCHEMA.to_owned(),
            vmhop: env!("CARGO_PKG_VERSION").to_owned(),
            started: now(),
            seed,
            lab: lab.to_owned(),
            capture,
            blocks,
        }
    }
}

/// Wall clock, RFC 3339.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

fn environment_name(block: &Block) -> &'static str {
    block.network.map_or("here", |network| network.name())
}

fn lock(folder: &Path) -> Result<Flock<File>> {
    let file = folder.join("experiment.json.lock");
    let opened = File::create(&file).with_context(|| format!("failed to open {}", file.display()))?;
    Flock::lock(opened, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| anyhow!(error))
        .with_context(|| format!("{} is in use: another vmhop runs this experiment", folder.display()))
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
}

/// In one piece or not at all, also when the power goes.
fn write_whole(file: &Path, content: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    let write = || {
        let mut target = File::create(&new)?;
        target.write_all(content)?;
        target.sync_all()?;
        fs::rename(&new, file)
    };
    write().with_context(|| format!("failed to write {}", file.display()))
}
