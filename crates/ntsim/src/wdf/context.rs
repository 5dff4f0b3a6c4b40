//! The memory of object contexts.
//!
//! A context dies with its object, and a driver that keeps a pointer to it reads garbage on real
//! Windows, sometimes. Contexts are pool blocks here, so that everything the machine knows about
//! freed pool holds for them: they are filled with a pattern, a late write is found, and a timer or
//! DPC that is still active inside one is a bug check. Under Miri they are freed for good.

use super::kernel;

/// One zeroed block, aligned to 16 bytes, `MEMORY_ALLOCATION_ALIGNMENT` of 64-bit Windows.
#[derive(Debug)]
pub(crate) struct ContextMemory {
    base: *mut u8,
    size: usize,
}

// SAFETY: a block is memory and nothing else; who may touch it when is the driver's business.
unsafe impl Send for ContextMemory {}
// SAFETY: as above.
unsafe impl Sync for ContextMemory {}

impl ContextMemory {
    /// A zeroed block of `size` bytes, rounded up to whole pointers; `None` for an absurd size.
    pub(crate) fn new(size: usize) -> Option<Self> {
        let size = size.max(1).checked_next_multiple_of(size_of::<usize>())?;
        let base = kernel::allocate(size).cast::<u8>();
        (!base.is_null()).then_some(Self { base, size })
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.base
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

impl Drop for ContextMemory {
    fn drop(&mut self) {
        // A machine that is switched off gives its pool back as a whole.
        if kernel::is_running() {
            kernel::free(self.base.cast());
        }
    }
}
