//! Loads the programs, tells them what to trace, attaches them, and detaches them when dropped: every
//! attachment is a BPF link that belongs to this process, so the kernel undoes it on any exit.
//!
//! With `source` the only module that names aya.

mod attach;
mod bill;
mod buffers;
mod change;
mod cost;
mod floor;
mod histograms;
mod statistics;
mod targets;
mod trial;
mod xdp;

use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{Btf, Ebpf, EbpfLoader, Pod, maps::Array, programs::links::FdLink};
pub use bill::ExitMeter;
pub(crate) use buffers::Slots;
pub use buffers::{BufferMode, Buffers, Outlet};
pub use change::{Change, MapChange};
pub use cost::CostMeter;
#[doc(hidden)]
pub use floor::Floor;
pub use histograms::HistogramMeter;
pub use targets::Targets;
use tracer_common::{
    account::ExitRecord,
    config::{self, MOST_BUCKETS, Offsets, Settings},
    filter::Clause,
    hop::{Hook, Hop},
    sample::Sampling,
};
pub use trial::{Trial, try_out};

use crate::plan::{
    Plan, UserHop, XdpMode,
    catalog::Program,
    spans::{HistogramSpan, histogram_spans, span_numbers},
};

/// What the programs are told before they run.
pub struct Setup {
    /// Structure offsets of this kernel.
    pub offsets: Offsets,
    /// Key, system call numbers and the like.
    pub settings: Settings,
    /// The filter.
    pub clauses: Vec<Clause>,
    /// What the programs say of themselves: 0 nothing, else an aya-log level (1 errors … 5 everything).
    pub log_level: u8,
    /// Where the programs leave their records.
    pub buffers: Buffers,
    /// Where in `pt_regs` a function's arguments are, bytes; empty where no hop of the user's needs them.
    pub arguments: Vec<u32>,
    /// Devices, threads, descriptors.
    pub targets: Targets,
    /// vCPUs that there are to be accounts for, where more may come than there are; each takes some 12 KiB.
    pub vcpu_room: u32,
    /// Where the records of KVM's exits have the reason; all 0 where they are not read.
    pub exit_record: ExitRecord,
}

impl Setup {
    /// How many buckets the tables of devices and of threads have: where more may come, as many as there can be.
    fn buckets(&self) -> (u32, u32) {
        if self.vcpu_room > 0 { (MOST_BUCKETS, MOST_BUCKETS) } else { self.targets.buckets() }
    }
}

