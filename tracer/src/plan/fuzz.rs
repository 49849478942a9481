//! What the plan reads of kernels, for the fuzz targets of the crate `tests`.

use std::collections::BTreeSet;

use super::{
    btf::KernelBtf,
    catalog::{Attach, CATALOG},
    symbols,
};

/// BTF: everything that is asked of a kernel's.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = KernelBtf::from_bytes(bytes) else { return };
    let _ = (btf.offsets(), btf.argument_registers(), btf.has_drop_reasons(), btf.drop_reasons());
    let _ = btf.module_offset("vhost", "vhost_poll", "work");
    for program in CATALOG {
        let _ = match program.attach {
            Attach::TpBtf(name) | Attach::RawTracepoint(name) => btf.parameters_of_tracepoint(name, None),
            Attach::Fentry(name) | Attach::Kprobe(name) => btf.parameters_of_function(name, None),
        };
    }
}

/// `/proc/kallsyms`, for these functions and addresses.
pub fn symbols(text: &str, names: &BTreeSet<&str>, addresses: &BTreeSet<u64>) {
    let found = symbols::search(text.as_bytes(), names, names);
    assert!(found.functions.keys().chain(&found.tracepoints).all(|name| names.contains(name.as_str())));
    let known = symbols::name(text.as_bytes(), addresses);
    assert!(known.keys().all(|address| addresses.contains(address)));
    let _ = symbols::resemble(text.as_bytes(), names);
}
