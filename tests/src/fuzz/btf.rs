//! BTF, which may come from a file (`--btf`): no types, however they refer to each other, make the plan hang or panic.

use tracer::plan::fuzz;

pub(super) fn run(bytes: &[u8]) {
    fuzz::btf(bytes);
}

const INT: u32 = 1;
const PTR: u32 = 2;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

/// BTF as it is put together: types, and the names in them.
struct Writer {
    types: Vec<u32>,
    names: Vec<u8>,
}

impl Writer {
    fn new() -> Writer {
        Writer { types: Vec::new(), names: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.bytes().chain([0]));
        if name.is_empty() { 0 } else { at }
    }

    /// A type of this kind: its size or what it refers to, and what it is made of.
    fn kind(&mut self, kind: u32, name: &str, value: u32, parts: &[&[u32]]) {
        let name = self.name(name);
        let count = if matches!(kind, STRUCT | ENUM | FUNC_PROTO) { parts.len() as u32 } else { 0 };
        self.types.extend([name, kind << 24 | count, value]);
        self.types.extend(parts.concat());
    }

    /// A structure whose members are 64 bits each, of a type.
    fn structure(&mut self, name: &str, members: &[(&str, u32)]) {
        let parts: Vec<[u32; 3]> =
            (0..).zip(members).map(|(number, (name, of))| [self.name(name), *of, number * 64]).collect();
        let parts: Vec<&[u32]> = parts.iter().map(<[u32; 3]>::as_slice).collect();
        self.kind(STRUCT, name, members.len() as u32 * 8, &parts);
    }

    fn finish(self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let lengths =
            [24, 0, types.len(), types.len(), self.names.len()].map(|length| (length as u32).to_le_bytes());
        [&[0x9f, 0xeb, 1, 0][..], &lengths.concat(), &types, &self.names].concat()
    }
}

/// What the plan needs of a kernel, and types that refer to themselves.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![
        kernel(),
        pointer_to_itself(),
        constant_of_itself(),
        structure_in_itself(),
        Writer::new().finish(),
        Vec::new(),
    ]
}

fn kernel() -> Vec<u8> {
    let mut btf = Writer::new();
    btf.kind(INT, "int", 4, &[&[32]]); // 1
    let members = ["dev", "len", "data_len", "head", "data", "mac_header", "protocol"].map(|name| (name, 1));
    btf.structure("", &members); // 2
    btf.structure("sk_buff", &[("first", 1), ("", 2)]); // 3
    btf.kind(PTR, "", 3, &[]); // 4
    btf.structure("net_device", &[("ifindex", 1), ("nd_net", 1)]);
    btf.structure("net", &[("ns", 1)]);
    btf.structure("ns_common", &[("inum", 1)]);
    btf.structure("task_struct", &[("pid", 1)]);
    btf.structure("pt_regs", &["di", "si", "dx", "cx", "r8", "r9"].map(|name| (name, 1)));
    let [not, one] = ["SKB_NOT_DROPPED_YET", "SKB_DROP_REASON_NO_SOCKET"].map(|name| btf.name(name));
    btf.kind(ENUM, "skb_drop_reason", 4, &[&[not, 0], &[one, 3]]); // 10
    btf.kind(FUNC_PROTO, "", 0, &[&[0, 4], &[0, 4], &[0, 4], &[0, 10]]); // 11
    btf.kind(PTR, "", 11, &[]); // 12
    for tracepoint in ["kfree_skb", "netif_receive_skb", "net_dev_queue"] {
        btf.kind(TYPEDEF, &format!("btf_trace_{tracepoint}"), 12, &[]);
    }
    for function in ["ip_forward", "br_handle_frame", "tun_net_xmit"] {
        btf.kind(FUNC, function, 11, &[]);
    }
    btf.finish()
}

/// A function whose argument is a pointer to a pointer to … .
fn pointer_to_itself() -> Vec<u8> {
    let mut btf = Writer::new();
    btf.kind(PTR, "", 1, &[]);
    btf.kind(FUNC_PROTO, "", 0, &[&[0, 1]]);
    btf.kind(FUNC, "ip_forward", 2, &[]);
    btf.finish()
}

/// A tracepoint of a constant constant … .
fn constant_of_itself() -> Vec<u8> {
    let mut btf = Writer::new();
    btf.kind(CONST, "", 1, &[]);
    btf.kind(TYPEDEF, "btf_trace_kfree_skb", 1, &[]);
    btf.finish()
}

/// A structure that is a nameless member of itself.
fn structure_in_itself() -> Vec<u8> {
    let mut btf = Writer::new();
    btf.structure("sk_buff", &[("first", 1), ("", 1)]);
    btf.finish()
}
