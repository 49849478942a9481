//! Loads the programs, tells them what to trace, attaches them, and detaches them when dropped: every
//! attachment is a BPF link that belongs to this process, so the kernel undoes it on any exit.
//!
//! With `source` the only module that names aya.

mod bill;
mod cost;
mod targets;
mod trial;
mod xdp;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, MapData, RingBuf},
    programs::{BtfTracePoint, RawTracePoint, links::FdLink},
};
pub use bill::ExitMeter;
pub use cost::CostMeter;
pub use targets::Targets;
use tracer_common::{
    account::ExitRecord,
    config::{Offsets, Settings},
    event::ABI_VERSION,
    filter::Clause,
};
pub use trial::{Trial, try_load};

use crate::plan::{
    Plan, XdpMode,
    catalog::{Attach, Program},
};

/// The BPF object, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmhop-bpf"));

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
    /// Bytes of the ring buffer, a power of two.
    pub ring_bytes: u32,
    /// Devices, threads, descriptors.
    pub targets: Targets,
    /// Where the records of KVM's exits have the reason; all 0 where they are not read.
    pub exit_record: ExitRecord,
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
    xdp_links: Vec<FdLink>,
    exits_told: bool,
    /// What could not be done, one sentence each.
    pub notes: Vec<String>,
}

impl Probe {
    /// Loads and attaches what `plan` says; what the kernel refuses is taken out of the plan.
    ///
    /// # Errors
    /// The object does not load, or not a single program can be attached.
    pub fn attach(setup: &Setup, plan: &mut Plan) -> Result<Probe> {
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", &setup.offsets, true)
            .override_global("SETTINGS", &setup.settings, true)
            // Its name carries the version: an object that writes other records lacks it and does not load.
            .override_global(aya_log::LEVEL, &setup.log_level, true)
            .override_global("VMHOP_ABI_2", &ABI_VERSION, true)
            .override_global("EXIT_RECORD", &setup.exit_record, true)
            .map_max_entries("EVENTS", setup.ring_bytes)
            .map_max_entries("ACCOUNTS", setup.targets.vcpus().len().max(1) as u32)
            .load(OBJECT)
            .context("failed to create the BPF maps: is this user root, and is BPF allowed here?")?;
        write_filter(&mut ebpf, &setup.clauses)?;
        setup.targets.write(&mut ebpf)?;
        let mut probe = Probe { ebpf, xdp_links: Vec::new(), exits_told: true, notes: Vec::new() };
        probe.attach_all(plan)?;
        probe.attach_xdp(plan, &setup.targets);
        probe.attach_bill(setup);
        Ok(probe)
    }

    fn attach_all(&mut self, plan: &mut Plan) -> Result<()> {
        let btf = Btf::from_sys_fs().context("failed to read the kernel's BTF")?;
        for program in plan.programs.clone() {
            if let Err(error) = self.attach_one(program, &btf) {
                log::warn!("{}: {error:#}", program.name);
                self.notes.push(format!("{} could not be attached: {error:#}", program.hook.name()));
                plan.fail(program, &format!("{error:#}"));
            }
        }
        if plan.programs.is_empty() {
            bail!("not one BPF program could be attached: {}", self.notes.join("; "));
        }
        Ok(())
    }

    fn attach_one(&mut self, program: &Program, btf: &Btf) -> Result<()> {
        let loaded = self
            .ebpf
            .program_mut(program.name)
            .with_context(|| format!("the BPF object has no program {}", program.name))?;
        match program.attach {
            Attach::TpBtf(tracepoint) => {
                let loaded: &mut BtfTracePoint = loaded.try_into()?;
                loaded.load(tracepoint, btf).with_context(|| format!("failed to load {}", program.name))?;
                loaded.attach().with_context(|| format!("failed to attach {}", program.name))?;
            }
            Attach::RawTracepoint(tracepoint) => {
                let loaded: &mut RawTracePoint = loaded.try_into()?;
                loaded.load().with_context(|| format!("failed to load {}", program.name))?;
                loaded.attach(tracepoint).with_context(|| format!("failed to attach {}", program.name))?;
            }
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

    /// The ring buffer that the programs write to; can be taken once.
    pub fn ring(&mut self) -> Result<RingBuf<MapData>> {
        let map = self.ebpf.take_map("EVENTS").ok_or_else(|| anyhow!("the ring buffer was taken before"))?;
        RingBuf::try_from(map).context("failed to map the ring buffer")
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

fn write_filter(ebpf: &mut Ebpf, clauses: &[Clause]) -> Result<()> {
    let map = ebpf.map_mut("FILTER").ok_or_else(|| anyhow!("the BPF object has no filter map"))?;
    let mut filter: Array<_, Clause> = Array::try_from(map)?;
    for (index, clause) in (0..).zip(clauses) {
        filter.set(index, clause, 0).context("failed to write the filter")?;
    }
    Ok(())
}
