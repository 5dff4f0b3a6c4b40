//! What has happened, for the DPC to act on.
//!
//! Interrupts, callbacks of the HAL and the PnP manager come at any time, on any processor. None of
//! them does anything but leave a note here and queue the DPC.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
};

use wdk_sys::PVOID;

use crate::registers::Status;

/// Notes to the DPC.
pub(crate) struct Signals {
    /// The status that the service routine has read, or 0: the interrupt bit is set in every other.
    ended: AtomicU32,
    /// What the HAL has called back with: the base of the map registers, or the list.
    grant: AtomicPtr<core::ffi::c_void>,
    /// `grant` is there. A flag of its own: HALs hand out map register bases that are null.
    granted: AtomicBool,
    /// No request may begin: the device is not started, stopped, or asleep.
    held: AtomicBool,
    /// The device is gone: whatever is here ends.
    gone: AtomicBool,
}

impl Signals {
    /// Nothing has happened, and the device is not started.
    pub(crate) const fn new() -> Self {
        Self {
            ended: AtomicU32::new(0),
            grant: AtomicPtr::new(ptr::null_mut()),
            granted: AtomicBool::new(false),
            held: AtomicBool::new(true),
            gone: AtomicBool::new(false),
        }
    }

    /// The operation has ended. Any IRQL.
    pub(crate) fn end(&self, status: Status) {
        self.ended.store(status.0, Ordering::Release);
    }

    /// How the operation has ended, once.
    pub(crate) fn take_end(&self) -> Option<Status> {
        let status = self.ended.swap(0, Ordering::Acquire);
        (status != 0).then_some(Status(status))
    }

    /// The HAL has granted what was asked for.
    pub(crate) fn grant(&self, what: PVOID) {
        self.grant.store(what, Ordering::Relaxed);
        self.granted.store(true, Ordering::Release);
    }

    /// What the HAL has granted, once.
    pub(crate) fn take_grant(&self) -> Option<PVOID> {
        self.granted
            .swap(false, Ordering::Acquire)
            .then(|| self.grant.load(Ordering::Relaxed))
    }

    /// Lets no request begin, or lets them.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether no request may begin.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// The device is gone, for good.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the device is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}
