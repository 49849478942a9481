//! The bill: what each VM cost in CPU time, as two tables that each say what they could not account for.

use std::collections::BTreeMap;

use crate::{
    correlate::{Passage, Side},
    recording::{self, Bill, ExitReason, ExitUse, Header, ThreadUse, VmUse},
    report::{ThreadRow, VcpuTimeKind, VcpuTimeRow, VmBill},
    topology::ThreadRole,
};

/// Share of the vCPUs' time below which an exit reason has no row of its own.
const SMALL: f64 = 0.005;

/// What the bills need of a recording.
#[derive(Debug, Default)]
pub(super) struct BillBook {
    /// Frames by the slot of the tap that they came from or went to.
    frames: BTreeMap<u8, u64>,
    bill: Bill,
}

impl BillBook {
    /// The latest bill.
    pub(super) fn note(&mut self, bill: Bill) {
        self.bill = bill;
    }

    /// Counts a frame for the guests at its ends. The copies of a flood were one frame to the guest that sent it.
    pub(super) fn passage(&mut self, passage: &Passage) {
        self.frame(passage.branch.is_some(), passage.from, passage.to);
    }

    /// Counts so many frames for the guest behind a tap.
    pub(super) fn frames(&mut self, slot: u8, frames: u64) {
        let known = self.frames.entry(slot).or_default();
        *known = known.saturating_add(frames);
    }

    fn frame(&mut self, copy: bool, from: Side, to: Side) {
        let sent = (!copy).then_some(from);
        for side in sent.into_iter().chain([to]) {
            if let Side::Guest(slot) = side {
                *self.frames.entry(slot).or_default() += 1;
            }
        }
    }

    /// The bills of all VMs.
    pub(super) fn lay_out(&self, header: &Header) -> Vec<VmBill> {
        self.bill.vms.iter().map(|used| self.vm(used, header)).collect()
    }

    fn vm(&self, used: &VmUse, header: &Header) -> VmBill {
        let slots = header.devices.iter().filter(|entry| entry.vm == used.vm).map(|entry| entry.slot);
        let frames = recording::total(slots.filter_map(|slot| self.frames.get(&slot).copied()));
        let per_frames = (frames > 0 && !header.leaves_out_frames()).then_some(frames);
        let kvm = header.topology.vms.iter().any(|vm| vm.name == used.vm && vm.kvm);
        let missing = missing(used, kvm);
        let vcpu = VcpuTable {
            used,
            header,
            per_frames,
            total_ns: u64::from(used.vcpus).saturating_mul(self.bill.wall_ns),
        };
        VmBill {
            vm: used.vm.clone(),
            wall_ns: self.bill.wall_ns,
            frames,
            per_frames,
            vcpus: used.vcpus,
            vcpu_time: if missing.is_none() { vcpu.rows() } else { Vec::new() },
            vcpu_time_missing: missing,
            threads: thread_rows(&self.bill, used, per_frames),
        }
    }
}

/// Why there is no table of the vCPUs' time.
fn missing(used: &VmUse, kvm: bool) -> Option<String> {
    let exits = total(used.exits.iter().map(|exit| exit.count));
    let why = match (kvm, used.vcpus, used.entries, exits) {
        (false, ..) => "its CPU is emulated: the vCPU threads run guest and emulation alike",
        (_, 0, ..) => "its exits were not counted: the notes say why",
        // Half of the turns would charge the guest with the host's time, or the reverse.
        (_, _, 0, 1..) => "no entry into the guest was seen: kvm_entry is not served",
        (_, _, 1.., 0) => "no exit was seen: kvm_exit is not served",
        _ => return None,
    };
    Some(why.to_owned())
}

/// What the rows of the vCPUs' time are made of.
struct VcpuTable<'a> {
    used: &'a VmUse,
    header: &'a Header,
    per_frames: Option<u64>,
    total_ns: u64,
}

/// The figures of a row.
#[derive(Clone, Copy, Default)]
struct Figures {
    count: Option<u64>,
    ns: i64,
    off_ns: u64,
}

impl Figures {
    fn of(exit: &ExitUse) -> Figures {
        Figures { count: Some(exit.count), ns: signed(exit.ns), off_ns: exit.off_ns }
    }

