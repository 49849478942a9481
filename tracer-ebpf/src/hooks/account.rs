//! The account of each vCPU: every turn from guest to host and back, and every time that its thread loses the CPU,
//! charges the time since the last one. Only the vCPU's own thread, or the scheduler on its behalf, changes it.

use tracer_common::account::{
    ACCOUNT_SLOTS, Account, IN_GUEST, STATE_INSIDE, STATE_OUTSIDE, Slot, UNTOLD, slot_of,
};

use crate::{context, globals, maps};

/// A vCPU left its guest, as the tracepoint's record tells.
#[inline(always)]
pub fn left(isa: u32, reason: u32) -> i32 {
    let tid = context::current_thread();
    // SAFETY: only this thread changes the value.
    let exit_ns = unsafe { maps::VCPU_EXITS.get(&tid) }.copied().unwrap_or(0);
    leave(tid, slot_of(isa, reason), exit_ns);
    0
}

/// A vCPU left its guest; counts only where no record does, which tells more.
#[inline(always)]
pub fn left_untold() {
    let (record, _) = globals::exit_record();
    if record == 0 {
        leave(context::current_thread(), UNTOLD, 0);
    }
}

/// Since the last turn the vCPU was in its guest, even if that was an exit too: then KVM went in again at once, without
/// `kvm_entry` (`EXIT_FASTPATH_REENTER_GUEST`, v5.8 and later). `exit_ns` is when the raw tracepoint's program last saw
/// an exit. If that is this one, it counts: what that program cost is not the guest's time.
#[inline(always)]
fn leave(tid: u32, slot: u32, exit_ns: u64) {
    let Some(account) = find(tid) else { return };
    // SAFETY: a map's value, which this thread alone changes while it runs.
    unsafe {
        let now = if exit_ns > (*account).since_ns { exit_ns } else { context::now() };
        turn(account, IN_GUEST, now);
        (*account).state = STATE_OUTSIDE;
        (*account).reason = slot;
        (*slot_mut(account, slot)).count += 1;
    }
}

/// A vCPU is about to enter its guest.
#[inline(always)]
pub fn entered() {
    let Some(account) = find(context::current_thread()) else { return };
    // SAFETY: as above.
    unsafe {
        turn(account, Account::slot_at_hand((*account).state, (*account).reason), context::now());
        (*account).state = STATE_INSIDE;
        (*account).reason = UNTOLD;
        (*slot_mut(account, IN_GUEST)).count += 1;
    }
}

/// A vCPU's thread loses the CPU.
#[inline(always)]
pub fn parked(tid: u32) {
    let Some(account) = find(tid) else { return };
    // SAFETY: as above; the thread runs until the scheduler has switched.
    unsafe { (*account).off_since_ns = context::now() };
}

/// A vCPU's thread gets the CPU again.
#[inline(always)]
pub fn resumed(tid: u32) {
    let Some(account) = find(tid) else { return };
    // SAFETY: as above; the thread does not run before the scheduler has switched.
    unsafe {
        let since = (*account).off_since_ns;
        if since != 0 {
            let slot = slot_mut(account, Account::slot_at_hand((*account).state, (*account).reason));
            (*slot).off_ns += context::now() - since;
            (*account).off_since_ns = 0;
        }
    }
}

#[inline(always)]
fn find(tid: u32) -> Option<*mut Account> {
    maps::ACCOUNTS.get_ptr_mut(&tid)
}

/// Charges the time from the last turn to `now` to `slot`, and starts anew.
///
/// # Safety
/// The account is valid and nobody else changes it.
#[inline(always)]
unsafe fn turn(account: *mut Account, slot: u32, now: u64) {
    // SAFETY: the caller's.
    unsafe {
        (*slot_mut(account, slot)).ns += now - (*account).since_ns;
        (*account).since_ns = now;
    }
}

/// # Safety
/// The account is valid.
#[inline(always)]
unsafe fn slot_mut(account: *mut Account, slot: u32) -> *mut Slot {
    // SAFETY: masked, so that the verifier knows that it is within.
    unsafe { (&raw mut (*account).slots).cast::<Slot>().add(slot as usize & (ACCOUNT_SLOTS - 1)) }
}
