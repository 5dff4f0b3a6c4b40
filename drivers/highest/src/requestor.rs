//! Whose buffer it is, and whether this is the place to look at it.
//!
//! An address of a user means something in one process alone, and only as long as that process runs
//! here: locked from anywhere else it is another program's memory. And a user may name any address
//! at all. So before anything is locked: the right IRQL, the right process, a range that the
//! requestor may name.

use wdk_sys::{
    _MODE, KPROCESSOR_MODE, NTSTATUS, PASSIVE_LEVEL, PIRP, PVOID, STATUS_ACCESS_VIOLATION,
    STATUS_INVALID_DEVICE_REQUEST, ntddk,
};

unsafe extern "C" {
    /// `MmUserProbeAddress` (guard.c): the first address that no user may name.
    safe fn xfersplit_user_probe_address() -> u64;
}

/// A range of the requestor's address space, not yet known to be backed by anything.
///
/// # Invariants
/// This thread runs in the process that the addresses belong to, at PASSIVE_LEVEL, and the range
/// neither wraps nor leaves the part of the address space that the access mode may name.
pub(crate) struct UserBuffer {
    address: PVOID,
    mode: KPROCESSOR_MODE,
}

impl UserBuffer {
    /// The buffer of a READ or WRITE of `length` bytes that came without an MDL.
    ///
    /// # Errors
    /// - `STATUS_INVALID_DEVICE_REQUEST` above PASSIVE_LEVEL, where nothing can be waited for, and in
    ///   another process than the requestor's: a driver above has handed the request to a thread of
    ///   its own, and should have locked the buffer before.
    /// - `STATUS_ACCESS_VIOLATION` for a range that the requestor may not name, wherever in it the
    ///   forbidden part lies.
    ///
    /// # Safety
    /// `irp` is owned by the caller, who is in the dispatch routine that the IRP arrived in. Any IRQL.
    pub(crate) unsafe fn of(irp: PIRP, length: u32) -> Result<Self, NTSTATUS> {
        // SAFETY: callable at any IRQL.
        let irql = unsafe { ntddk::KeGetCurrentIrql() };
        if u32::from(irql) != PASSIVE_LEVEL {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        // SAFETY: the caller's contract; null if no thread asked for the IRP.
        let requestor = unsafe { ntddk::IoGetRequestorProcess(irp) };
        // PsGetCurrentProcess is a macro of wdm.h that says just this.
        // SAFETY: callable at any IRQL.
        let current = unsafe { ntddk::IoGetCurrentProcess() };
        if requestor.is_null() || requestor != current {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        // SAFETY: the caller's contract.
        let address = unsafe { (*irp).UserBuffer };
        // SAFETY: the caller's contract.
        let mode = unsafe { (*irp).RequestorMode };
        if is_nameable(address.addr() as u64, length, mode) {
            Ok(Self { address, mode })
        } else {
            Err(STATUS_ACCESS_VIOLATION)
        }
    }

    /// The address of byte `offset`.
    pub(crate) fn at(&self, offset: u64) -> PVOID {
        self.address.wrapping_byte_add(offset as usize)
    }

    /// On whose behalf pages are probed: `Irp->RequestorMode`, never simply the kernel's.
    pub(crate) const fn mode(&self) -> KPROCESSOR_MODE {
        self.mode
    }
}

/// Whether a requestor of this mode may name the range: MmProbeAndLockPages would find out too, but
/// portion by portion, after the ones before the forbidden one have moved.
fn is_nameable(address: u64, length: u32, mode: KPROCESSOR_MODE) -> bool {
    let Some(end) = address.checked_add(u64::from(length)) else {
        return false;
    };
    i32::from(mode) == _MODE::KernelMode || end <= xfersplit_user_probe_address()
}
