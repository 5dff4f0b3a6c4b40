//! IRPs down and up: the completion walk.

use std::ffi::c_void;

use ntsim::abi::*;
use ntsim::{io, ntddk};

use crate::kit::*;

unsafe extern "C" fn pass_down(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; the extension's first word is the device below.
    unsafe {
        skip(irp);
        ntddk::IofCallDriver(lower(device), irp)
    }
}

unsafe extern "C" fn pass_down_watching(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as above.
    unsafe {
        copy_to_next(irp);
        set_routine(irp, Some(propagate), std::ptr::null_mut());
        ntddk::IofCallDriver(lower(device), irp)
    }
}

unsafe extern "C" fn propagate(device: PDEVICE_OBJECT, irp: PIRP, _: *mut c_void) -> NTSTATUS {
    // SAFETY: a completion routine has its IRP.
    unsafe {
        assert!(
            !device.is_null(),
            "the routine of a driver in the middle is given its own device"
        );
        if (*irp).PendingReturned != 0 {
            (*io::current_location(irp)).Control |= PENDING;
        }
        (*irp).IoStatus.Information += 1;
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn forward_and_wait(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let outcome = Outcome::new();
    // SAFETY: as above.
    unsafe {
        copy_to_next(irp);
        set_routine(irp, Some(keep), outcome.context());
        ntddk::IofCallDriver(lower(device), irp);
        outcome.wait();
        finish(irp, STATUS_SUCCESS)
    }
}

/// The device below, from the `AttachedTo` link.
unsafe fn lower(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the caller's device.
    unsafe { (*(*device).DeviceObjectExtension).AttachedTo }
}

fn stack(top: Dispatch, bottom: Dispatch) -> PDEVICE_OBJECT {
    device("upper", top, device("lower", bottom, std::ptr::null_mut()))
}

#[test]
fn inline_completion_is_not_pending() {
    let result = on_both(|| read(stack(pass_down, complete_inline)));
    let seen = Seen {
        status: 0,
        information: 512,
        pending: false,
        device_is_null: true,
    };
    assert_eq!(result, Ok((STATUS_SUCCESS, seen)));
}

#[test]
fn later_completion_is_pending() {
    let result = on_both(|| read(stack(pass_down, complete_later)));
    let seen = Seen {
        status: 0,
        information: 512,
        pending: true,
        device_is_null: true,
    };
    assert_eq!(result, Ok((STATUS_PENDING, seen)));
}

#[test]
fn a_routine_in_the_middle_propagates_pending() {
    let result = on_both(|| read(stack(pass_down_watching, complete_later)));
    let seen = Seen {
        status: 0,
        information: 513,
        pending: true,
        device_is_null: true,
    };
    assert_eq!(result, Ok((STATUS_PENDING, seen)));
}

#[test]
fn a_driver_may_wait_for_the_one_below() {
    let result = on_both(|| read(stack(forward_and_wait, complete_later)));
    let seen = Seen {
        status: 0,
        information: 512,
        pending: false,
        device_is_null: true,
    };
    assert_eq!(result, Ok((STATUS_SUCCESS, seen)));
}

#[test]
fn the_walk_clears_what_it_leaves() {
    let result = on_both(|| {
        let device = device("lower", complete_inline, std::ptr::null_mut());
        let outcome = Outcome::new();
        let irp = read_irp(device, &outcome);
        // SAFETY: our IRP; its only location stays readable.
        unsafe {
            let location = io::next_location(irp);
            (*location).Parameters.Read.Length = 4096;
            (*location).Flags = 7;
            ntddk::IofCallDriver(device, irp);
            let left = (
                (*location).Control,
                (*location).Flags,
                (*location).Parameters.Read.Length,
                (*location).MajorFunction,
                (*irp).CurrentLocation - (*irp).StackCount,
            );
            ntddk::IoFreeIrp(irp);
            left
        }
    });
    assert_eq!(result, Ok((0, 0, 0, IRP_MJ_READ as u8, 1)));
}

#[test]
fn routines_are_called_as_their_flags_say() {
    let calls = |flags: u32, status: NTSTATUS, cancelled: bool| {
        on_both(move || {
            let device = device("lower", fail_with_context, std::ptr::null_mut());
            let outcome = Outcome::new();
            // SAFETY: our IRP.
            unsafe {
                let irp = ntddk::IoAllocateIrp(2, 0);
                // A location of our own on top, whose routine always keeps.
                (*irp).CurrentLocation -= 1;
                let own = io::current_location(irp).sub(1);
                (*irp)
                    .Tail
                    .Overlay
                    .__bindgen_anon_2
                    .__bindgen_anon_1
                    .CurrentStackLocation = own;
                let next = io::next_location(irp);
                (*next).MajorFunction = IRP_MJ_READ as u8;
                (*next).CompletionRoutine = Some(keep);
                (*next).Context = outcome.context();
                (*next).Control = flags as u8;
                (*next).Parameters.Read.Key = status.cast_unsigned();
                (*own).CompletionRoutine = Some(keep);
                (*own).Context = outcome.context();
                (*own).Control = INVOKE_ALWAYS;
                (*irp).Cancel = u8::from(cancelled);
                ntddk::IofCallDriver(device, irp);
                let level = (*irp).StackCount + 1 - (*irp).CurrentLocation;
                ntddk::IoFreeIrp(irp);
                // One level below the top: the lower routine was called and kept the IRP.
                level == 1
            }
        })
        .expect("no rule is broken")
    };
    assert!(calls(SL_INVOKE_ON_SUCCESS, STATUS_SUCCESS, false));
    assert!(!calls(SL_INVOKE_ON_ERROR, STATUS_SUCCESS, false));
    assert!(calls(SL_INVOKE_ON_ERROR, STATUS_IO_DEVICE_ERROR, false));
    assert!(!calls(SL_INVOKE_ON_SUCCESS, STATUS_IO_DEVICE_ERROR, false));
    assert!(calls(SL_INVOKE_ON_CANCEL, STATUS_SUCCESS, true));
    assert!(!calls(SL_INVOKE_ON_CANCEL, STATUS_SUCCESS, false));
}

unsafe extern "C" fn fail_with_context(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; the test put the status into the key.
    unsafe {
        let status = (*io::current_location(irp))
            .Parameters
            .Read
            .Key
            .cast_signed();
        finish(irp, status)
    }
}

#[test]
fn a_major_function_without_a_routine_is_refused() {
    let result = on_both(|| {
        let device = device("lower", complete_inline, std::ptr::null_mut());
        // SAFETY: our driver object.
        unsafe { (*(*device).DriverObject).MajorFunction[IRP_MJ_READ as usize] = None };
        let (status, seen) = read(device);
        (status, seen.status, seen.information)
    });
    let refused = STATUS_INVALID_DEVICE_REQUEST;
    assert_eq!(result, Ok((refused, refused, 0)));
}
