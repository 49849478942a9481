//! How a watch stands: what is known at once, without an analysis. All of it grows, but what is said to be so now.

use std::collections::BTreeMap;

use crate::recording::Counters;

/// Counts since the watch began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchState {
    /// Time since then, ns.
    pub elapsed_ns: u64,
    /// Frames that entered from, or went to, a guest, by the VM.
    pub frames: BTreeMap<String, u64>,
    /// Records.
    pub events: u64,
    /// What the programs cost and lost, and the CPU time of vmhop's process.
    pub counters: Counters,
    /// Memory of vmhop's process now, bytes.
    pub resident_bytes: u64,
    /// Looks at the host for VMs that come and go.
    pub scans: u64,
    /// Time that these took, ns.
    pub scan_ns: u64,
    /// VMs now.
    pub vms: u64,
    /// VMs that came, those at the start included.
    pub vms_seen: u64,
    /// Devices that are traced now.
    pub devices: u64,
    /// Devices that there is room for beside them, now.
    pub free_slots: u64,
    /// How often programs were attached: once, and again for each VM of a kind that was not there before.
    pub attached: u64,
    /// Recordings that were closed.
    pub recordings: u64,
    /// Bytes of these.
    pub recorded_bytes: u64,
    /// Of these, how many are kept now.
    pub kept: u64,
    /// Recordings whose figures are in the report.
    pub analysed: u64,
    /// Recordings whose figures are in none, since taking figures took longer than recording.
    pub skipped: u64,
}

/// VMs whose frames are counted by name.
const MOST_VMS: usize = 1024;

impl WatchState {
    /// Counts a VM's frames. Beyond many names they are those of nobody in particular, so that memory is bounded.
    pub fn add_frames(&mut self, vm: &str, frames: u64) {
        match self.frames.get_mut(vm) {
            Some(count) => *count += frames,
            None => {
                let name = if self.frames.len() < MOST_VMS { vm } else { "" };
                *self.frames.entry(name.to_owned()).or_default() += frames;
            }
        }
    }
}