/// What the programs say of themselves.
pub struct Diagnostics(aya_log::EbpfLogger<&'static dyn log::Log>);

impl Diagnostics {
    /// Hands what they have said to this program's log.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

/// Attached programs. Dropping it detaches them.
pub struct Probe {
    ebpf: Ebpf,
    buffers: Buffers,
    /// In histogram mode: what they count, by number from 1 on.
    spans: Vec<HistogramSpan>,
    xdp_links: Vec<FdLink>,
    exits_told: bool,
    /// What could not be done, one sentence each.
    pub notes: Vec<String>,
}

impl Probe {
    /// Loads and attaches what `plan` says. What the kernel refuses moves the plan down its chains; then all is
    /// loaded anew, since the programs are told beforehand which of them serves what.
    ///
    /// # Errors
    /// The object does not load, a hop of the user's cannot be attached, or not a single program can.
    pub fn attach(setup: &Setup, plan: &mut Plan) -> Result<Probe> {
        let mut notes = Vec::new();
        // Read while the loader reads it as well.
        let reading = thread::spawn(own_btf);
        let mut probe = Probe::load(setup, plan)?;
        let btf = reading.join().unwrap_or_default();
        loop {
            probe.attach_user_hops(&plan.user_hops)?;
            let refused = probe.attach_all(plan, btf.as_ref());
            if refused.is_empty() {
                probe.notes = notes;
                probe.attach_xdp(plan, &setup.targets);
                probe.attach_bill(setup);
                return Ok(probe);
            }
            for (program, why) in refused {
                log::warn!("{}: {why}", program.name);
                notes.push(format!("{} could not be attached: {why}", program.hook.name()));
                plan.fail(program, &why);
            }
            plan.grants_all()?;
            if plan.programs().is_empty() {
                bail!("not one BPF program could be attached: {}", notes.join("; "));
            }
            // What was attached goes before the next is.
            drop(probe);
            probe = Probe::load(setup, plan)?;
        }
    }

    fn load(setup: &Setup, plan: &Plan) -> Result<Probe> {
        let (device_buckets, thread_buckets) = setup.buckets();
        let settings = Settings {
            sys_enter_writes: u32::from(plan.serves(Hop::TapWrite, Hook::SysEnter)),
            irq_accept: u32::from(plan.uses(Hook::KvmApicAcceptIrq)),
            followed_threads: u32::from(!plan.hooks(Hop::TapWrite).is_empty()),
            device_buckets,
            thread_buckets,
            ..setup.settings
        };
        let spans = if setup.buffers.are_histograms() { histogram_spans(plan) } else { Vec::new() };
        let numbers = span_numbers(&spans);
        let mut loader = EbpfLoader::new();
        loader
            .override_global("OFFSETS", &setup.offsets, true)
            .override_global("SETTINGS", &settings, true)
            // Where nothing is recorded, nothing is said of records.
            .override_global(aya_log::LEVEL, &setup.log_level, !setup.buffers.are_histograms())
            .override_global("EXIT_RECORD", &setup.exit_record, true)
            .map_max_entries("DEVICES", device_buckets)
            .map_max_entries("THREADS", thread_buckets)
            .map_max_entries("ACCOUNTS", setup.vcpu_room.max(setup.targets.vcpus().len() as u32).max(1));
        if setup.buffers.are_histograms() {
            loader.override_global("SPANS", numbers.as_slice(), true);
            loader.map_max_entries("TIMES", spans.len() as u32 + 1);
        }
        let mut ebpf = setup
            .buffers
            .load(&mut loader)
            .context("failed to create the BPF maps: is this user root, and is BPF allowed here?")?;
        write_array(&mut ebpf, "FILTER", &setup.clauses)?;
        write_array(&mut ebpf, "USER", &user_hops(setup, plan)?)?;
        setup.targets.write(&mut ebpf)?;
        Ok(Probe {
            ebpf,
            buffers: setup.buffers,
            spans,
            xdp_links: Vec::new(),
            exits_told: true,
            notes: Vec::new(),
        })
    }

    /// Attaches the programs of the plan; returns those that the kernel refuses, and why.
    fn attach_all(&mut self, plan: &Plan, btf: Option<&Btf>) -> Vec<(&'static Program, String)> {
        let programs = plan.programs();
        let mut refused = attach::load_all(&mut self.ebpf, &programs, btf);
        for program in programs {
            if refused.iter().any(|(other, _)| other.name == program.name) {
                continue;
            }
            if let Err(why) = attach::attach(&mut self.ebpf, program, btf) {
                refused.push((program, why));
            }
        }
        refused
    }

    fn attach_user_hops(&mut self, hops: &[UserHop]) -> Result<()> {
        for (number, hop) in hops.iter().enumerate() {
            attach::kprobe(&mut self.ebpf, &format!("user_hop_{number}"), &hop.function).map_err(
                |error| {
                    let why = attach::in_short(&error);
                    anyhow!("hop {}: function {} cannot be probed: {why}", hop.name, hop.function)
                },
            )?;
        }
        Ok(())
    }

    fn attach_xdp(&mut self, plan: &mut Plan, targets: &Targets) {
        if !matches!(plan.xdp, XdpMode::Native | XdpMode::Generic) {
            return;
        }
        let outcome = xdp::attach(&mut self.ebpf, plan.xdp, targets);
        self.notes.extend(outcome.refused);
        if outcome.links.is_empty() {
            plan.without_xdp();
        }
        self.xdp_links = outcome.links;
    }

    /// Without it nothing tells that a vCPU left its guest, so no accounts are opened.
    fn attach_bill(&mut self, setup: &Setup) {
        if setup.exit_record == ExitRecord::default() || setup.targets.vcpus().is_empty() {
            return;
        }
        if let Err(error) = bill::attach(&mut self.ebpf) {
            self.notes.push(format!("exits of vCPUs are not counted: {error:#}"));
            self.exits_told = false;
        }
    }

    /// Opens the accounts of vCPUs on KVM; none where there are no such vCPUs, or nothing that could keep them.
    pub fn exit_meter(&mut self, targets: &Targets) -> Result<Option<ExitMeter>> {
        let threads = targets.vcpus();
        let kept = self.exits_told && !threads.is_empty();
        kept.then(|| ExitMeter::open(&mut self.ebpf, &threads)).transpose()
    }

    /// What the programs write to; can be taken once.
    pub fn outlet(&mut self) -> Result<Outlet> {
        self.buffers.outlet(&mut self.ebpf)
    }

    /// What the programs count in histogram mode, from now on; none in another. Can be taken once.
    ///
    /// # Errors
    /// The histograms cannot be read.
    pub fn histograms(&mut self) -> Result<Option<HistogramMeter>> {
        let meter = |ebpf| HistogramMeter::open(ebpf, self.spans.clone());
        self.buffers.are_histograms().then(|| meter(&mut self.ebpf)).transpose()
    }

    /// Has one of `one_in` frames recorded from now on, where the programs were told to choose.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn choose_one_in(&mut self, one_in: u32) -> Result<()> {
        write_array(&mut self.ebpf, "SAMPLE_LIMIT", &[Sampling::one_in(one_in, 0).limit])
    }

    /// Changes what the attached programs watch; what could not be done is returned, a sentence each.
    pub fn apply(&mut self, change: &Change) -> Vec<String> {
        change::apply(&mut self.ebpf, change)
    }

    /// Has the addresses of these flows sent again, with the next frame of each: for a recording that begins now.
    ///
    /// # Errors
    /// The map of flows cannot be written.
    pub fn forget_flows(&mut self, flows: impl Iterator<Item = u64>) -> Result<()> {
        let map = self.ebpf.map_mut("FLOWS").ok_or_else(|| anyhow!("the BPF object has no map FLOWS"))?;
        let mut sent: Array<_, u64> = Array::try_from(map)?;
        for flow in flows {
            sent.set(config::flow_place(flow), 0, 0).context("failed to write the BPF map FLOWS")?;
        }
        Ok(())
    }

    /// The programs' own diagnostics; nothing where the object has none.
    pub fn diagnostics(&mut self) -> Option<Diagnostics> {
        aya_log::EbpfLogger::init(&mut self.ebpf).ok().map(Diagnostics)
    }

    /// Meters of what the attached programs cost and lose.
    pub fn cost_meter(&mut self) -> Result<CostMeter> {
        CostMeter::new(&mut self.ebpf)
    }
}

/// What the programs of the user's hops have to know.
fn user_hops(setup: &Setup, plan: &Plan) -> Result<Vec<config::UserHop>> {
    let defined = |hop: &UserHop| {
        let register = setup.arguments.get(hop.argument as usize);
        let register =
            *register.with_context(|| format!("hop {}: no argument {}", hop.name, hop.argument))?;
        Ok(config::UserHop { register_after: register + 1, indirect: hop.indirect.into() })
    };
    plan.user_hops.iter().map(defined).collect()
}

/// The kernel's own BTF, by which it knows the types of programs; none where it has none.
fn own_btf() -> Option<Btf> {
    Btf::from_sys_fs().inspect_err(|error| log::info!("no BTF of the kernel's own: {error}")).ok()
}

fn write_array<T: Pod>(ebpf: &mut Ebpf, name: &str, values: &[T]) -> Result<()> {
    let map = ebpf.map_mut(name).ok_or_else(|| anyhow!("the BPF object has no map {name}"))?;
    let mut array: Array<_, T> = Array::try_from(map)?;
    for (index, value) in (0..).zip(values) {
        array.set(index, value, 0).with_context(|| format!("failed to write the BPF map {name}"))?;
    }
    Ok(())
}
