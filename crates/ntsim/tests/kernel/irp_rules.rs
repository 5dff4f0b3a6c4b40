//! Broken rules of the I/O manager, each with the bug check that Windows raises for it.
#![cfg(not(miri))]

use std::ffi::c_void;
use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::machine::codes;
use ntsim::{BugCheck, io, ke, ntddk};

use crate::kit::*;

const IO_VIOLATION: u32 = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;

fn assert_io_rule(report: &BugCheck, rule: u64) {
    assert_eq!(
        (report.code, report.parameters[0]),
        (IO_VIOLATION, rule),
        "{report}"
    );
    assert!(report.story.contains("IRP"), "{report}");
}

/// Sends a read to a device with this dispatch routine.
fn read_with(dispatch: Dispatch) -> BugCheck {
    stops(move || {
        read(device("wrong", dispatch, null_mut()));
    })
}

/// Sends a read through an upper driver to one that completes later.
fn read_through(dispatch: Dispatch) -> BugCheck {
    stops(move || {
        read(device(
            "wrong",
            dispatch,
            device("lower", complete_later, null_mut()),
        ));
    })
}

unsafe fn lower(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the caller's device.
    unsafe { (*(*device).DeviceObjectExtension).AttachedTo }
}

#[test]
fn no_stack_location_left() {
    let report = stops(|| {
        let below = device("lower", complete_inline, null_mut());
        let top = device("upper", forward, below);
        let outcome = Outcome::new();
        // SAFETY: our IRP, made for one device too few.
        unsafe {
            let irp = ntddk::IoAllocateIrp((*top).StackSize - 1, 0);
            (*io::next_location(irp)).MajorFunction = IRP_MJ_READ as u8;
            set_routine(irp, Some(keep), outcome.context());
            ntddk::IofCallDriver(top, irp);
        }
    });
    assert_eq!(report.code, codes::NO_MORE_IRP_STACK_LOCATIONS, "{report}");
    assert!(
        report.story.contains("IRP_MJ_READ"),
        "the story tells where the IRP was: {report}"
    );
    assert!(
        report.story.contains("IoAllocateIrp"),
        "and who made it: {report}"
    );
}

unsafe extern "C" fn forward(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP.
    unsafe {
        // Without looking whether there is a next location, as wrong drivers do.
        if (*irp).CurrentLocation > 1 {
            copy_to_next(irp);
        }
        ntddk::IofCallDriver(lower(device), irp)
    }
}

#[test]
fn completed_twice() {
    unsafe extern "C" fn twice(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: the first time the driver has it.
        unsafe {
            finish(irp, STATUS_SUCCESS);
            finish(irp, STATUS_SUCCESS)
        }
    }
    let report = read_with(twice);
    assert_eq!(
        report.code,
        codes::MULTIPLE_IRP_COMPLETE_REQUESTS,
        "{report}"
    );
    assert!(report.story.contains("completed by wrong"), "{report}");
}

#[test]
fn completed_with_status_pending() {
    unsafe extern "C" fn pending(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe { finish(irp, STATUS_PENDING) }
    }
    assert_io_rule(&read_with(pending), 0x06);
}

#[test]
fn returned_pending_without_marking() {
    unsafe extern "C" fn unmarked(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe { finish_later(irp) };
        STATUS_PENDING
    }
    assert_io_rule(&read_with(unmarked), 0x23D);
}

#[test]
fn marked_pending_and_returned_something_else() {
    unsafe extern "C" fn marked(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            (*io::current_location(irp)).Control |= PENDING;
            finish(irp, STATUS_SUCCESS)
        }
    }
    assert_io_rule(&read_with(marked), 0x23E);
}

#[test]
fn returned_without_completing() {
    unsafe extern "C" fn forgets(_: PDEVICE_OBJECT, _: PIRP) -> NTSTATUS {
        STATUS_SUCCESS
    }
    assert_io_rule(&read_with(forgets), 0x226);
}

#[test]
fn returned_another_status_than_the_irp_got() {
    unsafe extern "C" fn lies(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe { finish(irp, STATUS_IO_DEVICE_ERROR) };
        STATUS_SUCCESS
    }
    assert_io_rule(&read_with(lies), 0x224);
}

#[test]
fn pending_returned_not_propagated() {
    unsafe extern "C" fn silent(_: PDEVICE_OBJECT, _: PIRP, _: *mut c_void) -> NTSTATUS {
        STATUS_SUCCESS
    }
    unsafe extern "C" fn watch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            copy_to_next(irp);
            set_routine(irp, Some(silent), null_mut());
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    // The dispatch routine's STATUS_PENDING does not fit either; whichever is seen first.
    let report = read_through(watch);
    assert_eq!(report.code, IO_VIOLATION, "{report}");
    assert!(matches!(report.parameters[0], 0x228 | 0x23D), "{report}");
}

