//! From one state of what the programs watch to the next: which entries of the maps are to be written, and which to go.
//! Pure; the maps themselves are [`apply`]'s.

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapError},
};
use tracer_common::config::{Bucket, ThreadRole};

/// What becomes of one map's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapChange<K> {
    /// Entries that are new or have another value.
    pub set: Vec<(K, u32)>,
    /// Keys that are to go.
    pub gone: Vec<K>,
}

impl<K: Copy + Ord> MapChange<K> {
    /// From `old` to `new`. Of several values of one key the last counts, as if they were written one after another.
    pub(super) fn between(old: &[(K, u32)], new: &[(K, u32)]) -> MapChange<K> {
        let (old, new) = (table(old), table(new));
        MapChange {
            set: new
                .iter()
                .filter(|(key, value)| old.get(key) != Some(value))
                .map(|(key, value)| (*key, *value))
                .collect(),
            gone: old.keys().filter(|key| !new.contains_key(key)).copied().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty()
    }
}

fn table<K: Copy + Ord>(entries: &[(K, u32)]) -> std::collections::BTreeMap<K, u32> {
    entries.iter().copied().collect()
}

/// What becomes of all maps that say what is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Devices.
    pub devices: MapChange<u64>,
    /// Threads.
    pub threads: MapChange<u32>,
    /// Processes.
    pub processes: MapChange<u32>,
    /// Tap descriptors.
    pub tap_fds: MapChange<u64>,
    /// Interrupts.
    pub irqs: MapChange<u32>,
}

impl Change {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.threads.is_empty()
            && self.processes.is_empty()
            && self.tap_fds.is_empty()
            && self.irqs.is_empty()
    }

    /// Threads that are not what they were: what the programs know of one that is gone would stay for ever, and of one whose
    /// number another has now it would be the other's.
    pub(super) fn stale_threads(&self) -> Vec<u32> {
        let new = self.threads.set.iter().map(|(tid, _)| *tid);
        self.threads.gone.iter().copied().chain(new).collect()
    }

    /// Threads of vCPUs on KVM that came.
    pub fn new_vcpus(&self) -> Vec<u32> {
        let is_vcpu = |(_, value): &&(u32, u32)| *value as u8 == ThreadRole::Vcpu as u8;
        self.threads.set.iter().filter(is_vcpu).map(|(tid, _)| *tid).collect()
    }
}

/// Writes what is new and takes out what is gone. A map that has no room costs what did not fit and nothing else: what went
/// wrong is returned, a sentence for each map.
pub(super) fn apply(ebpf: &mut Ebpf, change: &Change) -> Vec<String> {
    // Filled by the programs, by thread.
    let stale = MapChange { set: Vec::new(), gone: change.stale_threads() };
    let done = [
        table_of(ebpf, "DEVICES", &change.devices),
        table_of(ebpf, "THREADS", &change.threads),
        write(ebpf, "PROCESSES", &change.processes),
        write(ebpf, "TAP_FDS", &change.tap_fds),
        write(ebpf, "IRQS", &change.irqs),
        write(ebpf, "VCPU_EXITS", &stale),
        write(ebpf, "PENDING_IRQ", &stale),
    ];
    done.into_iter().filter_map(Result::err).collect()
}

/// Changes a table of buckets. A program that looks at a bucket meanwhile finds a key with its value, with none, or not at
/// all: what goes leaves its place free before another takes it.
fn table_of<K: Copy + Into<u64>>(ebpf: &mut Ebpf, name: &str, change: &MapChange<K>) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("failed to write the BPF map {name}: {error}");
    let map = ebpf.map_mut(name).ok_or_else(|| said(&"the BPF object has none of this name"))?;
    let mut table: Array<_, Bucket> = Array::try_from(map).map_err(|error| said(&error))?;
    let gone = change.gone.iter().map(|key| ((*key).into(), 0));
    let set = change.set.iter().map(|(key, value)| ((*key).into(), *value));
    let (buckets, mut refused) = (table.len(), 0);
    for (key, value) in gone.chain(set) {
        let index = Bucket::of(key, buckets);
        let mut bucket = table.get(&index, 0).map_err(|error| said(&error))?;
        if bucket.set(key, value) {
            table.set(index, bucket, 0).map_err(|error| said(&error))?;
        } else {
            refused += 1;
        }
    }
    match refused {
        0 => Ok(()),
        _ => Err(said(&format!("no room for {refused} of its keys: name fewer with --vm or --nic"))),
    }
}

fn write<K: Pod>(ebpf: &mut Ebpf, name: &str, change: &MapChange<K>) -> Result<(), String> {
    if change.set.is_empty() && change.gone.is_empty() {
        return Ok(());
    }
    let said = |error: &dyn std::fmt::Display| format!("failed to write the BPF map {name}: {error}");
    let map = ebpf.map_mut(name).ok_or_else(|| said(&"the BPF object has none of this name"))?;
    if name == "VCPU_EXITS" {
        let mut map: HashMap<_, K, u64> = HashMap::try_from(map).map_err(|error| said(&error))?;
        return change.gone.iter().try_for_each(|key| absent(map.remove(key))).map_err(|error| said(&error));
    }
    let mut map: HashMap<_, K, u32> = HashMap::try_from(map).map_err(|error| said(&error))?;
    // First, so that there is room.
    change.gone.iter().try_for_each(|key| absent(map.remove(key))).map_err(|error| said(&error))?;
    let refused: Vec<MapError> =
        change.set.iter().filter_map(|(key, value)| map.insert(key, value, 0).err()).collect();
    match refused.first() {
        None => Ok(()),
        Some(error) => Err(format!("{} entries of the BPF map {name} were refused: {error}", refused.len())),
    }
}

/// What is not there need not be taken out.
fn absent(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
