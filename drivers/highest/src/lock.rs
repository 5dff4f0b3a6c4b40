//! Piecewise locking: one MDL, which describes a portion of the user's buffer after the other.

use core::ptr;

use wdk_sys::{
    _LOCK_OPERATION, _MEMORY_CACHING_TYPE, _MM_PAGE_PRIORITY, _MODE, CSHORT, KPROCESSOR_MODE,
    LOCK_OPERATION, MDL_ALLOCATED_FIXED_SIZE, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL,
    MdlMappingNoExecute, MdlMappingNoWrite, NTSTATUS, PMDL, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_SUCCESS, ULONG, ntddk,
};
use xfersplit_core::page::{PAGE_SIZE, page_offset, span_pages};
use xfersplit_wdm::mdl::{self, Mdl};

unsafe extern "C" {
    /// `MmProbeAndLockPages` in a frame that catches what it raises (guard.c): `STATUS_SUCCESS`, or the
    /// exception's code, and then nothing is locked.
    fn xfersplit_guarded_probe_and_lock(
        mdl: PMDL,
        access_mode: KPROCESSOR_MODE,
        operation: LOCK_OPERATION,
    ) -> NTSTATUS;
}

/// How the pages will be used, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
}

impl Access {
    /// For a request of a requestor with this mode. A READ *writes* to memory.
    pub(crate) const fn of(mode: KPROCESSOR_MODE, write_to_disk: bool) -> Self {
        let operation = if write_to_disk {
            _LOCK_OPERATION::IoReadAccess
        } else {
            _LOCK_OPERATION::IoWriteAccess
        };
        Self { mode, operation }
    }

    /// What a mapping of the pages may not do besides.
    const fn mapping(self) -> ULONG {
        if self.operation == _LOCK_OPERATION::IoReadAccess {
            MdlMappingNoWrite
        } else {
            0
        }
    }
}

/// The MDL of one request's portions; freed when it goes.
///
/// # Invariants
/// `mdl` is null, or came from `IoAllocateMdl` with room for `pages` pages. Its pages are locked only
/// as long as there is a [`Locked`].
pub(crate) struct PortionMdl {
    mdl: PMDL,
    pages: u64,
}

impl PortionMdl {
    /// No MDL yet.
    pub(crate) const fn none() -> Self {
        Self {
            mdl: ptr::null_mut(),
            pages: 0,
        }
    }

    /// Describes the portion and locks it. PASSIVE_LEVEL, in the process that the address belongs to.
    ///
    /// # Errors
    /// What MmProbeAndLockPages raised, or `STATUS_INSUFFICIENT_RESOURCES` without memory for the MDL.
    /// Nothing is locked then.
    pub(crate) fn lock(
        &mut self,
        address: PVOID,
        length: ULONG,
        access: Access,
    ) -> Result<Locked<'_>, NTSTATUS> {
        self.describe(address, length)?;
        // SAFETY: the MDL describes the range and is neither locked nor mapped; PASSIVE_LEVEL; the
        // callee lets no exception out.
        let status =
            unsafe { xfersplit_guarded_probe_and_lock(self.mdl, access.mode, access.operation) };
        if status == STATUS_SUCCESS {
            Ok(Locked { of: self, access })
        } else {
            Err(status)
        }
    }

    /// The document's choice between two portions: the same MDL if it is large enough
    /// (MmPrepareMdlForReuse), or another one (IoFreeMdl, IoAllocateMdl).
    fn describe(&mut self, address: PVOID, length: ULONG) -> Result<(), NTSTATUS> {
        let pages = span_pages(address.addr() as u64, u64::from(length));
        if !self.mdl.is_null() && pages <= self.pages {
            // SAFETY: type invariant: ours, unlocked, with room for the pages.
            unsafe { mdl::prepare_for_reuse(self.mdl) };
            // SAFETY: as above.
            unsafe { point_at(self.mdl, address, length) };
            return Ok(());
        }
        self.free();
        // SAFETY: IoAllocateMdl follows no address; no IRP is associated.
        self.mdl = unsafe { ntddk::IoAllocateMdl(address, length, 0, 0, ptr::null_mut()) };
        self.pages = pages;
        if self.mdl.is_null() {
            Err(STATUS_INSUFFICIENT_RESOURCES)
        } else {
            Ok(())
        }
    }

    fn free(&mut self) {
        if !self.mdl.is_null() {
            // SAFETY: type invariant: ours and unlocked.
            unsafe { ntddk::IoFreeMdl(self.mdl) };
            self.mdl = ptr::null_mut();
        }
    }
}

