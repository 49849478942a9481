//! The account of a vCPU: how long it was in its guest, and how long outside for which of KVM's reasons. The BPF
//! programs keep it, one a thread, instead of sending a record an exit: a busy guest has hundreds of thousands a second.

/// Slots of an account. A power of two, so that a masked number is within for the verifier.
pub const ACCOUNT_SLOTS: usize = 512;

/// In guest mode; its count is that of entries.
pub const IN_GUEST: u32 = 0;
/// Outside the guest since before the account was opened.
pub const BEFORE: u32 = 1;
/// Outside for a reason that nothing told.
pub const UNTOLD: u32 = 2;
/// Outside for a reason that has no slot of its own.
pub const OTHER: u32 = 3;

/// The record's `isa` of Intel's VMX: `KVM_ISA_VMX`, arch/x86/kvm/trace.h.
pub const ISA_VMX: u32 = 1;
/// The record's `isa` of AMD's SVM: `KVM_ISA_SVM`.
pub const ISA_SVM: u32 = 2;

/// Runs of reasons that have slots: which set, first reason, first slot, how many.
const RUNS: [(u32, u32, u32, u32); 5] = [
    // Basic exit reasons (Intel SDM volume 3, appendix C); 85 is the last in v7.3.
    (ISA_VMX, 0, 16, 128),
    // `SVM_EXIT_*`, arch/x86/include/uapi/asm/svm.h.
    (ISA_SVM, 0, 144, 256),
    (ISA_SVM, 0x400, 400, 32),
    (ISA_SVM, 0x8000_0000, 432, 32),
    (ISA_SVM, u32::MAX, 464, 1),
];

/// The slot of an exit's reason. VMX flags, such as that of a failed entry, are above the reason's 16 bits.
#[inline(always)]
pub const fn slot_of(isa: u32, reason: u32) -> u32 {
    let reason = if isa == ISA_VMX { reason & 0xffff } else { reason };
    let mut run = 0;
    while run < RUNS.len() {
        let (set, first, slot, count) = RUNS[run];
        if isa == set && reason.wrapping_sub(first) < count {
            return slot + reason.wrapping_sub(first);
        }
        run += 1;
    }
    OTHER
}

/// The set and reason of a slot; `None` for those that stand for no single reason.
pub const fn reason_of(slot: u32) -> Option<(u32, u32)> {
    let mut run = 0;
    while run < RUNS.len() {
        let (set, first, start, count) = RUNS[run];
        if slot.wrapping_sub(start) < count {
            return Some((set, first.wrapping_add(slot - start)));
        }
        run += 1;
    }
    None
}

/// One slot of an account.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// How often.
    pub count: u64,
    /// How long, ns of `CLOCK_MONOTONIC`.
    pub ns: u64,
    /// Of this, how long the thread had no CPU, ns.
    pub off_ns: u64,
}

/// Where a vCPU is: not seen yet.
pub const STATE_UNKNOWN: u32 = 0;
/// In its guest.
pub const STATE_INSIDE: u32 = 1;
/// Outside.
pub const STATE_OUTSIDE: u32 = 2;

/// The account of one vCPU. All its time from the opening to `since_ns` is in some slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Since when the vCPU is where it is, ns of `CLOCK_MONOTONIC`; set to the time of the opening.
    pub since_ns: u64,
    /// Since when its thread has no CPU, ns of `CLOCK_MONOTONIC`; 0: it has one, or that is not known.
    pub off_since_ns: u64,
    /// `STATE_*`.
    pub state: u32,
    /// Slot of the exit that the vCPU is outside for.
    pub reason: u32,
    /// By slot.
    pub slots: [Slot; ACCOUNT_SLOTS],
}

const _: () = assert!(size_of::<Account>() == 24 + ACCOUNT_SLOTS * 24 && ACCOUNT_SLOTS.is_power_of_two());

impl Account {
    /// An account opened at this time.
    pub const fn opened(now_ns: u64) -> Account {
        let empty = Slot { count: 0, ns: 0, off_ns: 0 };
        Account {
            since_ns: now_ns,
            off_since_ns: 0,
            state: STATE_UNKNOWN,
            reason: UNTOLD,
            slots: [empty; ACCOUNT_SLOTS],
        }
    }

    /// The slot that the time since `since_ns` belongs to, if the vCPU turns from outside to inside next.
    pub const fn slot_at_hand(state: u32, reason: u32) -> u32 {
        match state {
            STATE_UNKNOWN => BEFORE,
            STATE_OUTSIDE => reason,
            _ => IN_GUEST,
        }
    }
}

/// Where the record of the tracepoint `kvm:kvm_exit` keeps what is read of it, bytes from its start.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitRecord {
    /// `exit_reason`; 0: the record is not read.
    pub reason: u32,
    /// `isa`; 0: it has none.
    pub isa: u32,
}

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C) structs of integers without padding; every bit pattern is valid.
    unsafe impl aya::Pod for super::Account {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::ExitRecord {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gives_its_reason_back() {
        for (isa, reason) in [
            (ISA_VMX, 0),
            (ISA_VMX, 12),
            (ISA_VMX, 85),
            (ISA_SVM, 0),
            (ISA_SVM, 0x78),
            (ISA_SVM, 0x400),
            (ISA_SVM, 0x403),
            (ISA_SVM, 0x8000_0001),
            (ISA_SVM, u32::MAX),
        ] {
            let slot = slot_of(isa, reason);
            assert!((slot as usize) < ACCOUNT_SLOTS);
            assert_eq!(reason_of(slot), Some((isa, reason)));
        }
    }

    #[test]
    fn flags_of_vmx_are_no_part_of_the_reason() {
        assert_eq!(slot_of(ISA_VMX, 0x8000_0021), slot_of(ISA_VMX, 33));
    }

    #[test]
    fn what_has_no_slot_is_other() {
        for (isa, reason) in [(ISA_VMX, 128), (ISA_SVM, 0x100), (ISA_SVM, 0x420), (0, 12), (7, 12)] {
            assert_eq!(slot_of(isa, reason), OTHER, "{isa} {reason:#x}");
        }
        for slot in [IN_GUEST, BEFORE, UNTOLD, OTHER, 15, 465, 511, 512, u32::MAX] {
            assert_eq!(reason_of(slot), None, "{slot}");
        }
    }

    #[test]
    fn no_two_reasons_share_a_slot() {
        let mut used = [false; ACCOUNT_SLOTS];
        for (_, _, start, count) in RUNS {
            for slot in start..start + count {
                assert!(slot > OTHER && !used[slot as usize]);
                used[slot as usize] = true;
            }
        }
    }
}
