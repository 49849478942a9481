//! What an experiment is: stations, paths, workloads, and how often. Plain data, validated; how it is written is in `file`.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::lab::Network;

/// An experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// How often each cell is measured.
    pub repetitions: u32,
    /// Rounds before, whose figures are thrown away.
    pub warmup: u32,
    /// Rest before each run.
    pub cooldown: Duration,
    /// Whether each round has an order of its own.
    pub random: bool,
    /// What the order is drawn from; none for one of the moment's.
    pub seed: Option<u64>,
    /// The lab that has the stations; none where they exist already.
    pub lab: Option<LabSpec>,
    /// The stations that exist already, by name.
    pub stations: BTreeMap<String, StationSpec>,
    /// From where to where.
    pub paths: Vec<Path>,
    /// What is sent there.
    pub workloads: Vec<Workload>,
}

/// A lab, made anew for each of its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabSpec {
    /// The networks, one after the other.
    pub networks: Vec<Network>,
    /// How many guests.
    pub guests: u8,
    /// Whether vhost moves the guests' frames.
    pub vhost: bool,
    /// Processors of each guest.
    pub cpus: u32,
    /// Memory of each guest, MiB.
    pub memory_mib: u32,
}

/// A station that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StationSpec {
    /// This machine; else where ssh reaches it.
    pub ssh: Option<String>,
    /// A file of settings for ssh, instead of the user's.
    pub ssh_config: Option<String>,
    /// Its address, as others send to it.
    pub address: std::net::IpAddr,
    /// The VM that it is, as `vmhop record --vm` takes it.
    pub vm: Option<String>,
}

/// From one station to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Who sends: the pings, the file.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Only under these networks of the lab; none for all.
    pub networks: Vec<Network>,
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} → {}", self.from, self.to)
    }
}

/// What is sent over a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: WorkloadKind,
    /// Only over these paths, as (from, to); none for all.
    pub paths: Vec<(String, String)>,
    /// How long a run may take.
    pub timeout: Duration,
}

impl Workload {
    /// Whether it is sent over this path.
    pub fn takes(&self, path: &Path) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|(from, to)| (from, to) == (&path.from, &path.to))
    }
}

/// Kinds of workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Echo requests from the path's first station to its second.
    Ping {
        /// How many.
        count: u32,
        /// Bytes of payload of each.
        size: u16,
        /// From one to the next.
        interval: Duration,
    },
    /// A file that goes from the first station to the second, which fetches it.
    Http {
        /// Its size.
        bytes: u64,
        /// Where it is; none for the lab's own server.
        url: Option<String>,
        /// Port of the server.
        port: u16,
    },
    /// iperf3, from the first station to the second.
    Iperf3 {
        /// Datagrams instead of a stream.
        udp: bool,
        /// For how long.
        duration: Duration,
        /// Bits a second; none for as many as go through, of UDP iperf3's default.
        bitrate: Option<String>,
    },
    /// A command of the user's, for a shell on the first station.
    Command {
        /// With `{from}` and `{to}` for the addresses.
        command: String,
        /// A command on the second station meanwhile.
        server: Option<String>,
    },
}

impl Workload {
    /// How long a run takes, as far as it can be told before.
    pub fn expected(&self) -> Duration {
        match &self.kind {
            WorkloadKind::Ping { count, interval, .. } => {
                *interval * count.saturating_sub(1) + Duration::from_millis(100)
            }
            WorkloadKind::Http { bytes, .. } => Duration::from_secs(1 + bytes / 20_000_000),
            WorkloadKind::Iperf3 { duration, .. } => *duration + Duration::from_secs(1),
            WorkloadKind::Command { .. } => Duration::from_secs(5),
        }
    }
}
