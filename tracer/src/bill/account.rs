//! From the account that BPF programs keep of a vCPU to times: what is still open is charged up to now.

use std::collections::BTreeMap;

use tracer_common::account::{
    self, Account, BEFORE, IN_GUEST, OTHER, STATE_INSIDE, STATE_UNKNOWN, Slot, UNTOLD,
};

use crate::recording::ExitReason;

/// Where a vCPU was since its account was opened. The parts add up to the time since then, unless it never turned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuTimes {
    /// Entries.
    pub entries: u64,
    /// Time in guest mode, ns.
    pub guest_ns: u64,
    /// Times outside.
    pub exits: BTreeMap<ExitReason, Slot>,
    /// Time of which nothing is known, since neither an exit nor an entry was seen, ns.
    pub unknown_ns: u64,
}

/// Whether the account was copied while a program changed it: then what it holds is not what it stands for.
pub fn is_torn(account: &Account, opened_ns: u64) -> bool {
    charged(account) != account.since_ns.wrapping_sub(opened_ns)
}

fn charged(account: &Account) -> u64 {
    account.slots.iter().fold(0, |sum, slot| sum.wrapping_add(slot.ns))
}

/// The account at `now_ns`. All times are ns of `CLOCK_MONOTONIC`.
pub fn settle(account: &Account, opened_ns: u64, now_ns: u64) -> VcpuTimes {
    let mut times = VcpuTimes::default();
    for (slot, entry) in (0..).zip(&account.slots).filter(|(_, entry)| **entry != Slot::default()) {
        if slot == IN_GUEST {
            (times.entries, times.guest_ns) = (entry.count, entry.ns);
        } else {
            add(&mut times, slot, *entry);
        }
    }
    // Whatever was copied halfway, the parts stay the whole.
    let open_ns = now_ns.saturating_sub(opened_ns).saturating_sub(charged(account));
    let off_ns = match account.off_since_ns {
        0 => 0,
        since => now_ns.saturating_sub(since).min(open_ns),
    };
    match account.state {
        STATE_UNKNOWN => times.unknown_ns = open_ns,
        STATE_INSIDE => times.guest_ns += open_ns,
        _ => add(&mut times, account.reason, Slot { count: 0, ns: open_ns, off_ns }),
    }
    times
}

fn add(times: &mut VcpuTimes, slot: u32, more: Slot) {
    let entry = times.exits.entry(reason(slot)).or_default();
    entry.count += more.count;
    entry.ns += more.ns;
    entry.off_ns += more.off_ns;
}

fn reason(slot: u32) -> ExitReason {
    match (slot, account::reason_of(slot)) {
        (_, Some((isa, code))) => ExitReason::Told { isa, code },
        (BEFORE, None) => ExitReason::Before,
        (UNTOLD, None) => ExitReason::Untold,
        (OTHER.., None) | (IN_GUEST, None) => ExitReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::account::{ISA_SVM, STATE_OUTSIDE, slot_of};

    use super::*;

    const HLT: ExitReason = ExitReason::Told { isa: ISA_SVM, code: 0x78 };

    fn account() -> Account {
        let mut account = Account::opened(1_000);
        account.slots[IN_GUEST as usize] = Slot { count: 2, ns: 300, off_ns: 0 };
        account.slots[slot_of(ISA_SVM, 0x78) as usize] = Slot { count: 2, ns: 600, off_ns: 500 };
        account.slots[BEFORE as usize] = Slot { count: 0, ns: 100, off_ns: 0 };
        account.since_ns = 2_000;
        account.state = STATE_OUTSIDE;
        account.reason = slot_of(ISA_SVM, 0x78);
        account
    }

    fn sum(times: &VcpuTimes) -> u64 {
        times.guest_ns + times.unknown_ns + times.exits.values().map(|slot| slot.ns).sum::<u64>()
    }

    #[test]
    fn what_is_open_is_charged_up_to_now() {
        let mut account = account();
        account.off_since_ns = 2_100;
        let times = settle(&account, 1_000, 2_500);
        assert_eq!(times.exits[&HLT], Slot { count: 2, ns: 1_100, off_ns: 900 });
        assert_eq!(times.exits[&ExitReason::Before].ns, 100);
        assert_eq!((times.entries, times.guest_ns, sum(&times)), (2, 300, 1_500));
        account.state = STATE_INSIDE;
        assert_eq!(settle(&account, 1_000, 2_500).guest_ns, 800);
    }

    #[test]
    fn a_vcpu_that_never_turned_is_unknown() {
        let times = settle(&Account::opened(5), 5, 105);
        assert_eq!(times, VcpuTimes { unknown_ns: 100, ..VcpuTimes::default() });
    }

    #[test]
    fn a_torn_copy_is_found_and_still_adds_up() {
        let mut account = account();
        assert!(!is_torn(&account, 1_000));
        // The slot was written, the time of the turn not yet.
        account.slots[slot_of(ISA_SVM, 0x78) as usize].ns += 250;
        assert!(is_torn(&account, 1_000));
        assert_eq!(sum(&settle(&account, 1_000, 2_500)), 1_500);
    }

    #[test]
    fn reasons_beyond_the_slots_are_one() {
        let mut account = Account::opened(0);
        account.slots[OTHER as usize].count = 1;
        account.slots[511].count = 2;
        account.slots[UNTOLD as usize].count = 4;
        let times = settle(&account, 0, 0);
        assert_eq!((times.exits[&ExitReason::Other].count, times.exits[&ExitReason::Untold].count), (3, 4));
    }
}
