//! The kernel's side of a watch: the attached programs, what they watch now, and what they have cost and lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Result;
use tracer_common::{config::FLOW_PLACES, hop::Hop};

use super::super::{pace::Pace, prepare::Prepared, sink::cpu_ns};
use crate::{
    bill::meter::BillMeter,
    decode::Record,
    host::monotonic_ns,
    plan::{cases_of_all, chains::Case},
    probe::{Change, CostMeter, Diagnostics, HistogramMeter, Probe, Targets},
    recording::{Bill, Counters, Header, Histograms},
    source::Source,
    topology::{ThreadRole, Topology, Vm},
};

/// Records taken from the buffers before the event loop looks at other things.
pub(super) const AT_ONCE: usize = 1 << 16;

/// What the plan of the attached programs was made for: cases, and whether there were vCPUs on KVM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    cases: BTreeSet<Case>,
    vcpus: bool,
}

impl Kinds {
    /// Of these VMs.
    pub(super) fn of(vms: &[Vm]) -> Kinds {
        let vms: Vec<&Vm> = vms.iter().collect();
        let vcpu = |vm: &Vm| vm.threads.iter().any(|thread| matches!(thread.role, ThreadRole::Vcpu(_)));
        Kinds { cases: cases_of_all(&vms), vcpus: vms.iter().any(|vm| vm.kvm && vcpu(vm)) }
    }

    /// All cases.
    pub(super) fn cases(&self) -> BTreeSet<Case> {
        self.cases.clone()
    }

    /// Whether programs for these serve the others as well.
    pub(super) fn serve(&self, others: &Kinds) -> bool {
        others.cases.is_subset(&self.cases) && (self.vcpus || !others.vcpus)
    }

    /// These, with the cases of those before: what programs are planned for that are attached while there are these.
    pub(super) fn after(mut self, before: &Kinds) -> Kinds {
        self.cases.extend(before.cases.iter().copied());
        self
    }
}

/// What was counted of attached programs.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// What they cost and lost.
    pub(super) counters: Counters,
    /// What the VMs used meanwhile.
    pub(super) bill: Bill,
    /// In histogram mode, segments and frames.
    pub(super) histograms: Option<Histograms>,
}

/// Attached programs.
pub(super) struct Tracing {
    // Declared first, so that dropping detaches before anything else goes. None when they are detached.
    probe: Option<Probe>,
    /// What could not be done when they were attached.
    notes: Vec<String>,
    source: Source,
    pace: Pace,
    meter: CostMeter,
    bill: BillMeter,
    /// In histogram mode what they count.
    histograms: Option<HistogramMeter>,
    diagnostics: Option<Diagnostics>,
    /// What is watched now.
    pub(super) targets: Targets,
    /// What every recording of these programs says.
    header: Header,
    attached: Instant,
    /// `CLOCK_MONOTONIC` when the last program had been attached, ns.
    attached_ns: u64,
    /// As last read, since they were attached.
    pub(super) counted: Counted,
    /// VMs' frames since they were last taken, by the slot of the tap.
    frames: BTreeMap<u8, u64>,
    /// Flows that this recording has the addresses of.
    flows: BTreeSet<u64>,
}

impl Tracing {
    /// Takes over programs that have just been attached.
    pub(super) fn new(prepared: Prepared, verbose: u8) -> Result<Tracing> {
        let Prepared { mut probe, header, devices: _, bill, targets, histograms } = prepared;
        let source = Source::new(probe.outlet()?);
        Ok(Tracing {
            pace: Pace::new(source.room(), Duration::MAX),
            source,
            meter: probe.cost_meter()?,
            bill,
            histograms,
            diagnostics: if verbose > 0 { probe.diagnostics() } else { None },
            notes: std::mem::take(&mut probe.notes),
            probe: Some(probe),
            targets,
            attached: Instant::now(),
            attached_ns: header.started_monotonic_ns,
            header,
            counted: Counted::default(),
            frames: BTreeMap::new(),
            flows: BTreeSet::new(),
        })
    }

    /// The programs before these are detached: what both counted is theirs.
    pub(super) fn go_on(&mut self) {
        if let Some(Err(error)) = self.histograms.as_mut().map(HistogramMeter::begin) {
            log::warn!("frames of the last moment are counted twice: {error:#}");
        }
    }

    /// When the last program had been attached, `CLOCK_MONOTONIC`, ns.
    pub(super) fn attached_ns(&self) -> u64 {
        self.attached_ns
    }

    /// What a recording that begins now says at its head, with sentences on what could not be done.
    pub(super) fn header(&self, vms: &[Vm], (wall_ns, monotonic_ns): (u64, u64)) -> (Header, &[String]) {
        let header = Header {
            started_unix_ns: wall_ns,
            started_monotonic_ns: monotonic_ns,
            topology: Topology { vms: vms.to_vec() },
            vms: vms.iter().map(|vm| vm.name.clone()).collect(),
            devices: self.targets.slots(),
            ..self.header.clone()
        };
        (header, &self.notes)
    }

    /// Hands on what waits in the buffers; what is stamped at `until_ns` or later is left out. Returns how many records there
    /// were.
    pub(super) fn drain(&mut self, until_ns: u64, take: &mut dyn FnMut(Record) -> Result<()>) -> Result<u64> {
        self.meter.turn();
        let (attached_ns, frames, flows) = (self.attached_ns, &mut self.frames, &mut self.flows);
        let count = |record| {
            match &record {
                // Hooks are attached one after the other: before the last, a frame shows only part of its way.
                Record::Event(event) if event.time_ns < attached_ns || event.time_ns >= until_ns => {
                    return Ok(());
                }
                Record::Event(event) if matches!(event.hop, Hop::TapRx | Hop::TapRing) => {
                    if let Some(slot) = event.device {
                        *frames.entry(slot).or_default() += 1;
                    }
                }
                Record::Event(_) => {}
                // The kernel remembers no more.
                Record::Flow(flow) if flows.len() < FLOW_PLACES as usize => {
                    flows.insert(flow.flow);
                }
                Record::Flow(_) => {}
            }
            take(record)
        };
        Ok(self.source.drain(AT_ONCE, count)? as u64)
    }

