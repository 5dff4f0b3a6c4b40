//! The inline functions of wdm.h that these drivers use, as a C driver would get them.

use core::ptr;

use ntsim::abi::{
    IO_NO_INCREMENT, MDL_PARTIAL_HAS_BEEN_MAPPED, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE,
    PIO_STACK_LOCATION, PIRP, PMDL, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR,
    SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
};
use ntsim::ntddk;

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// `irp` is an IRP that the caller owns; so for all functions of this module.
pub(crate) unsafe fn current_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

unsafe fn set_current_location(irp: PIRP, location: PIO_STACK_LOCATION) {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location;
    }
}

/// `IoGetNextIrpStackLocation`.
pub(crate) unsafe fn next_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller's contract; one location below the current one is left.
    unsafe { current_location(irp).sub(1) }
}

/// `IoSetNextIrpStackLocation`.
pub(crate) unsafe fn set_next_location(irp: PIRP) {
    // SAFETY: the caller's contract; one location below the current one is left.
    unsafe {
        (*irp).CurrentLocation -= 1;
        set_current_location(irp, current_location(irp).sub(1));
    }
}

/// `IoSkipCurrentIrpStackLocation`.
pub(crate) unsafe fn skip_location(irp: PIRP) {
    // SAFETY: the caller's contract; the current location has one above it.
    unsafe {
        (*irp).CurrentLocation += 1;
        set_current_location(irp, current_location(irp).add(1));
    }
}

/// `IoCopyCurrentIrpStackLocationToNext`.
pub(crate) unsafe fn copy_location(irp: PIRP) {
    // SAFETY: the caller's contract; one location below the current one is left.
    unsafe {
        let next = next_location(irp);
        ptr::copy_nonoverlapping(current_location(irp), next, 1);
        (*next).CompletionRoutine = None;
        (*next).Context = ptr::null_mut();
        (*next).Control = 0;
    }
}

/// `IoMarkIrpPending`.
pub(crate) unsafe fn mark_pending(irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe { (*current_location(irp)).Control |= SL_PENDING_RETURNED as u8 };
}

/// `IoSetCompletionRoutine` for every outcome.
pub(crate) unsafe fn set_completion(irp: PIRP, routine: PIO_COMPLETION_ROUTINE, context: PVOID) {
    // SAFETY: the caller's contract; one location below the current one is left.
    unsafe {
        let next = next_location(irp);
        (*next).CompletionRoutine = routine;
        (*next).Context = context;
        (*next).Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
    }
}

/// Sets the status block and completes the IRP.
pub(crate) unsafe fn complete(irp: PIRP, status: NTSTATUS, information: u64) {
    // SAFETY: the caller's contract; the IRP is gone afterwards.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        (*irp).IoStatus.Information = information;
        ntddk::IofCompleteRequest(irp, IO_NO_INCREMENT as i8);
    }
}

/// `IoSkipCurrentIrpStackLocation` and `IoCallDriver`.
pub(crate) unsafe fn pass_down(lower: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract; `lower` is the device it is attached to.
    unsafe {
        skip_location(irp);
        ntddk::IofCallDriver(lower, irp)
    }
}

/// `MmGetMdlVirtualAddress`: an index, not an address.
pub(crate) unsafe fn mdl_address(mdl: PMDL) -> PVOID {
    // SAFETY: the caller vouches for the MDL.
    unsafe { (*mdl).StartVa.wrapping_byte_add((*mdl).ByteOffset as usize) }
}

/// `MmPrepareMdlForReuse`.
pub(crate) unsafe fn prepare_mdl_for_reuse(mdl: PMDL) {
    // SAFETY: the caller vouches for the MDL, which nobody below holds any more.
    unsafe {
        let flags = u32::from((*mdl).MdlFlags.cast_unsigned());
        if flags & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            ntddk::MmUnmapLockedPages((*mdl).MappedSystemVa, mdl);
        }
    }
}