    fn plus(self, other: Figures) -> Figures {
        Figures {
            count: Some(self.count.unwrap_or_default().saturating_add(other.count.unwrap_or_default())),
            ns: self.ns.saturating_add(other.ns),
            off_ns: self.off_ns.saturating_add(other.off_ns),
        }
    }
}

fn sum(exits: &[&ExitUse]) -> Figures {
    exits.iter().map(|exit| Figures::of(exit)).fold(Figures::default(), Figures::plus)
}

impl VcpuTable<'_> {
    fn rows(&self) -> Vec<VcpuTimeRow> {
        use VcpuTimeKind::{Derived, Guest, Idle, Rest};
        let of = |wanted: fn(ExitReason) -> bool| -> Vec<&ExitUse> {
            self.used.exits.iter().filter(|exit| wanted(exit.reason)).collect()
        };
        let idle = of(ExitReason::is_idle);
        let before = of(|reason| reason == ExitReason::Before);
        let exits = of(|reason| !reason.is_idle() && reason != ExitReason::Before);
        let (all, waited, earlier) = (sum(&exits), sum(&idle), sum(&before));
        let guest = Figures { count: Some(self.used.entries), ns: signed(self.used.guest_ns), off_ns: 0 };
        let known = [guest, all, waited, earlier].into_iter().fold(Figures::default(), Figures::plus);
        let rest = Figures { ns: signed(self.total_ns).saturating_sub(known.ns), ..Figures::default() };

        let mut rows = vec![self.row("guest", Guest, guest)];
        rows.extend(self.exit_rows(exits.clone()));
        if waited.ns > 0 {
            rows.push(self.row(&self.idle_name(&idle), Idle, waited));
        }
        if earlier.ns > 0 {
            rows.push(self.row(
                "outside since before the recording",
                Idle,
                Figures { count: None, ..earlier },
            ));
        }
        rows.push(self.row("the rest", Rest, rest));
        // Where nothing tells the reasons, idle is among them.
        let told = !exits.iter().any(|exit| exit.reason == ExitReason::Untold);
        let what = if told { "all exits but idle" } else { "all exits, idle among them" };
        rows.push(self.row(what, Derived, all));
        let per_frame = self.per_frames.map(|frames| Figures { count: Some(frames), ..all });
        rows.extend(per_frame.map(|figures| self.row("the same, per frame", Derived, figures)));
        rows
    }

    /// Exits by time, the small ones as one row.
    fn exit_rows(&self, mut exits: Vec<&ExitUse>) -> Vec<VcpuTimeRow> {
        exits.sort_by_key(|exit| (std::cmp::Reverse(exit.ns), exit.reason));
        let own = exits.partition_point(|exit| self.share(signed(exit.ns)) >= SMALL);
        // One alone needs no other name.
        let own = if exits.len() - own == 1 { exits.len() } else { own };
        let mut rows: Vec<VcpuTimeRow> = exits[..own]
            .iter()
            .map(|exit| self.row(&self.name(exit.reason), VcpuTimeKind::Exit, Figures::of(exit)))
            .collect();
        let small = &exits[own..];
        if !small.is_empty() {
            let what = format!("other reasons ({})", small.len());
            rows.push(self.row(&what, VcpuTimeKind::Exit, sum(small)));
        }
        rows
    }

    fn row(&self, what: &str, kind: VcpuTimeKind, Figures { count, ns, off_ns }: Figures) -> VcpuTimeRow {
        let scheduled = count.is_some() && self.used.exits.iter().any(|exit| exit.off_ns > 0);
        VcpuTimeRow {
            what: what.to_owned(),
            kind,
            ns,
            share: self.share(ns),
            on_cpu_share: scheduled.then(|| self.share(ns.saturating_sub(signed(off_ns)))),
            count,
            per_frame: count.zip(self.per_frames).map(|(count, frames)| count as f64 / frames as f64),
            mean_ns: count.filter(|count| *count > 0).map(|count| ns as f64 / count as f64),
        }
    }

    fn share(&self, ns: i64) -> f64 {
        if self.total_ns == 0 { 0.0 } else { ns as f64 / self.total_ns as f64 }
    }

    fn idle_name(&self, idle: &[&ExitUse]) -> String {
        let names: Vec<String> = idle.iter().map(|exit| self.name(exit.reason)).collect();
        format!("idle ({})", names.join(", "))
    }

    fn name(&self, reason: ExitReason) -> String {
        match reason {
            ExitReason::Told { isa, code } => {
                let names = self.header.exit_reasons.get(&isa);
                names.and_then(|names| names.get(&code)).cloned().unwrap_or_else(|| format!("{code:#x}"))
            }
            ExitReason::Other => "reasons without a counter".to_owned(),
            ExitReason::Untold => "reason not told".to_owned(),
            ExitReason::Before => "outside since before the recording".to_owned(),
        }
    }
}

