//! The spin lock of the I/O path.

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use wdk_sys::{KIRQL, KSPIN_LOCK, ntddk};

/// A `KSPIN_LOCK` and what it guards. Taken at IRQL <= DISPATCH_LEVEL, held for a few lines, never
/// across a call into another driver.
///
/// Not a WDFSPINLOCK: the framework destroys a device's child objects before it waits for the I/O in
/// flight (KMDF pnpstatemachine.cpp, the removed states), and pieces complete until then.
pub struct SpinLock<T> {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one processor at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}
// SAFETY: moving the lock moves the value, which may be moved.
unsafe impl<T: Send> Send for SpinLock<T> {}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> SpinLock<T> {
    /// A free lock. `KeInitializeSpinLock` stores zero, and so does this.
    pub const fn new(value: T) -> Self {
        Self {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; IRQL is DISPATCH_LEVEL until the guard goes.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: the lock word is initialised and lives in nonpaged memory; the engine never takes
        // a lock that it holds.
        let irql = unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        Guard {
            lock: self,
            irql,
            here: PhantomData,
        }
    }
}

/// The lock, held. Not `Send`: IRQL belongs to the processor that raised it.
pub struct Guard<'a, T> {
    lock: &'a SpinLock<T>,
    irql: KIRQL,
    here: PhantomData<*mut ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the only access while the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only access while the lock is held.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard took the lock, on this processor, and saved this IRQL.
        unsafe { ntddk::KeReleaseSpinLock(self.lock.lock.get(), self.irql) };
    }
}
