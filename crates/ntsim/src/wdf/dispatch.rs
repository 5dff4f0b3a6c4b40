//! The way of a request through the framework.
//!
//! Every major function of a framework driver is [`dispatch_with_lock`] (`fxdevice.cpp`,
//! `DispatchWithLock`). PnP (but for the removal itself), power and WMI always hold the remove
//! lock. Everything else holds it only if the device opted in, and then *before* the driver's
//! preprocess callback runs: the stack location is copied one level down with a completion routine
//! that gives the lock back, and the copy becomes the current location. So what the driver sees is
//! not the location that the sender filled, and the lock is released inside the driver's own
//! `IoCompleteRequest`.

use core::ffi::c_void;
use std::sync::Arc;

use super::device::{self, ACQUIRE_FOR_IO, Device, LOCK_SIZE};
use super::object::{Body, Object};
use super::{Framework, frame, irp, kernel, plug};
use crate::abi::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL,
    IRP_MN_REMOVE_DEVICE, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIRP,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};
use crate::ntddk;

/// `STATUS_CONTINUE_COMPLETION`
const CONTINUE: NTSTATUS = STATUS_SUCCESS;
/// What IRP stories call the framework's own use of the lock.
const FILE: *const core::ffi::c_char = c"the framework".as_ptr();

/// What a request needs from the remove lock (`FxDevice::_RequiresRemLock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockNeed {
    /// Held until the framework has handled the request.
    Required,
    /// Held until the request completes, if the device opted in.
    OptIn,
    /// Only checked: the removal waits for the lock itself.
    TestValid,
}

fn lock_need(major: u8, minor: u8) -> LockNeed {
    match u32::from(major) {
        IRP_MJ_PNP if u32::from(minor) == IRP_MN_REMOVE_DEVICE => LockNeed::TestValid,
        IRP_MJ_PNP | IRP_MJ_POWER | IRP_MJ_SYSTEM_CONTROL => LockNeed::Required,
        _ => LockNeed::OptIn,
    }
}

/// Takes the remove lock of a device for a request.
///
/// # Safety
///
/// The device object is alive and the framework's.
pub(crate) unsafe fn acquire(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller vouches for the device.
    unsafe { ntddk::IoAcquireRemoveLockEx(device::lock_of(device), irp.cast(), FILE, 0, LOCK_SIZE) }
}

/// Gives the remove lock of a device back.
///
/// # Safety
///
/// The device object is alive and the framework's, and the lock is held for this request.
pub(crate) unsafe fn release(device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: the caller vouches for the device and the lock.
    unsafe { ntddk::IoReleaseRemoveLockEx(device::lock_of(device), irp.cast(), LOCK_SIZE) };
}

/// The dispatch routine of every framework driver.
pub(crate) unsafe extern "C" fn dispatch_with_lock(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the I/O manager calls with a live device of this driver and a request for it.
    unsafe {
        let (major, minor) = irp::functions(irp);
        let status = match lock_need(major, minor) {
            LockNeed::Required => acquire(device, irp),
            LockNeed::OptIn => acquire_opt_in(device, irp),
            LockNeed::TestValid => {
                let status = acquire(device, irp);
                if NT_SUCCESS(status) {
                    release(device, irp);
                }
                status
            }
        };
        if !NT_SUCCESS(status) {
            return irp::complete(irp, status);
        }
        dispatch(device, irp)
    }
}

/// `_AcquireOptinRemoveLock`
unsafe fn acquire_opt_in(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as for `dispatch_with_lock`.
    unsafe {
        let extension = device::extension(device);
        if (*extension).options & ACQUIRE_FOR_IO == 0 {
            return STATUS_SUCCESS;
        }
        let status = acquire(device, irp);
        if !NT_SUCCESS(status) {
            return status;
        }
        irp::copy_to_next(irp);
        // `IoSetCompletionRoutineEx` allocates; without memory the framework falls back to
        // `IoSetCompletionRoutine`, so the request goes on either way (`fxirpkm.hpp`).
        let context = kernel::allocate(64);
        irp::on_completion(irp, Some(release_on_completion), context);
        irp::set_next(irp);
        STATUS_SUCCESS
    }
}

/// `_CompletionRoutineForRemlockMaintenance`
unsafe extern "C" fn release_on_completion(
    device: PDEVICE_OBJECT,
    irp: PIRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: runs in the completion of a request for which `acquire_opt_in` holds the lock of
    // this device; the routine sits in the copied location, so `device` is ours.
    unsafe {
        kernel::free(context);
        if (*irp).PendingReturned != 0 {
            irp::mark_pending(irp);
        }
        release(device, irp);
    }
    CONTINUE
}

/// Whether the routine at this address is the one that gives the remove lock back.
pub(crate) fn is_own_routine(address: usize) -> bool {
    address == release_on_completion as *const () as usize
}

