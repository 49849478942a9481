//! A frame's way through the host as trace-cmd's hits tell it, by the order of hits, threads and `sk_buff` addresses.
//! It shares no code with vmhop's correlation, so that a mistake there shows as a difference.

use tracer_common::hop::Hop;

use crate::trace_cmd::Hit;

/// The lab's devices.
const TAP: &str = "tap0";
const NIC: &str = "nic0";

/// Hops between NIC and tap that name the frame.
const BETWEEN: [(Hop, &str); 4] = [
    (Hop::BridgeIn, "br_handle_frame"),
    (Hop::BridgeOut, "br_dev_queue_push_xmit"),
    (Hop::IpIn, "ip_forward"),
    (Hop::IpOut, "ip_finish_output2"),
];

/// What hands a frame to a tap or macvtap.
const WRITES: [&str; 4] = ["tun_sendmsg", "tun_chr_write_iter", "tap_sendmsg", "tap_write_iter"];

/// One frame's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Hops with their times, `CLOCK_MONOTONIC`, ns.
    pub hops: Vec<(Hop, u64)>,
}

impl Way {
    /// When the frame was at a hop.
    pub fn at(&self, hop: Hop) -> Option<u64> {
        self.hops.iter().find(|(at, _)| *at == hop).map(|(_, time_ns)| *time_ns)
    }
}

/// The ways of all frames that came from the NIC and were put into the tap's ring.
pub fn received(hits: &[Hit]) -> Vec<Way> {
    let ring = |hit: &Hit| match hit.point.as_str() {
        "net_dev_start_xmit" => hit.device == TAP,
        point => point == "tap_handle_frame",
    };
    let rings = hits.iter().enumerate().filter(|(_, hit)| ring(hit));
    rings.filter_map(|(index, _)| way_in(hits, index)).collect()
}

/// The ways of all frames that came out of the tap.
pub fn sent(hits: &[Hit]) -> Vec<Way> {
    // A macvtap queues what its guest wrote to its own device.
    let is_macvtap = hits.iter().any(|hit| hit.point == "tap_handle_frame");
    let birth = if is_macvtap { "net_dev_queue" } else { "netif_receive_skb" };
    let births = hits.iter().enumerate().filter(|(_, hit)| hit.point == birth && hit.device == TAP);
    births.filter_map(|(index, _)| way_out(hits, index)).collect()
}

fn way_in(hits: &[Hit], ring: usize) -> Option<Way> {
    let frame = &hits[ring];
    let (before, after) = (&hits[..ring], &hits[ring + 1..]);
    let came = |hit: &Hit| hit.point == "netif_rx" && hit.device == NIC && hit.skb == frame.skb;
    let came = before.iter().rposition(came)?;
    let mut hops = vec![(Hop::NicRx, before[came].time_ns)];
    hops.extend(between(&before[came..], frame.skb));
    hops.push((Hop::TapRing, frame.time_ns));
    let read = after.iter().position(|hit| hit.point == "skb_copy_datagram_iovec" && hit.skb == frame.skb)?;
    let reader = after[read].tid;
    hops.extend(woken(&after[..read], reader));
    hops.push((Hop::VmmRead, after[read].time_ns));
    hops.extend(announced(&after[read..], reader));
    Some(Way { hops })
}

/// The interrupt by which the reader announces the frame, and the vCPU's entry with it. One that comes when the reader
/// has moved something else is for that, or for that as well: it proves nothing.
fn announced(hits: &[Hit], reader: u32) -> Vec<(Hop, u64)> {
    let own =
        |hit: &&Hit| hit.tid == reader && !hit.point.starts_with("kvm_apic") && hit.point != "sched_waking";
    let Some(next) = hits.iter().skip(1).find(own) else { return Vec::new() };
    if next.point != "kvm_msi_set_irq" {
        return Vec::new();
    }
    let accepted = hits.iter().skip_while(|hit| !std::ptr::eq(*hit, next));
    let entry =
        accepted.skip_while(|hit| hit.point != "kvm_apic_accept_irq").find(|hit| hit.point == "kvm_entry");
    let entry = entry.map(|entry| (Hop::VcpuEnter, entry.time_ns));
    [Some((Hop::VmmIrq, next.time_ns)), entry].into_iter().flatten().collect()
}

fn way_out(hits: &[Hit], birth: usize) -> Option<Way> {
    let frame = &hits[birth];
    let (before, after) = (&hits[..birth], &hits[birth + 1..]);
    let write =
        before.iter().rposition(|hit| hit.tid == frame.tid && WRITES.contains(&hit.point.as_str()))?;
    let mut hops = Vec::new();
    // Of frames that are written together, the first is what the thread was told of.
    if !before[write..]
        .iter()
        .any(|hit| hit.tid == frame.tid && hit.point == frame.point && hit.device == TAP)
    {
        hops.extend(caused(&before[..write], frame.tid));
    }
    hops.push((Hop::TapWrite, before[write].time_ns));
    hops.push((Hop::TapRx, frame.time_ns));
    let left = |hit: &Hit| hit.point == "net_dev_start_xmit" && hit.device == NIC && hit.skb == frame.skb;
    let left = after.iter().position(left)?;
    hops.extend(between(&after[..left], frame.skb));
    Some(Way { hops })
}

