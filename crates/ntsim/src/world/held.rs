//! Memory that an IRP points to, at a place that does not move with its owner.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

/// A block of zeroed memory for a `T`, reached through a raw pointer alone: a `Box` that is moved
/// may not be pointed into. Zeroed byte for byte, padding included, as senders zero the memory of
/// their requests.
pub(super) struct Held<T>(*mut T);

/// Types without drop glue for which zero bytes are a value.
///
/// # Safety
/// As said.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: the value is owned; who uses it when is the protocol of the IRP that points to it.
unsafe impl<T: Plain> Send for Held<T> {}
// SAFETY: a shared reference gives the pointer and nothing else.
unsafe impl<T: Plain> Sync for Held<T> {}

impl<T: Plain> Held<T> {
    const LAYOUT: Layout = Layout::new::<T>();

    pub(super) fn zeroed() -> Self {
        const { assert!(size_of::<T>() != 0, "nothing to hold") };
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        if memory.is_null() {
            handle_alloc_error(Self::LAYOUT);
        }
        Self(memory.cast())
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.0
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.0.cast(), Layout::new::<T>()) };
    }
}
