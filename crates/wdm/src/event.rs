//! Events that a driver waits for, where it may wait at all: at PASSIVE_LEVEL, never in the I/O path.

use core::{cell::UnsafeCell, ptr};

use wdk_sys::{
    _EVENT_TYPE, _KWAIT_REASON, _MODE, IO_NO_INCREMENT, KEVENT, LARGE_INTEGER, NTSTATUS, PKEVENT,
    STATUS_SUCCESS, ntddk,
};

use crate::time::from_now;

/// A notification event: once set it stays set. Initialise it in place before use; it must not move
/// afterwards.
#[derive(Default)]
pub struct Event(UnsafeCell<KEVENT>);

// SAFETY: the kernel synchronises access to a KEVENT that was initialised once.
unsafe impl Sync for Event {}

impl Event {
    /// # Safety
    /// `self` stays where it is, in nonpaged memory, for as long as anybody sets it or waits for it.
    pub unsafe fn initialise(&self) {
        // SAFETY: the caller's contract.
        unsafe { ntddk::KeInitializeEvent(self.0.get(), _EVENT_TYPE::NotificationEvent, 0) };
    }

    /// For the I/O manager's functions that set an event of their caller's.
    pub const fn as_ptr(&self) -> PKEVENT {
        self.0.get()
    }

    /// Lets everybody go on who waits, and who will. IRQL <= DISPATCH_LEVEL.
    pub fn set(&self) {
        // SAFETY: initialised; Wait is FALSE, so any IRQL <= DISPATCH_LEVEL will do.
        let _was: i32 = unsafe { ntddk::KeSetEvent(self.0.get(), IO_NO_INCREMENT as i32, 0) };
    }

    /// Waits until the event is set. PASSIVE_LEVEL.
    pub fn wait(&self) {
        self.wait_until(ptr::null_mut());
    }

    /// The same, for at most `ms` milliseconds; false if they passed. PASSIVE_LEVEL.
    pub fn wait_for(&self, ms: u32) -> bool {
        let mut timeout = from_now(ms);
        self.wait_until(&raw mut timeout) == STATUS_SUCCESS
    }

    fn wait_until(&self, timeout: *mut LARGE_INTEGER) -> NTSTATUS {
        // SAFETY: initialised; the functions above are called at PASSIVE_LEVEL, not alertable, so only
        // the event or the timeout end the wait.
        unsafe {
            ntddk::KeWaitForSingleObject(
                self.0.get().cast(),
                _KWAIT_REASON::Executive,
                _MODE::KernelMode as i8,
                0,
                timeout,
            )
        }
    }
}