#[test]
fn skipped_after_marking_pending() {
    unsafe extern "C" fn mark_and_skip(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            (*io::current_location(irp)).Control |= PENDING;
            skip(irp);
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    assert_io_rule(&read_through(mark_and_skip), 0x206);
}

#[test]
fn skipped_after_setting_a_routine() {
    unsafe extern "C" fn set_and_skip(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            set_routine(irp, Some(keep), null_mut());
            skip(irp);
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    assert_io_rule(&read_through(set_and_skip), 0x212);
}

#[test]
fn copied_the_routine_of_the_driver_above() {
    unsafe extern "C" fn copy_all(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            io::next_location(irp).write(io::current_location(irp).read());
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    assert_io_rule(&read_through(copy_all), 0x207);
}

#[test]
fn forwarded_an_irp_that_is_below() {
    unsafe extern "C" fn twice(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: the first time the driver has it.
        unsafe {
            copy_to_next(irp);
            ntddk::IofCallDriver(lower(device), irp);
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    let report = stops_deterministic(|| {
        read(device("wrong", twice, device("lower", never, null_mut())));
    });
    assert_io_rule(&report, 0x205);
}

unsafe extern "C" fn never(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP.
    unsafe { (*io::current_location(irp)).Control |= PENDING };
    STATUS_PENDING
}

#[test]
fn completed_an_irp_that_is_below() {
    unsafe extern "C" fn hasty(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP, until it passes it down.
        unsafe {
            copy_to_next(irp);
            ntddk::IofCallDriver(lower(device), irp);
            finish(irp, STATUS_SUCCESS)
        }
    }
    let report = stops_deterministic(|| {
        read(device("wrong", hasty, device("lower", never, null_mut())));
    });
    assert_io_rule(&report, 0x209);
}

#[test]
fn freed_and_reused_while_below() {
    type Misuse = unsafe extern "C" fn(PIRP);
    unsafe extern "C" fn free(irp: PIRP) {
        // SAFETY: the rule under test.
        unsafe { ntddk::IoFreeIrp(irp) }
    }
    unsafe extern "C" fn reuse(irp: PIRP) {
        // SAFETY: the rule under test.
        unsafe { ntddk::IoReuseIrp(irp, STATUS_SUCCESS) }
    }
    for misuse in [free as Misuse, reuse as Misuse] {
        let report = stops_deterministic(move || {
            let device = device("lower", never, null_mut());
            let outcome = Outcome::new();
            let irp = read_irp(device, &outcome);
            // SAFETY: our IRP, until it is sent.
            unsafe {
                ntddk::IofCallDriver(device, irp);
                misuse(irp);
            }
        });
        assert_io_rule(&report, 0x20B);
    }
}

#[test]
fn freed_twice() {
    let report = stops(|| {
        // SAFETY: our IRP, the first time.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            ntddk::IoFreeIrp(irp);
            ntddk::IoFreeIrp(irp);
        }
    });
    assert_io_rule(&report, 0x01);
    assert!(report.story.contains("(freed)"), "{report}");
}

#[test]
fn freed_with_the_pool_function() {
    let report = stops(|| {
        // SAFETY: the rule under test.
        unsafe { ntddk::ExFreePool(ntddk::IoAllocateIrp(1, 0).cast()) };
    });
    assert_eq!(
        report.code,
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        "{report}"
    );
    assert_eq!(report.parameters[0], 0x105, "{report}");
}

#[test]
fn initialised_instead_of_reused() {
    let report = stops(|| {
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            ntddk::IoInitializeIrp(irp, (*irp).Size, 1);
        }
    });
    assert_io_rule(&report, 0x20D);
}

#[test]
fn own_irp_let_go_at_the_top() {
    unsafe extern "C" fn lets_go(_: PDEVICE_OBJECT, _: PIRP, _: *mut c_void) -> NTSTATUS {
        STATUS_SUCCESS
    }
    let report = stops(|| {
        let device = device("lower", complete_inline, null_mut());
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            (*io::next_location(irp)).MajorFunction = IRP_MJ_READ as u8;
            set_routine(irp, Some(lets_go), null_mut());
            ntddk::IofCallDriver(device, irp);
        }
    });
    assert_io_rule(&report, 0x200);
}

#[test]
fn freed_in_the_routine_and_not_kept() {
    unsafe extern "C" fn frees(_: PDEVICE_OBJECT, irp: PIRP, _: *mut c_void) -> NTSTATUS {
        // SAFETY: the maker's routine has its IRP.
        unsafe { ntddk::IoFreeIrp(irp) };
        STATUS_SUCCESS
    }
    let report = stops(|| {
        let device = device("lower", complete_inline, null_mut());
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            (*io::next_location(irp)).MajorFunction = IRP_MJ_READ as u8;
            set_routine(irp, Some(frees), null_mut());
            ntddk::IofCallDriver(device, irp);
        }
    });
    assert_io_rule(&report, 0x20B);
}

#[test]
fn own_irp_marked_pending_in_its_routine() {
    unsafe extern "C" fn marks(_: PDEVICE_OBJECT, irp: PIRP, _: *mut c_void) -> NTSTATUS {
        // SAFETY: not: the IRP has no location there. The rule under test.
        unsafe { (*io::current_location(irp)).Control |= PENDING };
        STATUS_MORE_PROCESSING_REQUIRED
    }
    let report = stops(|| {
        let device = device("lower", complete_inline, null_mut());
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            (*io::next_location(irp)).MajorFunction = IRP_MJ_READ as u8;
            set_routine(irp, Some(marks), null_mut());
            ntddk::IofCallDriver(device, irp);
        }
    });
    assert_eq!(
        report.code,
        codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION,
        "{report}"
    );
    assert!(report.story.contains("IoMarkIrpPending"), "{report}");
}

