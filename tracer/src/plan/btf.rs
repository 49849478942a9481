//! What the running kernel's BTF says: structure offsets, tracepoints, names of drop reasons.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, anyhow};
use btf_rs::{Btf, Struct, Type};
use tracer_common::config::Offsets;

use crate::plan::Facts;

/// Where kernels since v5.4 built with `CONFIG_DEBUG_INFO_BTF` keep it.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// A kernel's BTF.
pub struct KernelBtf(Btf);

impl KernelBtf {
    /// Reads the running kernel's BTF.
    ///
    /// # Errors
    /// A kernel without BTF; the error says what to do.
    pub fn load() -> Result<KernelBtf> {
        let btf = Btf::from_file(VMLINUX).with_context(|| {
            format!("failed to read the kernel's type information {VMLINUX}: a kernel with CONFIG_DEBUG_INFO_BTF is needed (all current distributions' are)")
        })?;
        Ok(KernelBtf(btf))
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
            skb_data: self.offset("sk_buff", "data")?,
            skb_mac_header: self.offset("sk_buff", "mac_header")?,
            skb_protocol: self.offset("sk_buff", "protocol")?,
            dev_ifindex: self.offset("net_device", "ifindex")?,
            dev_net: self.offset("net_device", "nd_net")?,
            net_inum: self.offset("net", "ns")? + self.offset("ns_common", "inum")?,
            task_pid: self.offset("task_struct", "pid")?,
            regs_arg0: self.offset("pt_regs", first_argument_register())?,
        })
    }

    /// What the plan must know of this kernel.
    pub fn facts(&self) -> Facts {
        let exists = |name: &&str| {
            self.0.resolve_ids_by_name(&format!("btf_trace_{name}")).is_ok_and(|ids| !ids.is_empty())
        };
        let names = crate::plan::catalog::CATALOG.iter().filter_map(|program| program.tracepoint());
        Facts {
            tracepoints: names.filter(exists).map(str::to_owned).collect(),
            kvm: Path::new("/sys/module/kvm").exists() || exists(&"kvm_entry"),
            ..Facts::default()
        }
    }

    /// Whether `kfree_skb` reports a reason: its third argument, v5.17 and later.
    pub fn has_drop_reasons(&self) -> bool {
        // The first parameter of the type behind a tracepoint is its private data.
        self.tracepoint_parameters("btf_trace_kfree_skb").is_some_and(|count| count >= 4)
    }

    fn tracepoint_parameters(&self, name: &str) -> Option<usize> {
        let typedef = self.0.resolve_types_by_name(name).ok()?.into_iter().next()?;
        let Type::Typedef(typedef) = typedef else { return None };
        self.0.chained_type_iter(&typedef).find_map(|step| match step {
            Type::FuncProto(prototype) => Some(prototype.parameters.len()),
            _ => None,
        })
    }

    /// Names of `enum skb_drop_reason` by number, without their prefix; empty before v5.17.
    pub fn drop_reasons(&self) -> BTreeMap<u32, String> {
        let types = self.0.resolve_types_by_name("skb_drop_reason").unwrap_or_default();
        let Some(Type::Enum(reasons)) = types.into_iter().find(|found| matches!(found, Type::Enum(_))) else {
            return BTreeMap::new();
        };
        let name = |member: &btf_rs::EnumMember| {
            let name = self.0.resolve_name(member).ok()?;
            let short = name.trim_start_matches("SKB_DROP_REASON_").trim_start_matches("SKB_").to_owned();
            Some((member.val(), short))
        };
        reasons.members.iter().filter_map(name).collect()
    }

    fn offset(&self, structure: &str, member: &str) -> Result<u32> {
        let types = self
            .0
            .resolve_types_by_name(structure)
            .with_context(|| format!("this kernel has no {structure}"))?;
        let found = types.iter().find_map(|found| match found {
            Type::Struct(found) => self.member_bits(found, member),
            _ => None,
        });
        let bits = found.ok_or_else(|| anyhow!("this kernel's struct {structure} has no member {member}"))?;
        Ok(bits / 8)
    }

    /// Bit offset of a member, also inside anonymous structures and unions.
    fn member_bits(&self, structure: &Struct, wanted: &str) -> Option<u32> {
        for member in &structure.members {
            let name = self.0.resolve_name(member).unwrap_or_default();
            if name == wanted {
                return Some(member.bit_offset());
            }
            if !name.is_empty() {
                continue;
            }
            if let Ok(Type::Struct(inner) | Type::Union(inner)) = self.0.resolve_chained_type(member)
                && let Some(bits) = self.member_bits(&inner, wanted)
            {
                return Some(member.bit_offset() + bits);
            }
        }
        None
    }
}

/// Member of `pt_regs` that holds a system call's first argument.
fn first_argument_register() -> &'static str {
    if cfg!(target_arch = "aarch64") { "regs" } else { "di" }
}
