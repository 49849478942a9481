//! What the running kernel's BTF says: structure offsets, tracepoints, names of drop reasons.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    rc::Rc,
};

use anyhow::{Context as _, Result, anyhow};
use btf_rs::{Btf, BtfType, FuncProto, Struct, Type};
use tracer_common::config::Offsets;

use crate::plan::{
    catalog::{Attach, CATALOG},
    facts::{Facts, Function, Tracepoint},
    symbols,
};

/// Where kernels since v5.4 built with `CONFIG_DEBUG_INFO_BTF` keep it.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// A kernel's BTF, with that of its modules, where they have any (v5.11 and later).
pub struct KernelBtf {
    vmlinux: Btf,
    /// Read when first asked for; none for a module without BTF.
    modules: RefCell<BTreeMap<String, Option<Rc<Btf>>>>,
    /// Whether it is the kernel's own, by which the kernel knows its types.
    own: bool,
}

/// All of it at once: of a file the library asks the kernel for its place more than a hundred thousand times (`lseek`).
fn read(path: &Path) -> Result<Btf> {
    Ok(Btf::from_bytes(&fs::read(path)?)?)
}

impl KernelBtf {
    /// Reads the running kernel's BTF, or the file that the user says describes it.
    ///
    /// # Errors
    /// A kernel without BTF, a file that is none; the error says what to do.
    pub fn load(file: Option<&Path>) -> Result<KernelBtf> {
        let vmlinux = match file {
            None => read(Path::new(VMLINUX)).with_context(|| {
                format!("failed to read the kernel's type information {VMLINUX}: boot a kernel with CONFIG_DEBUG_INFO_BTF (all current distributions' are), or name a file with this kernel's BTF by --btf")
            })?,
            Some(file) => read(file)
                .with_context(|| format!("failed to read BTF from {}: give the BTF of exactly this kernel, as `pahole -J` or the distribution's debug package has it", file.display()))?,
        };
        Ok(KernelBtf { vmlinux, modules: RefCell::default(), own: file.is_none() })
    }

    /// Reads BTF from bytes that are not of the running kernel.
    ///
    /// # Errors
    /// They are no BTF.
    pub fn from_bytes(bytes: &[u8]) -> Result<KernelBtf> {
        let vmlinux = Btf::from_bytes(bytes).context("failed to read BTF")?;
        Ok(KernelBtf { vmlinux, modules: RefCell::default(), own: false })
    }