impl Drop for PortionMdl {
    fn drop(&mut self) {
        self.free();
    }
}

/// A portion whose pages stay where they are; unlocked when it goes.
pub(crate) struct Locked<'a> {
    of: &'a mut PortionMdl,
    access: Access,
}

impl Locked<'_> {
    /// For an IRP that carries the portion.
    pub(crate) const fn mdl(&self) -> Mdl {
        // SAFETY: the pages are locked, and whoever uses the value holds this one.
        unsafe { Mdl::from_raw(self.of.mdl) }
    }

    /// `MmGetSystemAddressForMdlSafe`: where the system sees the portion, in any process. `None` when
    /// there is no room for the mapping, which goes when the pages are unlocked. Nothing can be
    /// executed there, and what was locked for reading cannot be written.
    pub(crate) fn system_address(&self) -> Option<PVOID> {
        let mdl = self.of.mdl;
        // SAFETY: ours.
        let flags = unsafe { flags(mdl) };
        let address = if flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) == 0 {
            let priority = _MM_PAGE_PRIORITY::NormalPagePriority as ULONG
                | MdlMappingNoExecute
                | self.access.mapping();
            // SAFETY: the pages are locked and not mapped; IRQL <= DISPATCH_LEVEL; a failure is null.
            unsafe {
                ntddk::MmMapLockedPagesSpecifyCache(
                    mdl,
                    _MODE::KernelMode as KPROCESSOR_MODE,
                    _MEMORY_CACHING_TYPE::MmCached,
                    ptr::null_mut(),
                    0,
                    priority,
                )
            }
        } else {
            // SAFETY: ours; the flag says that the field is set.
            unsafe { (*mdl).MappedSystemVa }
        };
        (!address.is_null()).then_some(address)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: locked by `PortionMdl::lock`, and no IRP in flight has the MDL: whoever carried the
        // portion waited for it. A system mapping goes with the lock.
        unsafe { ntddk::MmUnlockPages(self.of.mdl) };
    }
}

/// # Safety
/// `mdl` is the caller's.
unsafe fn flags(mdl: PMDL) -> u32 {
    // SAFETY: the caller's contract.
    u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned())
}

/// `MmInitializeMdl`, but for what says how the MDL was allocated: `Size`, and the flag that tells
/// IoFreeMdl where it came from. IoBuildPartialMdl keeps both too.
///
/// # Safety
/// `mdl` is the caller's, its pages are neither locked nor mapped, and it has room for the range.
unsafe fn point_at(mdl: PMDL, address: PVOID, length: ULONG) {
    let offset = page_offset(address.addr() as u64) as ULONG;
    let start = address.map_addr(|address| address & !(PAGE_SIZE as usize - 1));
    // SAFETY: the caller's contract. The same for the fields that follow.
    let kept = unsafe { flags(mdl) } & MDL_ALLOCATED_FIXED_SIZE;
    // SAFETY: as above.
    unsafe { (*mdl).Next = ptr::null_mut() };
    // SAFETY: as above.
    unsafe { (*mdl).MdlFlags = kept as CSHORT };
    // SAFETY: as above.
    unsafe { (*mdl).StartVa = start };
    // SAFETY: as above.
    unsafe { (*mdl).ByteOffset = offset };
    // SAFETY: as above.
    unsafe { (*mdl).ByteCount = length };
}
