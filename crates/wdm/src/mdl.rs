//! MDLs: a buffer's index and its page frames, and the partial MDL that shows a lower driver one
//! piece of it.

use core::ptr;

use wdk_sys::{MDL, MDL_PARTIAL_HAS_BEEN_MAPPED, PFN_NUMBER, PMDL, PVOID, ULONG, ntddk};
use xfersplit_core::{page, plan::PageFrames};

/// Somebody's MDL, read only.
///
/// # Invariants
/// The MDL describes locked pages and lives as long as the IRP that carries it, which its holder
/// owns.
#[derive(Clone, Copy, Debug)]
pub struct Mdl(PMDL);

impl Mdl {
    /// # Safety
    /// `mdl` is valid for as long as the value is used, as the invariant says.
    pub const unsafe fn from_raw(mdl: PMDL) -> Self {
        Self(mdl)
    }

    /// The pointer, as an IRP's `MdlAddress`.
    pub const fn as_ptr(self) -> PMDL {
        self.0
    }

    /// `MmGetMdlVirtualAddress`: an index into the MDL, not an address to follow.
    pub fn virtual_address(self) -> PVOID {
        // SAFETY: type invariant.
        let start = unsafe { (*self.0).StartVa };
        // SAFETY: type invariant.
        let offset = unsafe { (*self.0).ByteOffset };
        start.wrapping_byte_add(offset as usize)
    }

    /// `MmGetMdlByteCount`.
    pub fn byte_count(self) -> u32 {
        // SAFETY: type invariant.
        unsafe { (*self.0).ByteCount }
    }

    /// Whether another MDL is chained behind this one.
    pub fn is_chained(self) -> bool {
        // SAFETY: type invariant.
        let next = unsafe { (*self.0).Next };
        !next.is_null()
    }

    /// `MmGetMdlPfnArray`.
    fn frames(self) -> *const PFN_NUMBER {
        // The array lies right behind the structure, so the pointer keeps the whole block's reach.
        self.0.wrapping_add(1).cast::<PFN_NUMBER>().cast_const()
    }
}

impl PageFrames for Mdl {
    fn frame(&self, index: u64) -> Option<u64> {
        let start = self.virtual_address().addr() as u64;
        if index >= page::span_pages(start, u64::from(self.byte_count())) {
            return None;
        }
        let entry = self.frames().wrapping_add(index as usize);
        // SAFETY: type invariant; the index was checked against the pages that the MDL spans, and
        // the array is complete once the pages are locked.
        Some(unsafe { entry.read() })
    }
}

/// An MDL of the driver's own, large enough for the largest piece, rebuilt for every attempt.
///
/// # Invariants
/// The pointer came from `IoAllocateMdl` for `capacity` bytes at any page offset.
pub struct PartialMdl {
    mdl: PMDL,
    capacity: u32,
}

impl PartialMdl {
    /// An MDL for pieces of up to `bytes`, wherever in a page they begin. `None` without memory.
    pub fn allocate(bytes: u32) -> Option<Self> {
        // One page more than the bytes need: a piece may begin in the middle of a page.
        let room = bytes.checked_add(page::PAGE_SIZE as u32)?;
        // SAFETY: IoAllocateMdl takes any address and length; no IRP is associated.
        let mdl = unsafe { ntddk::IoAllocateMdl(ptr::null_mut(), room, 0, 0, ptr::null_mut()) };
        (!mdl.is_null()).then_some(Self {
            mdl,
            capacity: bytes,
        })
    }

    /// Shows `length` bytes of `source` from `index` (see [`Mdl::virtual_address`]) in this MDL.
    /// `None` if the range is empty, larger than the room, or not inside the source: the three ways
    /// in which `IoBuildPartialMdl` would corrupt memory or stop the system.
    #[expect(
        clippy::not_unsafe_ptr_arg_deref,
        reason = "the index is a number within the source; nobody follows it"
    )]
    pub fn show(&self, source: Mdl, index: PVOID, length: ULONG) -> Option<Mdl> {
        let skipped = index.addr().checked_sub(source.virtual_address().addr())?;
        let end = u64::from(length).checked_add(skipped as u64)?;
        if length == 0 || length > self.capacity || end > u64::from(source.byte_count()) {
            return None;
        }
        // SAFETY: IoBuildPartialMdl's contract: the range lies in the source, the target has room
        // for its pages, and MmPrepareMdlForReuse ran since its last use ([`PartialMdl::retire`]).
        unsafe { ntddk::IoBuildPartialMdl(source.0, self.mdl, index, length) };
        Some(Mdl(self.mdl))
    }

    /// `MmPrepareMdlForReuse`: a driver below may have mapped the pages; the mapping goes before the
    /// parent is completed and its pages are unlocked.
    pub fn retire(&self) {
        // SAFETY: type invariant; the lower driver has given the MDL back.
        unsafe { prepare_for_reuse(self.mdl) };
    }

    /// Frees the MDL.
    ///
    /// # Safety
    /// No lower driver holds it, and it was retired.
    pub unsafe fn free(self) {
        // SAFETY: the caller's contract; the MDL came from IoAllocateMdl.
        unsafe { ntddk::IoFreeMdl(self.mdl) };
    }
}

/// `MmPrepareMdlForReuse`: a partial MDL may still be mapped when it is used again.
///
/// # Safety
/// `mdl` is the caller's, and no lower driver has it.
pub unsafe fn prepare_for_reuse(mdl: PMDL) {
    // SAFETY: the caller's contract.
    let flags = u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned());
    if flags & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
        // SAFETY: the caller's contract; the flag says that the field is set.
        let mapped = unsafe { (*mdl).MappedSystemVa };
        // SAFETY: the flag says that `mapped` is this MDL's own mapping.
        unsafe { ntddk::MmUnmapLockedPages(mapped, mdl) };
    }
}

/// An MDL over a block of the driver's own nonpaged pool.
///
/// # Invariants
/// The pointer came from `IoAllocateMdl`, and the block outlives it.
pub struct PoolMdl(PMDL);

impl PoolMdl {
    /// `None` without memory.
    ///
    /// # Safety
    /// `block` is `bytes` of nonpaged pool that outlive the value.
    pub unsafe fn allocate(block: PVOID, bytes: ULONG) -> Option<Self> {
        // SAFETY: IoAllocateMdl takes any address and length; no IRP is associated.
        let mdl = unsafe { ntddk::IoAllocateMdl(block, bytes, 0, 0, ptr::null_mut()) };
        if mdl.is_null() {
            return None;
        }
        // SAFETY: the caller's contract is MmBuildMdlForNonPagedPool's.
        unsafe { ntddk::MmBuildMdlForNonPagedPool(mdl) };
        Some(Self(mdl))
    }

    /// As an IRP carries it.
    pub const fn shown(&self) -> Mdl {
        Mdl(self.0)
    }

    /// Frees the MDL.
    ///
    /// # Safety
    /// No lower driver holds it.
    pub unsafe fn free(self) {
        // SAFETY: the caller's contract; the MDL came from IoAllocateMdl.
        unsafe { ntddk::IoFreeMdl(self.0) };
    }
}

/// The bytes that an MDL for `bytes` at any page offset takes in nonpaged pool.
pub const fn mdl_bytes(bytes: u32) -> usize {
    let pages = bytes.div_ceil(page::PAGE_SIZE as u32) as usize + 1;
    size_of::<MDL>() + size_of::<PFN_NUMBER>() * pages
}