    /// BTF of a module, or of vmlinux for none.
    fn of(&self, module: Option<&str>) -> Option<Part<'_>> {
        let Some(module) = module else { return Some(Part::Vmlinux(&self.vmlinux)) };
        // A module's BTF is a difference to the kernel's own; to another file's it means nothing.
        let read = || {
            let path = format!("/sys/kernel/btf/{module}");
            let bytes = self.own.then(|| fs::read(path).ok()).flatten()?;
            Btf::from_split_bytes(&bytes, &self.vmlinux).ok().map(Rc::new)
        };
        let mut modules = self.modules.borrow_mut();
        modules.entry(module.to_owned()).or_insert_with(read).clone().map(Part::Module)
    }

    /// Offsets of the members that the programs read.
    ///
    /// # Errors
    /// A structure or member that this kernel does not have.
    pub fn offsets(&self) -> Result<Offsets> {
        Ok(Offsets {
            skb_dev: self.offset("sk_buff", "dev")?,
            skb_len: self.offset("sk_buff", "len")?,
            skb_data_len: self.offset("sk_buff", "data_len")?,
            skb_head: self.offset("sk_buff", "head")?,
            skb_end: self.offset("sk_buff", "end")?,
            shinfo_gso_size: self.offset("skb_shared_info", "gso_size")?,
            skb_data: self.offset("sk_buff", "data")?,
            skb_mac_header: self.offset("sk_buff", "mac_header")?,
            skb_protocol: self.offset("sk_buff", "protocol")?,
            skb_iif: self.offset("sk_buff", "skb_iif")?,
            dev_ifindex: self.offset("net_device", "ifindex")?,
            dev_net: self.offset("net_device", "nd_net")?,
            net_inum: self.offset("net", "ns")? + self.offset("ns_common", "inum")?,
            task_pid: self.offset("task_struct", "pid")?,
            regs_arg0: self.offset("pt_regs", first_argument_register())?,
        })
    }

    /// Where `pt_regs` has a function's arguments, in bytes: those that are passed in registers.
    ///
    /// # Errors
    /// A register that this kernel calls otherwise.
    pub fn argument_registers(&self) -> Result<Vec<u32>> {
        if cfg!(target_arch = "aarch64") {
            let first = self.offset("pt_regs", "regs")?;
            return Ok((0..8).map(|number| first + 8 * number).collect());
        }
        ["di", "si", "dx", "cx", "r8", "r9"].map(|name| self.offset("pt_regs", name)).into_iter().collect()
    }

    /// What this kernel offers of what the catalog names, and of these further functions.
    pub fn facts(&self, further: &[&str]) -> Facts {
        let mut functions: BTreeSet<&str> = further.iter().copied().collect();
        let mut tracepoints = BTreeSet::new();
        for program in CATALOG {
            match program.attach {
                Attach::TpBtf(name) | Attach::RawTracepoint(name) => tracepoints.insert(name),
                Attach::Fentry(name) | Attach::Kprobe(name) => functions.insert(name),
            };
        }
        let found = symbols::find(&functions, &tracepoints);
        let missing = further.iter().copied().filter(|name| !found.functions.contains_key(*name)).collect();
        let function = |(name, module): (String, Option<String>)| {
            let parameters = self.parameters_of_function(&name, module.as_deref());
            (name, Function { module, parameters })
        };
        Facts {
            tracepoints: tracepoints.iter().filter_map(|name| self.tracepoint(name, &found)).collect(),
            functions: found.functions.clone().into_iter().map(function).collect(),
            similar: symbols::similar(&missing),
            no_reading: no_reading(),
            no_kprobes: no_kprobes(),
            no_fentry: (!self.own).then(|| "needs the kernel's own BTF".to_owned()),
            ..Facts::default()
        }
    }

    fn tracepoint(&self, name: &str, found: &symbols::Found) -> Option<(String, Tracepoint)> {
        let in_vmlinux = self.parameters_of_tracepoint(name, None);
        let typed = in_vmlinux.is_some() && self.own;
        if in_vmlinux.is_none() && !found.tracepoints.contains(name) {
            return None;
        }
        let module = name.starts_with("kvm_").then_some("kvm");
        let parameters = in_vmlinux.or_else(|| self.parameters_of_tracepoint(name, module));
        Some((name.to_owned(), Tracepoint { typed, parameters }))
    }

    /// Types of a tracepoint's arguments. The first parameter of the type behind it is its private data.
    pub(super) fn parameters_of_tracepoint(&self, name: &str, module: Option<&str>) -> Option<Vec<String>> {
        let part = self.of(module)?;
        let btf = part.btf();
        let typedef = btf.resolve_types_by_name(&format!("btf_trace_{name}")).ok()?.into_iter().next()?;
        let Type::Typedef(typedef) = typedef else { return None };
        let prototype = btf.chained_type_iter(&typedef).take(LONGEST_CHAIN).find_map(prototype)?;
        Some(types(btf, &prototype).into_iter().skip(1).collect())
    }

    pub(super) fn parameters_of_function(&self, name: &str, module: Option<&str>) -> Option<Vec<String>> {
        let part = self.of(module)?;
        let btf = part.btf();
        let function = btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|found| match found {
            Type::Func(function) => Some(function),
            _ => None,
        })?;
        let prototype = btf.resolve_chained_type(&function).ok().and_then(prototype)?;
        Some(types(btf, &prototype))
    }

    /// Offset of a member of a module's structure; none where the module has no BTF.
    pub fn module_offset(&self, module: &str, structure: &str, member: &str) -> Option<u32> {
        // What is built in is in the kernel's own.
        let own = self.offset(structure, member).ok();
        own.or_else(|| Some(offset(self.of(Some(module))?.btf(), structure, member).ok()? / 8))
    }

    /// Whether `kfree_skb` reports a reason: its third argument, v5.17 and later.
    pub fn has_drop_reasons(&self) -> bool {
        self.parameters_of_tracepoint("kfree_skb", None).is_some_and(|types| types.len() >= 3)
    }

    /// Names of `enum skb_drop_reason` by number, without their prefix, and of Open vSwitch's own (v6.6); empty before
    /// v5.17.
    pub fn drop_reasons(&self) -> BTreeMap<u32, String> {
        let mut reasons = members(&self.vmlinux, "skb_drop_reason");
        if let Some(module) = self.of(Some("openvswitch")) {
            reasons.extend(members(module.btf(), "ovs_drop_reason"));
        }
        let short =
            |name: String| name.trim_start_matches("SKB_DROP_REASON_").trim_start_matches("SKB_").to_owned();
        reasons.into_iter().map(|(number, name)| (number, short(name))).collect()
    }

    fn offset(&self, structure: &str, member: &str) -> Result<u32> {
        Ok(offset(&self.vmlinux, structure, member)? / 8)
    }
}

