//! `vmhop watch`: from the words to what will be done.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{TraceConfig, TypedTrace, duration, select, size};
use crate::{
    cli::{TraceArgs, WatchArgs},
    plan::{Wishes, XdpMode},
    preflight,
    recording::Mode,
    topology::{ThreadRole, Topology, Vm},
};

/// Where figures are served unless told otherwise.
const LISTEN: &str = "127.0.0.1:9429";

/// vCPUs that may come later without their programs being loaded anew; the accounts take 12 KiB each.
const VCPU_ROOM: u32 = 256;

/// A watch.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// What is traced; its VMs are those that were there when it was read.
    pub trace: TraceConfig,
    /// When to stop by itself.
    pub duration: Option<Duration>,
    /// Which VMs.
    pub selectors: Vec<String>,
    /// Which NICs.
    pub nics: Vec<String>,
    /// Where to serve.
    pub listen: Option<SocketAddr>,
    /// How often to print.
    pub print: Option<Duration>,
    /// Where recordings are kept; none for nowhere.
    pub folder: Option<PathBuf>,
    /// How long a recording is.
    pub every: Duration,
    /// How large it may be, bytes.
    pub size: u64,
    /// How many are kept.
    pub keep: usize,
}

impl WatchConfig {
    /// Validates what was typed, and whether this host can be watched.
    ///
    /// # Errors
    /// A word that means nothing, a folder that does not exist, a host that cannot record; each with its remedy.
    pub fn from_args(args: &WatchArgs, verbose: u8) -> Result<WatchConfig> {
        let listen = match (&args.listen, &args.print) {
            (Some(typed), _) => Some(typed.as_str()),
            (None, Some(_)) => None,
            (None, None) => Some(LISTEN),
        };
        let listen = listen.map(address).transpose()?;
        let print = args.print.as_deref().map(|typed| duration("--print", typed)).transpose()?;
        let every = duration("--every", &args.every)?;
        let size = size::file_bytes(&args.size)?;
        ensure!(args.keep > 0, "--keep 0 would keep nothing: leave -o out, or give 1 or more");
        if let Some(folder) = &args.output {
            let shown = folder.display();
            ensure!(folder.is_dir(), "cannot record to {shown}: it is no folder; make it first");
        }
        let duration = args.duration.as_deref().map(|typed| duration("--duration", typed)).transpose()?;
        let mode = args.trace.mode.unwrap_or(Mode::Histogram);
        refuse(&args.trace)?;
        let typed = TypedTrace::parse(&args.trace, mode)?;
        let trace = trace(typed, &args.trace, mode, verbose)?;
        Ok(WatchConfig {
            trace,
            duration,
            selectors: args.trace.vms.clone(),
            nics: args.trace.nics.clone(),
            listen,
            print,
            folder: args.output.clone(),
            every,
            size,
            keep: args.keep,
        })
    }

    /// Of the VMs of a host those to watch, with the NICs that were named behind their taps.
    pub fn present(&self, topology: &Topology) -> Vec<Vm> {
        present(topology, &self.selectors, &self.nics)
    }
}

fn present(topology: &Topology, selectors: &[String], nics: &[String]) -> Vec<Vm> {
    let mut vms = select::present(topology, selectors);
    if !vms.is_empty()
        && let Err(error) = select::use_nics(&mut vms, nics)
    {
        log::warn!("{error:#}");
    }
    // A VMM starts and ends threads that carry no frames all the time.
    for vm in &mut vms {
        vm.threads.retain(|thread| thread.role != ThreadRole::Other);
    }
    vms
}

/// What would have to be done to each device that comes, or needs a reader that changes the choice of frames.
fn refuse(args: &TraceArgs) -> Result<()> {
    ensure!(
        !matches!(args.xdp, XdpMode::Native | XdpMode::Generic),
        "a watch puts no XDP programs on devices, which come and go: leave --xdp out"
    );
    ensure!(
        args.sample.as_deref() != Some("auto"),
        "a watch does not change its choice of frames: give --sample 1/64 or the like"
    );
    Ok(())
}

fn trace(typed: TypedTrace, args: &TraceArgs, mode: Mode, verbose: u8) -> Result<TraceConfig> {
    preflight::require(args.btf.is_some())?;
    let topology = Topology::discover()?;
    let vms = present(&topology, &args.vms, &args.nics);
    let TypedTrace { filter, ring_bytes, sample, hooks, user_hops, only } = typed;
    Ok(TraceConfig {
        vms,
        topology,
        filter,
        wishes: Wishes { xdp: XdpMode::Off, hooks, user_hops, only, mode },
        btf: args.btf.clone(),
        ring_bytes,
        buffer_mode: args.buffers,
        mode,
        cases: BTreeSet::new(),
        vcpu_room: VCPU_ROOM,
        sample,
        verbose,
    })
}

/// Reads `--listen`.
fn address(typed: &str) -> Result<SocketAddr> {
    typed.parse().with_context(|| {
        format!("--listen `{typed}` is no address with a port, such as 127.0.0.1:9429 or [::1]:9429")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(address("127.0.0.1:9429").unwrap(), "127.0.0.1:9429".parse().unwrap());
        for wrong in ["127.0.0.1", "9429", ":9429", "localhost:9429", ""] {
            let error = format!("{:#}", address(wrong).unwrap_err());
            assert!(error.starts_with(&format!("--listen `{wrong}`")) && error.contains("[::1]"), "{error}");
        }
    }
}