#[test]
fn sent_to_a_deleted_device() {
    let report = stops(|| {
        let device = device("gone", complete_inline, null_mut());
        // SAFETY: our device; the rule under test.
        unsafe { ntddk::IoDeleteDevice(device) };
        let outcome = Outcome::new();
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            set_routine(irp, Some(keep), outcome.context());
            ntddk::IofCallDriver(device, irp);
        }
    });
    assert_io_rule(&report, 0x04);
}

#[test]
fn sent_or_completed_with_a_cancel_routine_set() {
    unsafe extern "C" fn cancel(_: PDEVICE_OBJECT, _: PIRP) {}
    unsafe extern "C" fn completes(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            (*irp).CancelRoutine = Some(cancel);
            finish(irp, STATUS_SUCCESS)
        }
    }
    unsafe extern "C" fn sends(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            (*irp).CancelRoutine = Some(cancel);
            skip(irp);
            ntddk::IofCallDriver(lower(device), irp)
        }
    }
    assert_io_rule(&read_with(completes), 0x07);
    assert_io_rule(&read_through(sends), 0x203);
}

#[test]
fn irql_changed_by_a_dispatch_routine() {
    unsafe extern "C" fn raises(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe {
            finish(irp, STATUS_SUCCESS);
            ntddk::KfRaiseIrql(2);
        }
        STATUS_SUCCESS
    }
    let report = read_with(raises);
    assert_eq!(
        (report.code, report.parameters[0]),
        (IO_VIOLATION, 0x05),
        "{report}"
    );
    assert_eq!(report.parameters[2..], [0, 2], "{report}");
}

#[test]
fn irql_changed_by_a_completion_routine() {
    unsafe extern "C" fn raises(_: PDEVICE_OBJECT, _: PIRP, _: *mut c_void) -> NTSTATUS {
        // SAFETY: a legal raise.
        unsafe { ntddk::KfRaiseIrql(2) };
        STATUS_MORE_PROCESSING_REQUIRED
    }
    let report = stops(|| {
        let device = device("lower", complete_inline, null_mut());
        // SAFETY: our IRP.
        unsafe {
            let irp = ntddk::IoAllocateIrp(1, 0);
            set_routine(irp, Some(raises), null_mut());
            ntddk::IofCallDriver(device, irp);
        }
    });
    assert_eq!(
        report.code,
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        "{report}"
    );
    assert_eq!(report.parameters[0], 0xFA, "{report}");
}

#[test]
fn a_wait_at_dispatch_level() {
    let report = stops(|| {
        let outcome = Outcome::new();
        ke::raise_to_dispatch(|| outcome.wait());
    });
    assert_eq!(report.code, codes::IRQL_NOT_LESS_OR_EQUAL, "{report}");
}

#[test]
fn a_passive_function_at_dispatch_level() {
    let report = stops(|| {
        // SAFETY: the rule under test.
        ke::raise_to_dispatch(|| unsafe { ntddk::KeFlushQueuedDpcs() });
    });
    assert_eq!(report.code, codes::IRQL_NOT_LESS_OR_EQUAL, "{report}");
}

#[test]
fn recursion_ends_in_a_stack_overflow() {
    unsafe extern "C" fn again(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP; the same driver gets a new one each time.
        unsafe {
            read(device);
            finish(irp, STATUS_SUCCESS)
        }
    }
    let report = read_with(again);
    assert_eq!(report.code, codes::UNEXPECTED_KERNEL_MODE_TRAP, "{report}");
    assert_eq!(report.parameters[0], 8, "{report}");
}

#[test]
fn a_bug_check_of_the_drivers_own() {
    let report = stops(|| {
        // SAFETY: never returns.
        unsafe { ntddk::KeBugCheckEx(0xDEAD, 1, 2, 3, 4) }
    });
    assert_eq!((report.code, report.parameters), (0xDEAD, [1, 2, 3, 4]));
}
