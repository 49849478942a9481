//! Everything before the first event: what the kernel offers, what to watch, the programs attached.

use std::{
    ffi::OsString,
    fs::File,
    io::Read as _,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use tracer_common::config::Settings;

use crate::{
    bill::{
        format::{self, ExitFormat},
        meter::BillMeter,
    },
    config::TraceConfig,
    host,
    plan::{Plan, btf::KernelBtf, chains::Case},
    probe::{Buffers, HistogramMeter, Probe, Setup, Targets},
    recording::{Header, Host},
    topology::{Device, Vm},
};

/// Linux whose programs have their exception table also where they make calls: mended in v6.4 and its stable predecessors.
const SOUND_CALLS: (u32, u32) = (6, 1);

/// Attached programs and the header of the recording to come.
pub(super) struct Prepared {
    pub(super) probe: Probe,
    pub(super) header: Header,
    pub(super) devices: Vec<Device>,
    pub(super) bill: BillMeter,
    /// In histogram mode: counts from before the command starts.
    pub(super) histograms: Option<HistogramMeter>,
    pub(super) targets: Targets,
}

impl Prepared {
    /// Attaches as `config` says, for a session in which `command` runs.
    pub(super) fn new(config: &TraceConfig, command: &[OsString]) -> Result<Prepared> {
        let btf = KernelBtf::load(config.btf.as_deref())?;
        let vms: Vec<&Vm> = config.vms.iter().collect();
        let mut facts = btf.facts(&config.wishes.functions()).with_vms(&vms);
        facts.cases.extend(config.cases.iter().copied());
        let mut plan = Plan::new(&facts, &config.wishes)?;
        let (text, clauses) = &config.filter;
        let exits = exit_format(&vms);
        let sampled = config.sample.map(|wish| random_seed().map(|seed| wish.sampled(seed))).transpose()?;
        let settings = settings(&btf, &config.vms, clauses.len())?;
        let setup = Setup {
            settings: Settings {
                sampled: sampled.is_some().into(),
                sample_seed: sampled.map_or(0, |sampled| sampled.seed),
                translates: settings.translates | u32::from(config.cases.contains(&Case::Routed)),
                ..settings
            },
            clauses: clauses.clone(),
            log_level: log_level(config.verbose),
            exit_record: exits.as_ref().map(|format| format.record).unwrap_or_default(),
            vcpu_room: config.vcpu_room,
            ..setup(&btf, &config.vms, config.buffers()?)?
        };
        let mut probe = Probe::attach(&setup, &mut plan)?;
        probe.notes.extend(plan.notes.iter().cloned());
        if let Some(sampled) = sampled {
            probe.choose_one_in(sampled.one_in)?;
        }
        let (wall, monotonic) = clocks()?;
        let bill = BillMeter::start(&config.vms, probe.exit_meter(&setup.targets)?);
        if let Err(why) = &exits {
            probe.notes.push(format!("exits of vCPUs are counted without their reasons: {why}"));
        }
        let header = Header {
            host: Host::here(),
            started_unix_ns: wall,
            started_monotonic_ns: monotonic,
            topology: crate::topology::Topology { vms: config.vms.clone() },
            vms: config.vms.iter().map(|vm| vm.name.clone()).collect(),
            devices: setup.targets.slots(),
            plan: plan.hops(),
            filter: text.clone(),
            sampled,
            mode: config.mode,
            command: command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            drop_reasons: btf.drop_reasons(),
            exit_reasons: exits.map(|format| format.names).unwrap_or_default(),
            user_hops: plan.user_hops.iter().map(|hop| hop.name.clone()).collect(),
        };
        let devices = setup.targets.devices.iter().map(|target| target.device.clone()).collect();
        let histograms = probe.histograms()?;
        drop((facts, btf));
        host::give_back_memory();
        Ok(Prepared { probe, header, devices, bill, histograms, targets: setup.targets })
    }
}

/// What the programs say of themselves. -v: what is lost and why; -vv: every frame that makes no sense.
///
/// Saying it takes calls within a program, and v5.10 does not survive a null pointer in a program with calls: there they say
/// nothing.
fn log_level(verbose: u8) -> u8 {
    let sound = host::version(&Host::here().kernel) >= Some(SOUND_CALLS);
    if verbose > 0 && !sound {
        log::warn!("the programs say nothing of themselves on this kernel, which is older than 6.1");
    }
    if verbose > 0 && sound { verbose.saturating_add(2).min(5) } else { 0 }
}

/// What this kernel tells of its exits; nothing where no guest is on KVM.
fn exit_format(vms: &[&Vm]) -> Result<ExitFormat, String> {
    if vms.iter().any(|vm| vm.kvm) { format::read() } else { Ok(ExitFormat::default()) }
}

/// What the programs are told in order to trace all frames of `vms`.
///
/// # Errors
/// A kernel without what they need to know, more devices than an event can name.
pub fn setup(btf: &KernelBtf, vms: &[Vm], buffers: Buffers) -> Result<Setup> {
    Ok(Setup {
        offsets: btf.offsets()?,
        settings: settings(btf, vms, 0)?,
        clauses: Vec::new(),
        log_level: 0,
        buffers,
        arguments: btf.argument_registers()?,
        targets: Targets::of(vms)?,
        exit_record: Default::default(),
        vcpu_room: 0,
    })
}

fn settings(btf: &KernelBtf, vms: &[Vm], clauses: usize) -> Result<Settings> {
    Ok(Settings {
        key: random_key()?,
        filter_clauses: clauses as u32,
        sys_write: libc::SYS_write as u32,
        sys_writev: libc::SYS_writev as u32,
        drop_reasons: u32::from(btf.has_drop_reasons()),
        vhost_work_from_wait: vhost_work_from_wait(btf),
        // Where frames are routed, netfilter may translate them.
        translates: u32::from(vms.iter().flat_map(|vm| &vm.taps).any(|tap| tap.routed)),
        vcpu_id: btf.module_offset("kvm", "kvm_vcpu", "vcpu_id").unwrap_or(0),
        ..Settings::default()
    })
}

/// How far `vhost_poll.work` lies behind `vhost_poll.wait`; without BTF of the module, as in v5.10: `wait` is the last
/// member before it, a `wait_queue_entry` of 40 bytes.
fn vhost_work_from_wait(btf: &KernelBtf) -> u32 {
    let at = |member| btf.module_offset("vhost", "vhost_poll", member);
    match (at("wait"), at("work")) {
        (Some(wait), Some(work)) if work > wait => work - wait,
        _ => 40,
    }
}

fn random_seed() -> Result<u32> {
    Ok(random_key()?[0] as u32)
}

fn random_key() -> Result<[u64; 2]> {
    let mut bytes = [[0; 8]; 2];
    let mut source = File::open("/dev/urandom").context("failed to open /dev/urandom")?;
    for part in &mut bytes {
        source.read_exact(part).context("failed to read /dev/urandom")?;
    }
    Ok(bytes.map(u64::from_ne_bytes))
}

/// Wall clock and monotonic clock, ns, as close to one moment as userspace gets.
pub(super) fn clocks() -> Result<(u64, u64)> {
    let monotonic_ns = host::monotonic_ns()?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((wall.as_nanos() as u64, monotonic_ns))
}