/// Names of an enum's members by number; empty where there is no such enum.
fn members(btf: &Btf, name: &str) -> BTreeMap<u32, String> {
    let types = btf.resolve_types_by_name(name).unwrap_or_default();
    let Some(Type::Enum(found)) = types.into_iter().find(|found| matches!(found, Type::Enum(_))) else {
        return BTreeMap::new();
    };
    let named = |member: &btf_rs::EnumMember| Some((member.val(), btf.resolve_name(member).ok()?));
    found.members.iter().filter_map(named).collect()
}

/// BTF of vmlinux or of a module.
enum Part<'a> {
    Vmlinux(&'a Btf),
    Module(Rc<Btf>),
}

impl Part<'_> {
    fn btf(&self) -> &Btf {
        match self {
            Part::Vmlinux(btf) => btf,
            Part::Module(btf) => btf,
        }
    }
}

fn prototype(found: Type) -> Option<FuncProto> {
    match found {
        Type::FuncProto(prototype) => Some(prototype),
        _ => None,
    }
}

/// Types of a function's arguments, in the words of the catalog.
fn types(btf: &Btf, prototype: &FuncProto) -> Vec<String> {
    prototype.parameters.iter().map(|parameter| type_name(btf, parameter, LONGEST_CHAIN)).collect()
}

/// Types that refer to one another before the last has a name: no kernel has so many, and a file's may go in a circle.
const LONGEST_CHAIN: usize = 16;

/// Name of a type, `struct` and qualifiers left out: `sk_buff **`.
fn type_name(btf: &Btf, of: &dyn BtfType, longest: usize) -> String {
    let Some(longest) = longest.checked_sub(1) else { return String::new() };
    let Ok(found) = btf.resolve_chained_type(of) else { return "void".to_owned() };
    let named = |named: &dyn BtfType| btf.resolve_name(named).unwrap_or_default();
    match &found {
        Type::Ptr(pointer) => {
            let target = type_name(btf, pointer, longest);
            let space = if target.ends_with('*') { "" } else { " " };
            format!("{target}{space}*")
        }
        Type::Const(inner) => type_name(btf, inner, longest),
        Type::Volatile(inner) => type_name(btf, inner, longest),
        Type::Restrict(inner) => type_name(btf, inner, longest),
        Type::TypeTag(inner) => type_name(btf, inner, longest),
        Type::Enum(_) | Type::Enum64(_) => {
            format!("enum {}", found.as_btf_type().map(named).unwrap_or_default())
        }
        Type::FuncProto(_) => "function".to_owned(),
        Type::Void => "void".to_owned(),
        other => other.as_btf_type().map(named).unwrap_or_default(),
    }
}

/// Offset of a structure's member, in bits.
fn offset(btf: &Btf, structure: &str, member: &str) -> Result<u32> {
    let types =
        btf.resolve_types_by_name(structure).with_context(|| format!("this kernel has no {structure}"))?;
    let found = types.iter().find_map(|found| match found {
        Type::Struct(found) => member_bits(btf, found, member, &mut BTreeSet::new()),
        _ => None,
    });
    found.ok_or_else(|| anyhow!("this kernel's struct {structure} has no member {member}"))
}

/// Bit offset of a member, also inside anonymous structures and unions; of those `seen` had none.
fn member_bits(btf: &Btf, structure: &Struct, wanted: &str, seen: &mut BTreeSet<u32>) -> Option<u32> {
    for member in &structure.members {
        let name = btf.resolve_name(member).unwrap_or_default();
        if name == wanted {
            return Some(member.bit_offset());
        }
        if !name.is_empty() || member.get_type_id().is_none_or(|id| !seen.insert(id)) {
            continue;
        }
        if let Ok(Type::Struct(inner) | Type::Union(inner)) = btf.resolve_chained_type(member)
            && let Some(bits) = member_bits(btf, &inner, wanted, seen)
        {
            return member.bit_offset().checked_add(bits);
        }
    }
    None
}

/// Where the kernel says that it has kprobes (`perf_kprobe`, v4.17 and later).
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe/type";

/// The mode of lockdown in brackets, among the others.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// `bpf_probe_read_kernel` is refused where lockdown keeps kernel memory confidential (`LOCKDOWN_BPF_READ_KERNEL`).
fn no_reading() -> Option<String> {
    let confidential = fs::read_to_string(LOCKDOWN).is_ok_and(|modes| modes.contains("[confidentiality]"));
    confidential.then(|| "no program may read kernel memory (lockdown=confidentiality)".to_owned())
}

fn no_kprobes() -> Option<String> {
    (!Path::new(KPROBES).exists()).then(|| "this kernel has no kprobes".to_owned())
}

/// Member of `pt_regs` that holds a system call's first argument.
fn first_argument_register() -> &'static str {
    if cfg!(target_arch = "aarch64") { "regs" } else { "di" }
}
