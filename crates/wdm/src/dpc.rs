//! DPCs and timers embedded in the structures that they serve.
//!
//! Raw KDPC and KTIMER rather than WDFDPC and WDFTIMER, for the reason given at
//! [`crate::lock::SpinLock`].

use core::cell::UnsafeCell;

use wdk_sys::{KDPC, KTIMER, PKDEFERRED_ROUTINE, PVOID, ntddk};

use crate::time::from_now;

/// A deferred procedure call. Initialise it in place before use; it must not move afterwards.
#[derive(Default)]
pub struct Dpc(UnsafeCell<KDPC>);

/// A one-shot timer that queues a [`Dpc`]. Initialise it in place before use.
#[derive(Default)]
pub struct Timer(UnsafeCell<KTIMER>);

// SAFETY: the kernel synchronises access to a KDPC that was initialised once.
unsafe impl Sync for Dpc {}
// SAFETY: as above, for a KTIMER.
unsafe impl Sync for Timer {}

impl Dpc {
    /// # Safety
    /// `self` stays where it is until the last call has run, and `routine` may be called with
    /// `context` for as long.
    pub unsafe fn initialise(&self, routine: PKDEFERRED_ROUTINE, context: PVOID) {
        // SAFETY: the caller's contract; the memory is nonpaged.
        unsafe { ntddk::KeInitializeDpc(self.0.get(), routine, context) };
    }

    /// Queues the call; a call already queued stays queued once.
    pub fn queue(&self) {
        let nothing = core::ptr::null_mut();
        // SAFETY: initialised before the engine goes to work; any IRQL.
        let _already: u8 = unsafe { ntddk::KeInsertQueueDpc(self.0.get(), nothing, nothing) };
    }
}

impl Timer {
    /// # Safety
    /// `self` stays where it is for as long as it may be set.
    pub unsafe fn initialise(&self) {
        // SAFETY: the caller's contract.
        unsafe { ntddk::KeInitializeTimer(self.0.get()) };
    }

    /// Queues `dpc` after `ms` milliseconds. IRQL <= DISPATCH_LEVEL.
    pub fn start(&self, ms: u32, dpc: &Dpc) {
        let due = from_now(ms);
        // SAFETY: both were initialised and outlive the timer (the rundown and KeFlushQueuedDpcs).
        let _was_set: u8 = unsafe { ntddk::KeSetTimer(self.0.get(), due, dpc.0.get()) };
    }

    /// Stops the timer; true if it was set and its DPC has not been queued.
    pub fn cancel(&self) -> bool {
        // SAFETY: initialised; IRQL <= DISPATCH_LEVEL.
        let was_set = unsafe { ntddk::KeCancelTimer(self.0.get()) };
        was_set != 0
    }
}

/// Waits until every DPC queued before has run. PASSIVE_LEVEL.
pub fn flush() {
    // SAFETY: called from PnP callbacks only, at PASSIVE_LEVEL.
    unsafe { ntddk::KeFlushQueuedDpcs() };
}
