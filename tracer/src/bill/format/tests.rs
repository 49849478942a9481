use super::*;

/// As v5.10 has it.
const V5_10: &str = r#"name: kvm_exit
ID: 1570
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned int exit_reason;	offset:8;	size:4;	signed:0;
	field:unsigned long guest_rip;	offset:16;	size:8;	signed:0;
	field:u32 isa;	offset:24;	size:4;	signed:0;
	field:u64 info1;	offset:32;	size:8;	signed:0;
	field:u64 info2;	offset:40;	size:8;	signed:0;
	field:u32 intr_info;	offset:48;	size:4;	signed:0;
	field:u32 error_code;	offset:52;	size:4;	signed:0;
	field:unsigned int vcpu_id;	offset:56;	size:4;	signed:0;

print fmt: "vcpu %u reason %s%s%s rip 0x%lx info1 0x%016llx info2 0x%016llx intr_info 0x%08x error_code 0x%08x", REC->vcpu_id, (REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 0, "EXCEPTION_NMI" }, { 1, "EXTERNAL_INTERRUPT" }, { 12, "HLT" }, { 30, "IO_INSTRUCTION" }, { 49, "EPT_MISCONFIG" }) : __print_symbolic(REC->exit_reason, { 0x000, "read_cr0" }, { 0x040 + 0, "DE excp" }, { 0x040 + 14, "PF excp" }, { 0x060, "interrupt" }, { 0x078, "hlt" }, { 0x07b, "io" }, { 0x400, "npf" }, { 0x401, "avic_incomplete_ipi" }, { -1, "invalid_guest_state" }), (REC->isa == 1 && REC->exit_reason & ~0xffff) ? " " : "", (REC->isa == 1) ? __print_flags(REC->exit_reason & ~0xffff, " ", { 0x80000000, "FAILED_VMENTRY" }) : "", REC->guest_rip, REC->info1, REC->info2, REC->intr_info, REC->error_code
"#;

/// As v6.12 has it: SVM's codes of encrypted guests, a further field, and another order of the fields.
const V6_12: &str = r#"name: kvm_exit
ID: 2050
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned int exit_reason;	offset:8;	size:4;	signed:0;
	field:unsigned long guest_rip;	offset:16;	size:8;	signed:0;
	field:u32 isa;	offset:28;	size:4;	signed:0;
	field:u64 requests;	offset:64;	size:8;	signed:0;

print fmt: "vcpu %u reason %s%s%s rip 0x%lx info1 0x%016llx info2 0x%016llx intr_info 0x%08x error_code 0x%08x requests 0x%016llx", REC->vcpu_id, (REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 12, "HLT" }, { 75, "NOTIFY" }) : __print_symbolic(REC->exit_reason, { 0x078, "hlt" }, { 0x0a6, "idle-halt" }, { 0x400, "npf" }, { 0x403, "vmgexit" }, { 0x80000001, "vmgexit_mmio_read" }, { -1, "invalid_guest_state" }), (REC->isa == 1 && REC->exit_reason & ~0xffff) ? " " : "", (REC->isa == 1) ? __print_flags(REC->exit_reason & ~0xffff, " ", { 0x80000000, "FAILED_VMENTRY" }) : "", REC->guest_rip, REC->info1, REC->info2, REC->intr_info, REC->error_code, REC->requests
"#;

fn name(format: &ExitFormat, isa: u32, code: u32) -> Option<&str> {
    format.names.get(&isa)?.get(&code).map(String::as_str)
}

#[test]
fn a_format_of_5_10_names_the_reasons_of_both_sets() {
    let format = parse(V5_10).unwrap();
    assert_eq!(format.record, ExitRecord { reason: 8, isa: 24 });
    for (isa, code, expected) in [
        (ISA_VMX, 0, Some("EXCEPTION_NMI")),
        (ISA_VMX, 12, Some("HLT")),
        (ISA_VMX, 49, Some("EPT_MISCONFIG")),
        (ISA_VMX, 0x78, None),
        (ISA_SVM, 0, Some("read_cr0")),
        (ISA_SVM, 0x40, Some("DE excp")),
        (ISA_SVM, 0x4e, Some("PF excp")),
        (ISA_SVM, 0x78, Some("hlt")),
        (ISA_SVM, 0x400, Some("npf")),
        (ISA_SVM, u32::MAX, Some("invalid_guest_state")),
        (ISA_SVM, 0x8000_0000, None),
    ] {
        assert_eq!(name(&format, isa, code), expected, "{isa} {code:#x}");
    }
    assert_eq!(format.names.keys().copied().collect::<Vec<_>>(), [ISA_VMX, ISA_SVM]);
}

#[test]
fn a_format_of_6_12_has_its_own_offsets_and_names() {
    let format = parse(V6_12).unwrap();
    assert_eq!(format.record, ExitRecord { reason: 8, isa: 28 });
    assert_eq!(name(&format, ISA_SVM, 0xa6), Some("idle-halt"));
    assert_eq!(name(&format, ISA_SVM, 0x8000_0001), Some("vmgexit_mmio_read"));
    assert_eq!(name(&format, ISA_VMX, 75), Some("NOTIFY"));
}

#[test]
fn a_format_without_a_reason_is_none() {
    // As on arm64.
    let other = V5_10.replace("exit_reason;", "ret;");
    assert_eq!(parse(&other), None);
    assert_eq!(parse(&V5_10.replace("u32 isa;", "u32 set;")), None);
    assert_eq!(parse(&V5_10.replace("exit_reason;	offset:8;	size:4", "exit_reason;	offset:8;	size:2")), None);
    assert_eq!(parse(""), None);
}

#[test]
fn a_format_without_names_still_tells_numbers() {
    let cut = V5_10.split("print fmt").next().unwrap();
    let format = parse(cut).unwrap();
    assert!(format.names.is_empty());
    assert_eq!(format.record.reason, 8);
}

#[test]
fn a_format_cut_anywhere_does_no_harm() {
    for end in (0..V5_10.len()).filter(|end| V5_10.is_char_boundary(*end)) {
        let _ = parse(&V5_10[..end]);
    }
}

#[test]
fn a_value_is_a_sum_of_constants() {
    for (text, expected) in [
        (" 12", Some(12)),
        (" 0x040 + 13", Some(77)),
        (" -1", Some(u32::MAX)),
        (" 0x80000001", Some(0x8000_0001)),
        (" 3UL", Some(3)),
        (" EXIT_REASON_HLT", None),
        ("", None),
    ] {
        assert_eq!(sum(text), expected, "{text}");
    }
}
