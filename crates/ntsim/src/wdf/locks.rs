//! Spin locks and wait locks (`fxspinlockapi.cpp`, `fxwaitlockapi.cpp`).

use core::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::event::Event;
use crate::abi::{KSPIN_LOCK, PKSPIN_LOCK};
use crate::ntddk;

/// The state of a `WDFSPINLOCK`.
pub(crate) struct SpinLock {
    lock: Box<UnsafeCell<KSPIN_LOCK>>,
    old_irql: AtomicU8,
}

// SAFETY: a spin lock is made to be shared; the kernel synchronises every access to it.
unsafe impl Send for SpinLock {}
// SAFETY: as above.
unsafe impl Sync for SpinLock {}

impl SpinLock {
    fn new() -> Self {
        let lock = Box::new(UnsafeCell::new(0));
        // SAFETY: the memory is ours and stays where it is.
        unsafe { ntddk::KeInitializeSpinLock(lock.get()) };
        Self {
            lock,
            old_irql: AtomicU8::new(0),
        }
    }

    fn pointer(&self) -> PKSPIN_LOCK {
        self.lock.get()
    }

    fn acquire(&self) {
        // SAFETY: initialised in `new`.
        let irql = unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(self.pointer()) };
        self.old_irql.store(irql, Ordering::Relaxed);
    }

    fn release(&self) {
        let irql = self.old_irql.load(Ordering::Relaxed);
        // SAFETY: initialised in `new`; the kernel checks that this thread holds it.
        unsafe { ntddk::KeReleaseSpinLock(self.pointer(), irql) };
    }
}

/// The state of a `WDFWAITLOCK`.
pub(crate) struct WaitLock {
    free: Event,
    held: AtomicBool,
}

impl WaitLock {
    fn new() -> Self {
        Self {
            free: Event::synchronization(true),
            held: AtomicBool::new(false),
        }
    }
}

/// The calls about locks.
pub(crate) mod calls {
    use super::{Ordering, WaitLock};
    use crate::abi::{
        NTSTATUS, PLONGLONG, PWDF_OBJECT_ATTRIBUTES, STATUS_SUCCESS, STATUS_TIMEOUT, WDFSPINLOCK,
        WDFWAITLOCK,
    };
    use crate::wdf::driver::{self, DISPATCH, PASSIVE};
    use crate::wdf::frame;
    use crate::wdf::object::{self, Body};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{Violation, require_irql, violation};

    wdf_functions! {
        /// Makes a spin lock. Up to `DISPATCH_LEVEL`.
        315 fn WdfSpinLockCreate(
            SpinLockAttributes: PWDF_OBJECT_ATTRIBUTES,
            SpinLock: *mut WDFSPINLOCK,
        ) -> NTSTATUS {
            const NAME: &str = "WdfSpinLockCreate";
            require_irql(NAME, DISPATCH);
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, SpinLockAttributes, SpinLock, |_| {
                    Ok(Body::SpinLock(super::SpinLock::new()))
                })
            }
        }

        /// Acquires a spin lock and raises to `DISPATCH_LEVEL`. Up to `DISPATCH_LEVEL`.
        316 fn WdfSpinLockAcquire(SpinLock: WDFSPINLOCK) {
            const NAME: &str = "WdfSpinLockAcquire";
            object::any(NAME, SpinLock).spin_lock(NAME).acquire();
        }

        /// Releases a spin lock and goes back to the IRQL before it was acquired.
        317 fn WdfSpinLockRelease(SpinLock: WDFSPINLOCK) {
            const NAME: &str = "WdfSpinLockRelease";
            object::any(NAME, SpinLock).spin_lock(NAME).release();
        }

        /// Makes a wait lock. Up to `DISPATCH_LEVEL`.
        312 fn WdfWaitLockCreate(
            LockAttributes: PWDF_OBJECT_ATTRIBUTES,
            Lock: *mut WDFWAITLOCK,
        ) -> NTSTATUS {
            const NAME: &str = "WdfWaitLockCreate";
            require_irql(NAME, DISPATCH);
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, LockAttributes, Lock, |_| Ok(Body::WaitLock(WaitLock::new())))
            }
        }

        /// Acquires a wait lock; `Timeout` (100 ns units, negative: from now) may be NULL.
        /// `PASSIVE_LEVEL`, or up to `DISPATCH_LEVEL` with a timeout of 0.
        313 fn WdfWaitLockAcquire(Lock: WDFWAITLOCK, Timeout: PLONGLONG) -> NTSTATUS {
            const NAME: &str = "WdfWaitLockAcquire";
            // SAFETY: if not NULL, the caller vouches for it.
            let timeout = unsafe { Timeout.as_ref().copied() };
            require_irql(NAME, if timeout == Some(0) { DISPATCH } else { PASSIVE });
            let object = object::any(NAME, Lock);
            let lock = object.wait_lock(NAME);
            if !frame::harmless_wait(|| lock.free.wait(timeout)) {
                return STATUS_TIMEOUT;
            }
            lock.held.store(true, Ordering::Relaxed);
            STATUS_SUCCESS
        }

        /// Releases a wait lock. Up to `DISPATCH_LEVEL`.
        314 fn WdfWaitLockRelease(Lock: WDFWAITLOCK) {
            const NAME: &str = "WdfWaitLockRelease";
            let object = object::any(NAME, Lock);
            let lock = object.wait_lock(NAME);
            if !lock.held.swap(false, Ordering::Relaxed) {
                violation(
                    Violation::InvalidLock,
                    Lock.addr() as u64,
                    0,
                    &format!("{NAME}: {} is not held", object.describe()),
                );
            }
            lock.free.set();
        }
    }
}
