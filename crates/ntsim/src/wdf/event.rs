//! A notification event of the framework's own.

use core::cell::UnsafeCell;

use crate::abi::{
    _EVENT_TYPE, _KWAIT_REASON, KEVENT, LARGE_INTEGER, NTSTATUS, PKEVENT, STATUS_TIMEOUT,
};
use crate::ntddk;

/// A kernel event at a fixed address.
pub(crate) struct Event(Box<UnsafeCell<KEVENT>>);

// SAFETY: an event is made to be shared; the kernel synchronises every access to it.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not set and stays set once it is.
    pub(crate) fn new() -> Self {
        Self::of(_EVENT_TYPE::NotificationEvent, false)
    }

    /// An event that lets one waiter through and is then not set again.
    pub(crate) fn synchronization(set: bool) -> Self {
        Self::of(_EVENT_TYPE::SynchronizationEvent, set)
    }

    fn of(kind: _EVENT_TYPE::Type, set: bool) -> Self {
        let event = Self(Box::new(UnsafeCell::new(KEVENT::default())));
        // SAFETY: the memory is ours and stays where it is.
        unsafe { ntddk::KeInitializeEvent(event.pointer(), kind, u8::from(set)) };
        event
    }

    pub(crate) fn pointer(&self) -> PKEVENT {
        self.0.get()
    }

    pub(crate) fn set(&self) {
        // SAFETY: initialised in `of`.
        unsafe { ntddk::KeSetEvent(self.pointer(), 0, 0) };
    }

    /// Waits; false if `timeout` (100 ns units, negative: from now) ran out first.
    pub(crate) fn wait(&self, timeout: Option<i64>) -> bool {
        let mut due = LARGE_INTEGER {
            QuadPart: timeout.unwrap_or_default(),
        };
        let pointer = match timeout {
            Some(_) => &raw mut due,
            None => core::ptr::null_mut(),
        };
        // SAFETY: initialised in `of`; the timeout lives through the call.
        let status: NTSTATUS = unsafe {
            ntddk::KeWaitForSingleObject(
                self.pointer().cast(),
                _KWAIT_REASON::Executive,
                0,
                0,
                pointer,
            )
        };
        status != STATUS_TIMEOUT
    }
}
