//! Nonpaged pool, taken at start and given back after the rundown.

use core::ptr::NonNull;

use wdk_sys::{POOL_FLAG_NON_PAGED, SIZE_T, ULONG, ntddk};

/// A driver's pool tag: four letters, as tools show them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tag(ULONG);

impl Tag {
    /// The tag with these letters.
    pub const fn new(letters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(letters))
    }

    /// As the kernel's functions take it.
    pub const fn value(self) -> ULONG {
        self.0
    }
}

/// `count` values in one zeroed, executable-free, nonpaged block, or `None` without memory.
///
/// The kernel zeroes the block ([`ExAllocatePool2`] without `POOL_FLAG_UNINITIALIZED`) and aligns it
/// to 16 bytes, or to a page when it is a page or larger.
///
/// [`ExAllocatePool2`]: https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2
pub fn allocate<T>(count: usize, tag: Tag) -> Option<NonNull<T>> {
    const { assert!(align_of::<T>() <= 16) };
    let bytes = size_of::<T>()
        .checked_mul(count)
        .filter(|&bytes| bytes > 0)?;
    // SAFETY: IRQL <= DISPATCH_LEVEL; the size is not zero.
    let block =
        unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes as SIZE_T, tag.value()) };
    NonNull::new(block.cast())
}

/// Frees what [`allocate`] gave.
///
/// # Safety
/// `block` came from [`allocate`] with the same tag, nothing points into it any more, and its values need no drop.
pub unsafe fn free<T>(block: NonNull<T>, tag: Tag) {
    // SAFETY: the caller's contract; the tag is the one it was allocated with.
    unsafe { ntddk::ExFreePoolWithTag(block.as_ptr().cast(), tag.value()) };
}
