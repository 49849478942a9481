//! What discovery, plan and bill read of a host as text: `/proc`, sysfs, tracefs. Names in it are chosen by whoever owns
//! a process or a device.

use std::collections::BTreeSet;

use tracer::{
    bill, plan,
    topology::{self, printable},
};

use super::{text, texts};

pub(super) fn run(bytes: &[u8]) {
    let text = text(bytes);
    topology::fuzz::text(&text);
    bill::fuzz::text(&text);
    let names = BTreeSet::from(["tun_build_skb", "br_handle_frame", "kvm_exit"]);
    let addresses = BTreeSet::from([1, 0xffff_ffff_8100_01f0, u64::MAX]);
    plan::fuzz::symbols(&text, &names, &addresses);
    assert!(!printable(&text).contains(char::is_control));
}

pub(super) const WORDS: &[&str] = &[
    "CPU ",
    "/KVM",
    "vcpu",
    "_qp",
    "vhost-",
    "IO ",
    "guest=",
    "-name\0",
    "--api-socket\0path=",
    ",,",
    "/dev/net/tun",
    "/dev/tap",
    " (deleted)",
    "/net/",
    "virtual",
    "__print_symbolic(",
    "exit_reason",
    "isa ==",
    "offset:",
    "size:",
    "field:",
    "{ 0x",
    " + ",
    "-",
    "\", \"",
    "__traceiter_",
    " t ",
    "[tun]",
    ".constprop.0",
    "cpu  ",
    "99999999999999999999",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "qemu-system-x86_64\0-name\0guest=web,debug-threads=on\0-m\x001G",
        "firecracker\0--id=fc1",
        "cloud-hypervisor\0--api-socket\0path=/run/web.sock,x=y",
        "CPU 12/KVM",
        "vhost-4242",
        "_net2_qp0",
        "/dev/net/tun (deleted)",
        "/dev/tap12",
        "../../devices/pci0000:00/0000:00:04.0/virtio2/net/ens4",
        " 38:          0       6562 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\nLOC:  1  2 Local timer interrupts\n",
        "354190 1555337 2\n",
        "7 (CPU 0) K) S 1 7 7 0 -1 4194560 5 0 0 0 120 30 0 0 20 0 1 0 99",
        "cpu  1 2 4 800 1600 8 16 3200 1 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n",
        "ffffffff81000000 T br_handle_frame\n0 t tun_build_skb.constprop.0\t[tun]\n0 T __traceiter_kvm_exit\t[kvm]\n",
        EXIT,
    ])
}

const EXIT: &str = "name: kvm_exit\nID: 1\nformat:\n\tfield:unsigned int exit_reason;\toffset:8;\tsize:4;\tsigned:0;\n\
    \tfield:u32 isa;\toffset:24;\tsize:4;\tsigned:0;\n\nprint fmt: \"vcpu %u reason %s\", (REC->isa == 1) ? \
    __print_symbolic(REC->exit_reason & 0xffff, { 0, \"EXCEPTION_NMI\" }, { 12, \"HLT\" }) : \
    __print_symbolic(REC->exit_reason, { 0x040 + 13, \"DE excp\" }, { -1, \"invalid\" }), REC->vcpu_id\n";