/// Sorts of threads, in the order of the rows.
const SORTS: [&str; 4] = [VCPUS, "vhost workers", "VMM I/O threads", "other VMM threads"];
const VCPUS: &str = "vCPU threads";

fn sort(role: ThreadRole) -> &'static str {
    match role {
        ThreadRole::Vcpu(_) => VCPUS,
        ThreadRole::Vhost => SORTS[1],
        ThreadRole::Io => SORTS[2],
        ThreadRole::Other => SORTS[3],
    }
}

/// The sorts of threads that there are, the rest of the host, and two sums.
fn thread_rows(bill: &Bill, used: &VmUse, per_frames: Option<u64>) -> Vec<ThreadRow> {
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&ThreadUse> {
        used.threads.iter().filter(|thread| wanted(sort(thread.role))).collect()
    };
    let row = |what: &str, threads: &[&ThreadUse]| thread_row(what, threads, bill.wall_ns, per_frames);
    let each = SORTS.iter().map(|what| (what, of(&|sort| sort == *what)));
    let mut rows: Vec<ThreadRow> =
        each.filter(|(_, threads)| !threads.is_empty()).map(|(what, threads)| row(what, &threads)).collect();
    let beside = row("VMM and vhost together", &of(&|sort| sort != VCPUS));
    let all = row("all of this VM", &of(&|_| true));
    let rest = bill.host_ns.map(|host_ns| signed(host_ns).saturating_sub(all.cpu_ns));
    rows.extend(rest.map(|cpu_ns| rest_of_host(cpu_ns, bill.wall_ns)));
    rows.extend([beside, all].map(|row| ThreadRow { derived: true, ..row }));
    rows
}

fn thread_row(what: &str, threads: &[&ThreadUse], wall_ns: u64, per_frames: Option<u64>) -> ThreadRow {
    let cpu_ns = signed(total(threads.iter().map(|thread| thread.cpu_ns)));
    let waits: Option<Vec<u64>> = threads.iter().map(|thread| thread.wait_ns).collect();
    let wait_ns = waits.map(|waits| total(waits.into_iter()));
    ThreadRow {
        what: what.to_owned(),
        derived: false,
        threads: Some(threads.len() as u64),
        cpu_ns,
        share: of_wall(cpu_ns, wall_ns),
        cpu_ns_per_frame: per_frames.map(|frames| cpu_ns as f64 / frames as f64),
        wait_ns_per_frame: wait_ns.zip(per_frames).map(|(ns, frames)| ns as f64 / frames as f64),
    }
}

/// Everybody else: other VMs, interrupts and softirqs on idle CPUs, vmhop itself. No frame of this VM is to blame alone.
fn rest_of_host(cpu_ns: i64, wall_ns: u64) -> ThreadRow {
    ThreadRow {
        what: "the rest of the host".to_owned(),
        derived: false,
        threads: None,
        cpu_ns,
        share: of_wall(cpu_ns, wall_ns),
        cpu_ns_per_frame: None,
        wait_ns_per_frame: None,
    }
}

fn of_wall(ns: i64, wall_ns: u64) -> f64 {
    if wall_ns == 0 { 0.0 } else { ns as f64 / wall_ns as f64 }
}

/// A sum that a damaged recording cannot make too large.
fn total(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

/// Times of centuries do not occur; a damaged recording may claim them.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
