//! Pointers to what was made at start and stays until the device's cleanup.

use core::{ops::Deref, ptr::NonNull};

use wdk_sys::PVOID;

/// A value in a block of nonpaged pool (`wdm::memory`), as everybody holds it who works with it.
///
/// # Invariants
/// The value stays where it is, initialised, until everybody who could hold such a pointer has let go
/// of it (rundown) and all DPCs have run. Only then is the block freed.
pub(crate) struct Pooled<T>(NonNull<T>);

impl<T> Clone for Pooled<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pooled<T> {}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: type invariant. Values are shared: what changes in them is atomic, behind a lock,
        // or in a cell whose owner is documented at the type.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Pooled<T> {
    /// # Safety
    /// The type's invariant holds for `value`.
    pub(crate) const unsafe fn from_non_null(value: NonNull<T>) -> Self {
        Self(value)
    }

    /// # Safety
    /// `context` came from [`Pooled::as_context`] of a value of this type.
    pub(crate) unsafe fn from_context(context: PVOID) -> Self {
        // SAFETY: the caller's contract; such a pointer is never null.
        Self(unsafe { NonNull::new_unchecked(context.cast()) })
    }

    /// The pointer as the kernel's callbacks carry it.
    pub(crate) const fn as_context(self) -> PVOID {
        self.0.as_ptr().cast()
    }

    /// The pointer, for whoever takes the value apart.
    pub(crate) const fn as_non_null(self) -> NonNull<T> {
        self.0
    }
}