/// `FxDevice::Dispatch`
unsafe fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as for `dispatch_with_lock`.
    unsafe {
        let handle = (*device::extension(device)).device;
        let found = Framework::current().objects().get(handle);
        match found {
            Some(object) => first_sight(&object, irp),
            None => gone(irp),
        }
    }
}

/// A request at a device whose framework object no longer exists.
unsafe fn gone(irp: PIRP) -> ! {
    // SAFETY: the request is alive, whatever becomes of the device.
    let (major, minor) = unsafe { irp::functions(irp) };
    kernel::bug_check(
        0x50,
        [irp.addr() as u64, u64::from(major), 0, 0],
        format!(
            "a request (major {major}, minor {minor}) reached a framework device after its removal. \
             The device object still exists because something is attached above it, but the \
             WDFDEVICE is destroyed. WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO would have refused the \
             request with STATUS_DELETE_PENDING."
        ),
    )
}

/// `DispatchWorker` from its beginning: the driver's preprocess callback, or else the framework.
unsafe fn first_sight(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    const NAME: &str = "Dispatch";
    // SAFETY: the request is in the framework's hands.
    let (major, minor) = unsafe { irp::functions(irp) };
    let device = object.device(NAME);
    let routine = device.preprocess.as_ref().and_then(|table| {
        let entry = table.get(usize::from(major))?;
        let wanted = entry.minors.is_empty() || entry.minors.contains(&minor);
        entry.routine.filter(|_| wanted)
    });
    let Some(routine) = routine else {
        // SAFETY: the request is in the framework's hands.
        return unsafe { package(object, irp) };
    };
    let handle = object.handle();
    let wdm = device.wdm.0;
    let status = frame::enter(object.owner(), "EvtDeviceWdmIrpPreprocess", || {
        // SAFETY: a callback of the driver, called as [EVT_WDFDEVICE_WDM_IRP_PREPROCESS] says.
        unsafe { frame::invoke!(routine, handle, irp) }
    });
    if lock_need(major, minor) == LockNeed::Required {
        // The framework takes the lock again if the driver hands the request back to it.
        // SAFETY: taken in `dispatch_with_lock`, for this request, on this device.
        unsafe { release(wdm, irp) };
    }
    status
}

/// `DispatchWorker` after all preprocessing: the framework's own handlers.
unsafe fn package(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    const NAME: &str = "Dispatch";
    let device = object.device(NAME);
    // SAFETY: the request is in the framework's hands, and with PnP, power and WMI the lock is.
    unsafe {
        let (major, _) = irp::functions(irp);
        match u32::from(major) {
            IRP_MJ_PNP => plug::pnp(object, irp),
            IRP_MJ_POWER => super::power::power(object, irp),
            IRP_MJ_SYSTEM_CONTROL => {
                let status = forward(device, irp);
                release(device.wdm.0, irp);
                status
            }
            _ if device.filter => forward(device, irp),
            IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp::complete(irp, STATUS_SUCCESS),
            _ => irp::complete(irp, STATUS_INVALID_DEVICE_REQUEST),
        }
    }
}

/// `Forward`: the device below gets the very location that the framework was given.
///
/// # Safety
///
/// The request is in the caller's hands, which it leaves.
pub(crate) unsafe fn forward(device: &Device, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller vouches for the request; the device below outlives the attachment.
    unsafe {
        irp::skip(irp);
        ntddk::IofCallDriver(device.attached.0, irp)
    }
}

/// The calls about dispatching.
pub(crate) mod calls {
    use super::{Body, LockNeed, NT_SUCCESS, NTSTATUS, PIRP, acquire, irp, lock_need, package};
    use crate::abi::WDFDEVICE;
    use crate::wdf::driver::DISPATCH;
    use crate::wdf::object;
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{not_null, require_irql};

    wdf_functions! {
        /// Gives a preprocessed request to the framework. Works like `IoCallDriver`: the caller
        /// skips or copies its location first. Up to `DISPATCH_LEVEL`.
        34 fn WdfDeviceWdmDispatchPreprocessedIrp(Device: WDFDEVICE, Irp: PIRP) -> NTSTATUS {
            const NAME: &str = "WdfDeviceWdmDispatchPreprocessedIrp";
            require_irql(NAME, DISPATCH);
            not_null(NAME, "Irp", Irp);
            let object = object::any(NAME, Device);
            let wdm = match &object.body {
                Body::Device(device) => device.wdm.0,
                _ => object::wrong_type(NAME, &object, "WDFDEVICE"),
            };
            // SAFETY: the caller hands over a request of this device, with its location prepared.
            unsafe {
                irp::set_next(Irp);
                let (major, minor) = irp::functions(Irp);
                if lock_need(major, minor) == LockNeed::Required {
                    let status = acquire(wdm, Irp);
                    if !NT_SUCCESS(status) {
                        (*Irp).IoStatus.Information = 0;
                        return irp::complete(Irp, status);
                    }
                }
                package(&object, Irp)
            }
        }
    }
}
