//! What discovery reads that processes, users and the kernel say, for the fuzz targets of the crate `tests`.

use std::path::Path;

use netlink_packet_route::AddressFamily;

use super::{
    model::Vmm,
    netlink::{Answers, as_default_route, as_link},
    process, sysfs, threads, vmm,
};

/// Names and lists in /proc: command lines, threads' names, descriptors' targets, interrupts, links of sysfs.
pub fn text(text: &str) {
    let words: Vec<String> = text.split(['\0', ' ']).map(str::to_owned).collect();
    let exe = words.first().map(String::as_str).unwrap_or_default();
    for vmm in [Vmm::Qemu, Vmm::Firecracker, Vmm::CloudHypervisor, vmm::vmm(exe)] {
        assert!(!vmm::name(&vmm, exe, 7, &words).is_empty());
        let _ = (threads::role(&vmm, text, false), threads::role(&vmm, text, true));
    }
    let _ = threads::vhost_owner(text);
    let _ = process::tap_node(text);
    let _ = sysfs::parent_of(Path::new(text));
    assert!(sysfs::named_irqs(text, &["", exe]).len() <= text.lines().count());
}

/// A datagram of rtnetlink: how many devices and default routes are understood in it.
pub fn netlink(bytes: &[u8]) -> usize {
    let mut answers = Answers::default();
    // An error that the kernel tells of ends the reading, with what came before.
    let _ = answers.take(bytes);
    let routes = answers.messages.iter().filter_map(|message| as_default_route(message, AddressFamily::Inet));
    let routes = routes.count();
    routes + answers.messages.into_iter().filter_map(as_link).count()
}
