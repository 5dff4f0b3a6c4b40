//! Work items, the error log, debug output.

use std::ffi::c_void;
use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::{Machine, io, ke, ntddk};

use crate::kit::*;

unsafe extern "C" fn signal(_: PDEVICE_OBJECT, context: *mut c_void) {
    assert_eq!(ke::irql(), 0, "work items run at PASSIVE_LEVEL");
    // SAFETY: the context is the test's outcome.
    unsafe {
        let outcome: &Outcome = &*context.cast();
        ke::set_event(outcome.event.get());
    }
}

#[test]
fn a_work_item_queued_at_dispatch_level_runs_at_passive_level() {
    let result = on_both(|| {
        let device = device("working", complete_inline, null_mut());
        let outcome = Outcome::new();
        // SAFETY: our device and work item.
        unsafe {
            let item = ntddk::IoAllocateWorkItem(device);
            ke::raise_to_dispatch(|| {
                ntddk::IoQueueWorkItem(item, Some(signal), 1, outcome.context());
            });
            let status = ke::wait(outcome.event.get(), None);
            ntddk::IoFreeWorkItem(item);
            status
        }
    });
    assert_eq!(result, Ok(STATUS_SUCCESS));
}

#[test]
fn a_work_item_that_blocks_does_not_hold_up_another() {
    unsafe extern "C" fn block(_: PDEVICE_OBJECT, context: *mut c_void) {
        // SAFETY: the context is the test's outcome, which outlives the work item.
        unsafe { ke::wait((*context.cast::<Outcome>()).event.get(), None) };
    }
    let result = on_both(|| {
        let device = device("working", complete_inline, null_mut());
        let outcome = Outcome::new();
        // SAFETY: our device and work items; the second lets the first go on.
        unsafe {
            let items = [
                ntddk::IoAllocateWorkItem(device),
                ntddk::IoAllocateWorkItem(device),
            ];
            ntddk::IoQueueWorkItem(items[0], Some(block), 1, outcome.context());
            ntddk::IoQueueWorkItem(items[1], Some(signal), 1, outcome.context());
            let status = ke::wait(outcome.event.get(), None);
            Machine::current().idle();
            for item in items {
                ntddk::IoFreeWorkItem(item);
            }
            status
        }
    });
    assert_eq!(result, Ok(STATUS_SUCCESS));
}

#[test]
fn a_run_does_not_end_before_its_work_items() {
    unsafe extern "C" fn late(_: PDEVICE_OBJECT, context: *mut c_void) {
        ke::delay(1_000);
        let ran: Box<std::sync::mpsc::Sender<u8>> =
            // SAFETY: the test gave the box away.
            unsafe { Box::from_raw(context.cast()) };
        ran.send(1).expect("the test listens");
    }
    for machine in both() {
        let (sender, receiver) = std::sync::mpsc::channel();
        machine
            .run(move || {
                let device = device("working", complete_inline, null_mut());
                let context = Box::into_raw(Box::new(sender)).cast();
                // SAFETY: our work item, freed with the machine.
                unsafe {
                    let item = ntddk::IoAllocateWorkItem(device);
                    ntddk::IoQueueWorkItem(item, Some(late), 1, context);
                }
            })
            .expect("no rule is broken");
        assert_eq!(receiver.try_recv(), Ok(1));
    }
}

#[test]
fn the_error_log_remembers() {
    let machine = deterministic(1);
    machine
        .run(|| {
            let device = device("logging", complete_inline, null_mut());
            // SAFETY: our entry until it is written.
            as_driver_of(device, || unsafe {
                let entry: PIO_ERROR_LOG_PACKET =
                    ntddk::IoAllocateErrorLogEntry(device.cast(), 52).cast();
                (*entry).ErrorCode = STATUS_IO_DEVICE_ERROR;
                (*entry).UniqueErrorValue = 9;
                (*entry).DumpDataSize = 4;
                (*entry).DumpData = [0x0403_0201];
                ntddk::IoWriteErrorLogEntry(entry.cast());
            });
        })
        .expect("no rule is broken");
    let log = io::error_log(&machine);
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].driver.as_str(), log[0].unique), ("logging", 9));
    assert_eq!(log[0].dump, [1, 2, 3, 4]);
}

#[test]
fn debug_output_becomes_lines() {
    let machine = deterministic(1);
    machine
        .run(|| {
            ke::debug_print(format_args!("one "));
            ke::debug_print(format_args!("line\nand {}\n", "another"));
        })
        .expect("no rule is broken");
    assert_eq!(machine.debug_log(), ["one line", "and another"]);
}

#[cfg(not(miri))]
#[test]
fn a_work_item_queued_twice() {
    let report = stops_deterministic(|| {
        let device = device("working", complete_inline, null_mut());
        let outcome = Outcome::new();
        // SAFETY: our device and work item; the rule under test.
        ke::raise_to_dispatch(|| unsafe {
            let item = ntddk::IoAllocateWorkItem(device);
            ntddk::IoQueueWorkItem(item, Some(signal), 1, outcome.context());
            ntddk::IoQueueWorkItem(item, Some(signal), 1, outcome.context());
        });
    });
    assert_eq!(report.code, 0xC4, "{report}");
}