    /// How long to wait, after so many records were taken.
    pub(super) fn wait_after(&mut self, taken: u64) -> Duration {
        self.pace.after(taken).min(self.meter.due())
    }

    /// The same until nothing waits; more may come meanwhile.
    pub(super) fn drain_all(
        &mut self,
        until_ns: u64,
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<u64> {
        let mut records = 0;
        loop {
            let more = self.drain(until_ns, take)?;
            records += more;
            if more < AT_ONCE as u64 {
                return Ok(records);
            }
        }
    }

    /// Frames since the last time, by the VM.
    pub(super) fn take_frames(&mut self) -> Vec<(String, u64)> {
        let targets = &self.targets;
        let name = |slot| targets.vm_of(slot).unwrap_or_default().to_owned();
        std::mem::take(&mut self.frames).into_iter().map(|(slot, count)| (name(slot), count)).collect()
    }

    /// Hands what the programs said of themselves to this program's log.
    pub(super) fn flush_diagnostics(&mut self) {
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.flush();
        }
    }

    /// Reads what the programs cost and lost, and what the VMs used, since the programs were attached.
    pub(super) fn count(&mut self) {
        let Counted { counters, bill, .. } = &mut self.counted;
        // A counter that cannot be read must not end the watch; the last good figures stand.
        if let Err(error) = self.meter.read(counters) {
            log::warn!("{error:#}");
        }
        counters.undecoded = self.source.undecoded;
        counters.reader_cpu_ns = cpu_ns();
        counters.wall_ns = self.attached.elapsed().as_nanos() as u64;
        counters.metered_ns = self.meter.metered_ns();
        *bill = self.bill.read();
        self.count_histograms();
    }

    /// Reads what the programs counted in histogram mode, frames at taps among it.
    fn count_histograms(&mut self) {
        let Some(meter) = &self.histograms else { return };
        let now = match meter.read() {
            Ok(now) => now,
            Err(error) => return log::warn!("{error:#}"),
        };
        let before = self.counted.histograms.take().unwrap_or_default();
        for (slot, frames) in &now.since(&before).taps {
            *self.frames.entry(*slot).or_default() += frames;
        }
        self.counted.histograms = Some(now);
    }

    /// Watches other things from now on; returns what could not be done, a sentence each.
    pub(super) fn follow(&mut self, next: Targets, change: &Change, vms: &[Vm]) -> Vec<String> {
        let mut words: Vec<String> =
            next.left_out.iter().filter(|why| !self.targets.left_out.contains(why)).cloned().collect();
        words.extend(self.probe.as_mut().map(|probe| probe.apply(change)).unwrap_or_default());
        if let Err(error) = self.bill.follow(vms, &change.new_vcpus(), &change.threads.gone) {
            words.push(format!("{error:#}: their exits are not counted"));
        }
        self.targets = next;
        words
    }

    /// A recording ended, another begins: the flows are told again, and what is gone is forgotten.
    pub(super) fn turn(&mut self, vms: &[Vm]) {
        let flows = std::mem::take(&mut self.flows).into_iter();
        if let Some(Err(error)) = self.probe.as_mut().map(|probe| probe.forget_flows(flows)) {
            log::warn!("flows of earlier recordings have no addresses in this one: {error:#}");
        }
        self.targets.forget();
        self.bill.forget(vms);
    }

    /// Detaches, and hands on the rest, stamped before `until_ns`; returns how many records these were. What was counted is
    /// then final.
    pub(super) fn detach(
        &mut self,
        until_ns: u64,
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<u64> {
        // As when they were attached: from the first one's end on, a frame shows only part of its way.
        let until_ns = until_ns.min(monotonic_ns().unwrap_or(u64::MAX));
        self.probe = None;
        self.count_histograms();
        let records = self.drain_all(until_ns, take)?;
        // The programs' costs went with them, so those that were read before stand; losses stay readable.
        let counters = &mut self.counted.counters;
        let programs = std::mem::take(&mut counters.programs);
        let read = self.meter.read(counters);
        counters.programs = programs;
        counters.undecoded = self.source.undecoded;
        read?;
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Vmm;

    fn vm(kvm: bool) -> Vm {
        let (threads, taps) = (Vec::new(), Vec::new());
        Vm { name: "a".to_owned(), vmm: Vmm::Qemu, pid: 1, start_time: 1, threads, taps, kvm }
    }

    #[test]
    fn programs_serve_the_kinds_of_vms_that_they_were_planned_for() {
        let (none, kvm, emulated) = (Kinds::of(&[]), Kinds::of(&[vm(true)]), Kinds::of(&[vm(false)]));
        assert!(kvm.serve(&none) && kvm.serve(&kvm));
        assert!(!none.serve(&kvm) && !kvm.serve(&emulated));
        let both = kvm.clone().after(&emulated);
        assert!(both.serve(&kvm) && both.serve(&emulated));
        let vcpus = Kinds { vcpus: true, ..kvm.clone() };
        assert!(vcpus.serve(&kvm) && !kvm.serve(&vcpus));
        // Accounts are kept only where there were vCPUs when the programs were attached.
        assert!(!emulated.after(&vcpus).serve(&vcpus));
    }
}
