//! Pointers to what drivers and the kernel share.

/// A raw pointer that may travel between threads: what it points to is guarded by the rules of the
/// kernel, not by Rust's.
pub(crate) struct Shared<T>(pub(crate) *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:p}", self.0)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(core::ptr::null_mut())
    }
}

// SAFETY: the pointer is only an address here; every use of it is an unsafe block of its own that
// names the kernel rule by which the object is alive and may be touched.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}
