//! What the warnings say: what is the case, why it matters, what to do.

use std::fmt;

use super::Warning;
use crate::export::numbers::{counted, name, percent, time};

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrames { vms, filter } => no_frames(vms, filter, f),
            Self::Failed { reason } => write!(
                f,
                "the recording ended early ({}): what follows covers the time before only; see to the cause and \
                 record again",
                name(reason)
            ),
            Self::CutOff => f.write_str(
                "the recording was cut off: its last moments and its last counters are missing, so losses may be \
                 higher than shown; end recordings with Ctrl-C or --duration",
            ),
            Self::RingLosses { lost, share } => write!(
                f,
                "{} ({}) found the buffers full: frames that were seen at some hops only are left out, and the \
                 means stand for the rest; enlarge it with --ring-size, or record fewer frames with --filter",
                counted(*lost, "event"),
                percent(*share)
            ),
            Self::Undecoded { records } => write!(
                f,
                "{} could not be decoded: figures may lack frames; the programs and vmhop differ, so build them \
                 together and report this as a bug",
                counted(*records, "record")
            ),
            Self::NoExchange { passages } => write!(
                f,
                "{} but no exchange: no question was seen together with its answer, so only single segments are \
                 known; check that the filter passes both directions and that the peer answers",
                counted(*passages, "frame")
            ),
            Self::LowCoverage { hop, coverage, expected } => write!(
                f,
                "{} saw {} of the {} that went by: its segments stand for these only; check its lost events and \
                 its hook with vmhop doctor",
                name(hop),
                percent(*coverage),
                counted(*expected, "frame")
            ),
            Self::Residual { group, mean_ns, share } => write!(
                f,
                "{} ({}) of the mean of {} is not attributed: a layer may take more than shown; see the \
                 coverage of the hops around the segments called unattributed",
                time(*mean_ns),
                percent(*share),
                name(group)
            ),
            _ => self.lesser(f),
        }
    }
}

impl Warning {
    fn lesser(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative { from, to, count: times } => write!(
                f,
                "{} was stamped before {} {}: these segments are left out of its figures, and its hooks \
                 may stand in another order on this kernel; report this as a bug",
                name(to),
                name(from),
                counted(*times, "time")
            ),
            Self::Ambiguous { what, share } => write!(
                f,
                "{} of {} could be one of several: some may be joined wrongly; a narrower --filter tells them \
                 apart",
                percent(*share),
                name(what)
            ),
            Self::Evicted { passages } => write!(
                f,
                "{} given up because too many were open at once: slow frames may be missing from the figures; \
                 report with a larger --limit-frames, or record fewer frames with --filter",
                counted(*passages, "passage")
            ),
            Self::Late { events } => write!(
                f,
                "{} came too late to be put in order: their frames lack a hop; record fewer frames with --filter",
                counted(*events, "event")
            ),
            Self::Skipped { runs, share } => write!(
                f,
                "the kernel skipped {} of BPF programs{}: none runs inside itself, as when an interrupt comes, so frames \
                 lack a hop; see the coverage, and record fewer frames with --filter",
                counted(*runs, "run"),
                share.map(|share| format!(" ({})", percent(share))).unwrap_or_default()
            ),
            Self::Dropped { frames, chiefly } => write!(
                f,
                "the kernel dropped {}, chiefly {}: latencies are those of the frames that got through; see \
                 Losses for where",
                counted(*frames, "frame"),
                name(chiefly)
            ),
            Self::Unanswered { group, share } => write!(
                f,
                "{} of the questions of {} got no answer{}; look for drops, or answers that take another way",
                percent(*share),
                name(group),
                if *share < 1.0 { ": the figures are those of the others" } else { "" }
            ),
            _ => self.least(f),
        }
    }

    fn least(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Costly { share } => write!(
                f,
                "measuring took {} of one CPU: on a busy host it slows down what it measures; record fewer \
                 frames with --filter",
                percent(*share)
            ),
            Self::Unaccounted { vm, share } if *share < 0.0 => write!(
                f,
                "the vCPUs of {} are billed for {} more time than there was: the parts of their bill are not to be \
                 trusted; report this as a bug",
                name(vm),
                percent(-*share)
            ),
            Self::Unaccounted { vm, share } => write!(
                f,
                "{} of the time of the vCPUs of {} is not accounted for: guest or exits may take more than shown; a \
                 vCPU that never left its guest is not seen, and a longer recording shows more of them",
                percent(*share),
                name(vm)
            ),
            Self::Inseparable { layers, hops, reason } => write!(
                f,
                "{layers} cannot be told apart where {} is missing: their time is shown as one, or charged to \
                 their neighbour; {}",
                name(&hops.join(", ")),
                name(reason)
            ),
            Self::Unheard { hop: "vmm.kick", frames } => write!(
                f,
                "guests sent {} and not one kick was seen: all were picked up by polling, or the guests' devices \
                 have doorbells that KVM does not serve (ioeventfd=off, an emulated NIC); to see every write to a \
                 device, record with --hook vmm.kick=raw_tp:kvm_mmio",
                counted(*frames, "frame")
            ),
            Self::Unheard { hop, frames } => write!(
                f,
                "{} went into guests and not one {} was seen: the guests were polling, or their devices have line \
                 interrupts (virtio-mmio, pci=nomsi); vmhop sees message-signalled ones only",
                counted(*frames, "frame"),
                name(hop)
            ),
            _ => Ok(()),
        }
    }
}

fn no_frames(vms: &[String], filter: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let filter = match filter {
        "" => String::new(),
        filter => format!(", that the filter \"{}\" passes it", name(filter)),
    };
    write!(
        f,
        "no frame of {} was seen: there is nothing to conclude; check that there is traffic{filter}, and that \
         vmhop topology shows the VM and the NIC that you mean",
        name(&vms.join(", "))
    )
}
