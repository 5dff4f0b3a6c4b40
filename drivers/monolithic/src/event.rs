//! A notification event: the one thing that this driver ever waits for.

use core::{cell::UnsafeCell, ptr};

use wdk_sys::{_EVENT_TYPE, _KWAIT_REASON, _MODE, IO_NO_INCREMENT, KEVENT, NTSTATUS, ntddk};

/// A `KEVENT` that stays signalled until it is cleared.
#[derive(Default)]
pub(crate) struct Event(UnsafeCell<KEVENT>);

// SAFETY: the kernel synchronises access to a KEVENT that was initialised once.
unsafe impl Sync for Event {}

impl Event {
    /// # Safety
    /// `self` stays where it is, in nonpaged memory.
    pub(crate) unsafe fn initialise(&self) {
        // SAFETY: the caller's contract.
        unsafe { ntddk::KeInitializeEvent(self.0.get(), _EVENT_TYPE::NotificationEvent, 0) };
    }

    /// IRQL <= DISPATCH_LEVEL.
    pub(crate) fn clear(&self) {
        // SAFETY: initialised.
        unsafe { ntddk::KeClearEvent(self.0.get()) };
    }

    /// IRQL <= DISPATCH_LEVEL.
    pub(crate) fn set(&self) {
        // SAFETY: initialised; Wait is FALSE, so any IRQL <= DISPATCH_LEVEL will do.
        let _was: i32 = unsafe { ntddk::KeSetEvent(self.0.get(), IO_NO_INCREMENT as i32, 0) };
    }

    /// Waits until the event is signalled. PASSIVE_LEVEL.
    pub(crate) fn wait(&self) {
        // SAFETY: initialised; called from PnP and power callbacks only, at PASSIVE_LEVEL.
        let _waited: NTSTATUS = unsafe {
            ntddk::KeWaitForSingleObject(
                self.0.get().cast(),
                _KWAIT_REASON::Executive,
                _MODE::KernelMode as i8,
                0,
                ptr::null_mut(),
            )
        };
    }
}
