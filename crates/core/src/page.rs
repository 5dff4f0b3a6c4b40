//! Pages, and how many of them a buffer touches.

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Bytes in a page on every system the driver runs on (x64 and ARM64 Windows).
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Offset of `va` in its page, in bytes.
pub const fn page_offset(va: u64) -> u64 {
    va & (PAGE_SIZE - 1)
}

/// Pages that `length` bytes from virtual address `va` touch.
///
/// `ADDRESS_AND_SIZE_TO_SPAN_PAGES` of wdm.h, but right for the whole `u64` range: the macro's sum
/// wraps near its top, this one is taken apart into pages and remainders first. Like the macro it
/// gives an empty range inside a page one page, and an empty range at the start of a page none.
pub const fn span_pages(va: u64, length: u64) -> u64 {
    let whole = length >> PAGE_SHIFT;
    let rest = page_offset(va) + page_offset(length);
    whole.saturating_add((rest + PAGE_SIZE - 1) >> PAGE_SHIFT)
}

/// Bytes from `va` to the end of the `pages`th page, counting the page of `va` as the first.
///
/// The most that a buffer starting at `va` may be long and touch no more than `pages` pages.
/// Saturates.
pub const fn room_in_pages(va: u64, pages: u64) -> u64 {
    pages
        .saturating_mul(PAGE_SIZE)
        .saturating_sub(page_offset(va))
}
