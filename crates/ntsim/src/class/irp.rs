//! The inline functions of `wdm.h` for IRPs, and IRPs that are sent and waited for.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::abi::{
    _EVENT_TYPE, IO_STACK_LOCATION, KEVENT, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP,
    PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
};
use crate::{io, ke, ntddk};

/// `IoCopyCurrentIrpStackLocationToNext`: everything but the completion routine.
///
/// # Safety
/// The caller owns `irp`, which has a location left.
pub(super) unsafe fn copy_to_next(irp: PIRP) {
    // SAFETY: the caller's contract; two locations of one IRP, which do not overlap.
    unsafe {
        let from = io::current_location(irp);
        let to = io::next_location(irp);
        let bytes = offset_of!(IO_STACK_LOCATION, CompletionRoutine);
        ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes);
        (&raw mut (*to).Control).write(0);
    }
}

/// `IoSetCompletionRoutine` for success, error and cancellation.
///
/// # Safety
/// The caller owns `irp`, whose next location is prepared.
pub(super) unsafe fn on_completion(irp: PIRP, routine: PIO_COMPLETION_ROUTINE, context: PVOID) {
    // SAFETY: the caller's contract.
    unsafe {
        let location = io::next_location(irp);
        (&raw mut (*location).CompletionRoutine).write(routine);
        (&raw mut (*location).Context).write(context);
        let always = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
        (&raw mut (*location).Control).write(always as u8);
    }
}

/// `IoMarkIrpPending`. Several packets of a request may do it at the same time.
///
/// # Safety
/// The caller owns `irp`, or it waits for the caller; the class driver was called with it.
pub(super) unsafe fn mark_pending(irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        let control = &raw mut (*io::current_location(irp)).Control;
        AtomicU8::from_ptr(control).fetch_or(SL_PENDING_RETURNED as u8, Ordering::Relaxed);
    }
}

/// `IoStatus.Status`.
///
/// # Safety
/// The caller owns `irp`.
pub(super) unsafe fn status(irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract; every bit pattern is a status.
    unsafe { (&raw const (*irp).IoStatus.__bindgen_anon_1.Status).read() }
}

/// Sets `IoStatus.Status`.
///
/// # Safety
/// The caller owns `irp`.
pub(super) unsafe fn set_status(irp: PIRP, status: NTSTATUS) {
    // SAFETY: the caller's contract.
    unsafe { (&raw mut (*irp).IoStatus.__bindgen_anon_1.Status).write(status) };
}

/// Completes an IRP with this status and gives the status back, for the dispatch routine to return.
///
/// # Safety
/// The caller owns `irp`, which is gone afterwards.
pub(super) unsafe fn complete(irp: PIRP, status: NTSTATUS, information: u64) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        set_status(irp, status);
        (&raw mut (*irp).IoStatus.Information).write(information);
        ntddk::IofCompleteRequest(irp, 0);
    }
    status
}

/// Passes an IRP down with a copy of its stack location and forgets it.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
pub(super) unsafe fn forward(lower: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        copy_to_next(irp);
        ntddk::IofCallDriver(lower, irp)
    }
}

/// Passes an IRP down, waits for it, and has it back: its status. `PASSIVE_LEVEL`.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
pub(super) unsafe fn forward_and_wait(lower: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        copy_to_next(irp);
        send_and_wait(lower, irp)
    }
}

/// Sends an IRP whose next location is prepared, waits, and has it back: its status.
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// The caller owns `irp`.
pub(super) unsafe fn send_and_wait(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let mut event = KEVENT::default();
    let event = &raw mut event;
    // SAFETY: the event outlives the request, which is waited for where it is pending.
    unsafe {
        ntddk::KeInitializeEvent(event, _EVENT_TYPE::NotificationEvent, 0);
        on_completion(irp, Some(signal), event.cast());
        if ntddk::IofCallDriver(device, irp) == STATUS_PENDING {
            ke::wait(event, None);
        }
        status(irp)
    }
}

unsafe extern "C" fn signal(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: the context is the event of `send_and_wait`, which waits if and only if the IRP was
    // marked pending below.
    unsafe {
        if (*irp).PendingReturned != 0 {
            ke::set_event(context.cast::<c_void>().cast());
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
