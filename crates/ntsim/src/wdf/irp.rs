//! The inline functions of `wdm.h` that the framework needs for IRPs.
//!
//! None of them makes a reference to an IRP or a stack location: an IRP and its locations are one
//! allocation, and only raw pointers reach all of it.

use core::ffi::c_void;
use core::ptr;

use crate::abi::{
    IO_STACK_LOCATION, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_MORE_PROCESSING_REQUIRED,
};
use crate::ntddk;

/// `IoGetCurrentIrpStackLocation`
///
/// # Safety
///
/// The IRP is alive and in the caller's hands.
pub(crate) unsafe fn current(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller vouches for the IRP.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

/// `IoGetNextIrpStackLocation`
///
/// # Safety
///
/// The IRP is alive, in the caller's hands, and has a location left.
pub(crate) unsafe fn next(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller vouches for the location.
    unsafe { current(irp).sub(1) }
}

/// `IoSetNextIrpStackLocation`
///
/// # Safety
///
/// As for [`next`].
pub(crate) unsafe fn set_next(irp: PIRP) {
    // SAFETY: the caller vouches for the IRP and the location.
    unsafe {
        (*irp).CurrentLocation -= 1;
        let location = next(irp);
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location;
    }
}

/// `IoSkipCurrentIrpStackLocation`
///
/// # Safety
///
/// The IRP is alive and the current location is the caller's.
pub(crate) unsafe fn skip(irp: PIRP) {
    // SAFETY: the caller vouches for the IRP; the location above exists because it was sent from
    // there.
    unsafe {
        (*irp).CurrentLocation += 1;
        let location = current(irp).add(1);
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location;
    }
}

/// `IoCopyCurrentIrpStackLocationToNext`: everything but the completion routine.
///
/// # Safety
///
/// As for [`next`].
pub(crate) unsafe fn copy_to_next(irp: PIRP) {
    // SAFETY: the caller vouches for both locations; they do not overlap.
    unsafe {
        let from = current(irp);
        let to = next(irp);
        let bytes = core::mem::offset_of!(IO_STACK_LOCATION, CompletionRoutine);
        ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes);
        (*to).Control = 0;
    }
}

/// `IoSetCompletionRoutine` for success, error and cancellation.
///
/// # Safety
///
/// As for [`next`].
pub(crate) unsafe fn on_completion(
    irp: PIRP,
    routine: PIO_COMPLETION_ROUTINE,
    context: *mut c_void,
) {
    // SAFETY: the caller vouches for the location.
    unsafe {
        let location = next(irp);
        (*location).CompletionRoutine = routine;
        (*location).Context = context;
        (*location).Control =
            (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
    }
}

/// `IoMarkIrpPending`
///
/// # Safety
///
/// The IRP is alive and the current location is the caller's.
pub(crate) unsafe fn mark_pending(irp: PIRP) {
    // SAFETY: the caller vouches for the location.
    unsafe { (*current(irp)).Control |= SL_PENDING_RETURNED as u8 };
}

/// Major and minor function of the current location.
///
/// # Safety
///
/// The IRP is alive and in the caller's hands.
pub(crate) unsafe fn functions(irp: PIRP) -> (u8, u8) {
    // SAFETY: the caller vouches for the IRP.
    unsafe {
        let location = current(irp);
        ((*location).MajorFunction, (*location).MinorFunction)
    }
}

/// The status that the IRP carries.
///
/// # Safety
///
/// The IRP is alive and in the caller's hands.
pub(crate) unsafe fn status(irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller vouches for the IRP.
    unsafe { (*irp).IoStatus.__bindgen_anon_1.Status }
}

/// Puts a status into the IRP.
///
/// # Safety
///
/// The IRP is alive and in the caller's hands.
pub(crate) unsafe fn set_status(irp: PIRP, status: NTSTATUS) {
    // SAFETY: the caller vouches for the IRP.
    unsafe { (*irp).IoStatus.__bindgen_anon_1.Status = status };
}

/// Completes the IRP with a status; returns it.
///
/// # Safety
///
/// The IRP is alive and in the caller's hands, which it leaves.
pub(crate) unsafe fn complete(irp: PIRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the caller vouches for the IRP.
    unsafe {
        set_status(irp, status);
        ntddk::IofCompleteRequest(irp, 0);
    }
    status
}

/// Sends the IRP down and waits until it comes back, which it does into the caller's hands.
///
/// # Safety
///
/// The IRP is alive and in the caller's hands, its next location is filled; `PASSIVE_LEVEL`.
pub(crate) unsafe fn send_and_wait(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let event = crate::wdf::event::Event::new();
    // SAFETY: the event outlives the wait, and the IRP is sent as the caller prepared it.
    unsafe {
        on_completion(irp, Some(came_back), event.pointer().cast());
        ntddk::IofCallDriver(device, irp);
        event.wait(None);
        status(irp)
    }
}

/// Keeps an IRP that was sent with [`send_and_wait`] from travelling further up.
unsafe extern "C" fn came_back(
    _device: PDEVICE_OBJECT,
    _irp: PIRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the context is the event of the waiting thread, which is alive until it is set.
    unsafe { ntddk::KeSetEvent(context.cast(), 0, 0) };
    STATUS_MORE_PROCESSING_REQUIRED
}
