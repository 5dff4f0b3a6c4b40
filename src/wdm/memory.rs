//! Nonpaged pool, taken at start and given back after the rundown.

use core::ptr::NonNull;

use wdk_sys::{POOL_FLAG_NON_PAGED, SIZE_T, ULONG, ntddk};

/// The driver's pool tag, `xfsp` as tools show it.
pub(crate) const TAG: ULONG = u32::from_le_bytes(*b"xfsp");

/// `count` values in one zeroed, executable-free, nonpaged block, or `None` without memory.
///
/// The kernel zeroes the block ([`ExAllocatePool2`] without `POOL_FLAG_UNINITIALIZED`) and aligns it
/// to 16 bytes, or to a page when it is a page or larger.
///
/// [`ExAllocatePool2`]: https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2
pub(crate) fn allocate<T>(count: usize) -> Option<NonNull<T>> {
    const { assert!(align_of::<T>() <= 16) };
    let bytes = size_of::<T>()
        .checked_mul(count)
        .filter(|&bytes| bytes > 0)?;
    // SAFETY: IRQL <= DISPATCH_LEVEL; the size is not zero.
    let block = unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes as SIZE_T, TAG) };
    NonNull::new(block.cast())
}

/// Frees what [`allocate`] gave.
///
/// # Safety
/// `block` came from [`allocate`], nothing points into it any more, and its values need no drop.
pub(crate) unsafe fn free<T>(block: NonNull<T>) {
    // SAFETY: the caller's contract; the tag is the one it was allocated with.
    unsafe { ntddk::ExFreePoolWithTag(block.as_ptr().cast(), TAG) };
}