/// The guest's kick that led to a write, and the thread's waking by it: none where something else had it running.
fn caused(hits: &[Hit], writer: u32) -> Vec<(Hop, u64)> {
    let moved = |hit: &Hit| hit.tid == writer && (hit.skb != 0 || WRITES.contains(&hit.point.as_str()));
    let since = hits.iter().rposition(moved).map_or(0, |index| index + 1);
    let hits = &hits[since..];
    let Some(waking) = hits.iter().rposition(|hit| hit.point == "sched_waking" && hit.other == writer) else {
        return Vec::new();
    };
    let vcpu = hits[waking].tid;
    let last = |until: usize, point: &str| {
        hits[..until].iter().rposition(|hit| hit.tid == vcpu && hit.point == point)
    };
    let Some(doorbell) = last(waking, "ioeventfd_write") else { return Vec::new() };
    let Some(exit) = last(doorbell, "kvm_exit") else { return Vec::new() };
    if last(waking, "kvm_entry").is_some_and(|entry| entry > doorbell) {
        return Vec::new();
    }
    let kick = (Hop::VmmKick, hits[exit].time_ns);
    [kick].into_iter().chain(woken(&hits[waking..], writer)).collect()
}

/// Hops of a frame between NIC and tap.
fn between(hits: &[Hit], skb: u64) -> impl Iterator<Item = (Hop, u64)> {
    BETWEEN.into_iter().filter_map(move |(hop, point)| {
        let hit = hits.iter().find(|hit| hit.point == point && hit.skb == skb)?;
        Some((hop, hit.time_ns))
    })
}

/// The last time that a thread got a CPU, and the last time before that it was told to run.
fn woken(hits: &[Hit], tid: u32) -> Vec<(Hop, u64)> {
    let last =
        |hits: &[Hit], point: &str| hits.iter().rposition(|hit| hit.point == point && hit.other == tid);
    let Some(wake) = last(hits, "sched_switch") else { return Vec::new() };
    let runnable = last(&hits[..wake], "sched_waking").map(|index| (Hop::VmmRunnable, hits[index].time_ns));
    runnable.into_iter().chain([(Hop::VmmWake, hits[wake].time_ns)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_cmd::parse;

    fn names(way: &Way) -> Vec<&str> {
        way.hops.iter().map(|(hop, _)| hop.name()).collect()
    }

    #[test]
    fn a_frame_out_is_walked_from_the_kick_that_woke_its_writer() {
        let report = " vcpu-11 [0] 1.000000010: kvm_exit: reason NPF
 vcpu-11 [0] 1.000000020: ioeventfd_write: (ffff)
 vcpu-11 [0] 1.000000030: sched_waking: comm=vhost pid=10 prio=120
 vcpu-11 [0] 1.000000040: sched_switch: vcpu:11 [120] S ==> vhost:10 [120]
 vhost-10 [0] 1.000000050: tun_sendmsg: (ffff)
 vhost-10 [0] 1.000000060: netif_receive_skb: dev=tap0 skbaddr=0xa len=84
 vhost-10 [0] 1.000000070: br_handle_frame: (ffff) skbaddr=0xa
 vhost-10 [0] 1.000000080: net_dev_start_xmit: dev=nic0 skbaddr=0xa
 vhost-10 [0] 1.000000090: netif_receive_skb: dev=tap0 skbaddr=0xb len=84
 vhost-10 [0] 1.000000100: net_dev_start_xmit: dev=nic0 skbaddr=0xb";
        let ways = sent(&parse(report));
        let first = ["vmm.kick", "vmm.runnable", "vmm.wake", "tap.write", "tap.rx", "bridge.in"];
        assert_eq!(names(&ways[0]), first);
        assert_eq!(ways[0].at(Hop::VmmKick), Some(1_000_000_010));
        assert_eq!(names(&ways[1]), ["tap.write", "tap.rx"]);
    }

    #[test]
    fn an_interrupt_behind_another_frame_announces_nothing() {
        let report = |between: &str| {
            format!(
                " ping-9 [0] 1.000000010: netif_rx: dev=nic0 skbaddr=0xa len=84
 ping-9 [0] 1.000000020: net_dev_start_xmit: dev=tap0 skbaddr=0xa
 ping-9 [0] 1.000000030: sched_waking: comm=vhost pid=10 prio=120
 ping-9 [0] 1.000000040: sched_switch: ping:9 [120] S ==> vhost:10 [120]
 vhost-10 [0] 1.000000050: skb_copy_datagram_iovec: skbaddr=0xa len=98
{between}
 vhost-10 [0] 1.000000070: kvm_msi_set_irq: dst 0 vec 39
 vhost-10 [0] 1.000000080: kvm_apic_accept_irq: apicid 0 vec 39
 vcpu-11 [0] 1.000000090: kvm_entry: vcpu 0"
            )
        };
        let read = ["nic.rx", "tap.ring", "vmm.runnable", "vmm.wake", "vmm.read"];
        let announced = [&read[..], &["vmm.irq", "vcpu.enter"]].concat();
        assert_eq!(names(&received(&parse(&report("")))[0]), announced);
        let other = " vhost-10 [0] 1.000000060: tun_sendmsg: (ffff)";
        assert_eq!(names(&received(&parse(&report(other)))[0]), read);
    }
}
