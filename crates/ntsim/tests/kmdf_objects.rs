//! Handles, contexts and the function table.

mod kmdf_support;

use std::ptr;

use kmdf_support::{
    attributes, change, context, context_type, devnode, filter_device, on_machine, stops, trace,
};
use ntsim::abi::*;
use ntsim::wdf::functions::*;
use ntsim::wdf::table;

const WDF_VIOLATION: u32 = 0x10D;
const INVALID_HANDLE: u64 = 5;

fn spin_lock() -> WDFSPINLOCK {
    let mut attributes = attributes();
    attributes.ParentObject = filter_device().cast();
    let mut lock = ptr::null_mut();
    // SAFETY: pointers to locals.
    let status = unsafe { WdfSpinLockCreate(&raw mut attributes, &raw mut lock) };
    assert_eq!(status, STATUS_SUCCESS);
    lock
}

#[test]
fn a_handle_to_a_destroyed_object_is_recognised() {
    let report = stops(|| {
        let (mut node, _driver) = devnode();
        let lock = spin_lock();
        node.remove().expect("is removed");
        // SAFETY: the handle is checked; that is the point.
        unsafe { WdfSpinLockAcquire(lock) };
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (WDF_VIOLATION, INVALID_HANDLE)
    );
    assert!(report.story.contains("WDFSPINLOCK"), "{report}");
    assert!(report.story.contains("destroyed"), "{report}");
}

#[test]
fn a_lock_below_the_device_works_until_the_devices_own_cleanup_is_over() {
    on_machine(|| {
        change(|plan| {
            plan.in_cleanup = Some(|device| {
                let mut attributes = attributes();
                let mut lock = ptr::null_mut();
                // SAFETY: pointers to locals; the driver is the default parent.
                unsafe {
                    let status = WdfSpinLockCreate(&raw mut attributes, &raw mut lock);
                    assert_eq!(status, STATUS_SUCCESS);
                    WdfSpinLockAcquire(lock);
                    WdfSpinLockRelease(lock);
                    WdfObjectDelete(lock.cast());
                    assert_eq!((*context(device)).seen, 7);
                }
            });
        });
        let (mut node, driver) = devnode();
        let lock = spin_lock();
        // SAFETY: the handle is alive.
        unsafe {
            WdfSpinLockAcquire(lock);
            WdfSpinLockRelease(lock);
        }
        node.remove().expect("is removed");
        driver.unload().expect("is unloaded");
    })
    .expect("no bug check");
}

#[test]
fn a_handle_of_another_type_is_recognised() {
    let report = stops(|| {
        let (_node, _driver) = devnode();
        // SAFETY: the handle is checked; that is the point.
        unsafe { WdfSpinLockAcquire(filter_device().cast()) };
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (WDF_VIOLATION, INVALID_HANDLE)
    );
    assert!(report.story.contains("WDFDEVICE"), "{report}");
}

#[test]
fn null_and_garbage_are_recognised() {
    for handle in [0_usize, 0x1234_5678] {
        let report = stops(move || {
            let (_node, _driver) = devnode();
            // SAFETY: the handle is checked; that is the point.
            unsafe { WdfSpinLockAcquire(ptr::without_provenance_mut(handle)) };
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (WDF_VIOLATION, INVALID_HANDLE)
        );
    }
}

#[test]
fn a_device_cannot_be_deleted_by_its_driver() {
    let report = stops(|| {
        let (_node, _driver) = devnode();
        // SAFETY: the handle is alive.
        unsafe { WdfObjectDelete(filter_device().cast()) };
    });
    assert_eq!(report.code, WDF_VIOLATION);
}

#[test]
fn contexts_are_zeroed_typed_and_found_again() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let device = filter_device();
        let mut object = ptr::null_mut();
        let mut attributes = attributes();
        attributes.ParentObject = device.cast();
        attributes.ContextTypeInfo = context_type();
        attributes.ContextSizeOverride = 4096;
        // SAFETY: pointers to locals; the context is as large as asked for.
        unsafe {
            assert_eq!(
                WdfObjectCreate(&raw mut attributes, &raw mut object),
                STATUS_SUCCESS
            );
            let place = WdfObjectGetTypedContextWorker(object, context_type());
            assert_eq!(place.addr() % 16, 0);
            let bytes = std::slice::from_raw_parts(place.cast::<u8>(), 4096);
            assert!(bytes.iter().all(|&byte| byte == 0));
            assert_eq!(WdfObjectContextGetObject(place), object);
            assert_eq!(
                WdfObjectContextGetObject(context(device).cast()),
                device.cast()
            );
            let other = WDF_OBJECT_CONTEXT_TYPE_INFO::default();
            assert!(WdfObjectGetTypedContextWorker(object, &raw const other).is_null());
        }
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
#[cfg(not(miri))]
fn a_context_reads_as_garbage_once_its_object_is_gone() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let place = context(filter_device()).cast::<u8>();
        node.remove().expect("is removed");
        // SAFETY: not for a driver; freed contexts stay readable for a while so that a driver's
        // mistake shows.
        assert_eq!(unsafe { *place }, 0xFE);
    })
    .expect("no bug check");
}

#[test]
fn an_object_outlives_its_deletion_while_it_is_referenced() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let lock = spin_lock();
        // SAFETY: the handle is alive until the last reference goes.
        unsafe {
            WdfObjectReferenceActual(lock.cast(), ptr::null_mut(), 0, ptr::null());
            WdfObjectDelete(lock.cast());
            WdfSpinLockAcquire(lock);
            WdfSpinLockRelease(lock);
            WdfObjectDereferenceActual(lock.cast(), ptr::null_mut(), 0, ptr::null());
        }
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_reference_too_many_at_unload_is_a_bug_check() {
    let report = stops(|| {
        let (mut node, driver) = devnode();
        let lock = spin_lock();
        // SAFETY: the handle is alive.
        unsafe { WdfObjectReferenceActual(lock.cast(), ptr::null_mut(), 0, ptr::null()) };
        node.remove().expect("is removed");
        let _: Result<(), NTSTATUS> = driver.unload();
    });
    assert_eq!(report.code, WDF_VIOLATION);
    assert!(report.story.contains("WDFSPINLOCK"), "{report}");
}

#[test]
fn an_index_beyond_the_bound_version_is_a_bug_check() {
    let report = stops(|| {
        let _: table::Entry = table::entry(444);
    });
    assert_eq!((report.code, report.parameters[1]), (WDF_VIOLATION, 444));
    assert!(report.story.contains("1.15"), "{report}");
}

#[test]
fn a_function_that_no_filter_needs_is_a_bug_check() {
    let report = stops(|| {
        let _: table::Entry = table::entry(_WDFFUNCENUM::WdfChildListCreateTableIndex as usize);
    });
    assert_eq!((report.code, report.parameters[1]), (WDF_VIOLATION, 0));
}

#[test]
fn every_entry_sits_at_the_index_of_its_name() {
    let drivers = table::entry(_WDFFUNCENUM::WdfDriverCreateTableIndex as usize);
    assert_eq!(drivers.name, "WdfDriverCreate");
    let list = table::entry(_WDFFUNCENUM::WdfCmResourceListGetCountTableIndex as usize);
    assert_eq!(list.name, "WdfCmResourceListGetCount");
    assert_eq!(
        table::ENTRIES as i32,
        _WDFFUNCENUM::WdfFunctionTableNumEntries
    );
}

#[test]
fn timers_and_work_items_run_and_are_stopped_by_the_removal() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let mut attributes = attributes();
        attributes.ParentObject = filter_device().cast();
        let mut config = WDF_TIMER_CONFIG {
            Size: size_of::<WDF_TIMER_CONFIG>() as u32,
            EvtTimerFunc: Some(on_timer),
            ..WDF_TIMER_CONFIG::default()
        };
        let mut work = WDF_WORKITEM_CONFIG {
            Size: size_of::<WDF_WORKITEM_CONFIG>() as u32,
            EvtWorkItemFunc: Some(on_work),
            ..WDF_WORKITEM_CONFIG::default()
        };
        trace();
        // SAFETY: pointers to locals; handles are alive.
        unsafe {
            let (mut timer, mut late, mut item) =
                (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            for timer in [&raw mut timer, &raw mut late] {
                let status = WdfTimerCreate(&raw mut config, &raw mut attributes, timer);
                assert_eq!(status, STATUS_SUCCESS);
            }
            let status = WdfWorkItemCreate(&raw mut work, &raw mut attributes, &raw mut item);
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(WdfTimerStart(timer, -10_000), 0);
            assert_eq!(WdfTimerStart(late, -100_000_000_000), 0);
            WdfWorkItemEnqueue(item);
            WdfWorkItemFlush(item);
            assert_eq!(trace(), ["work"]);
            let mut pause = LARGE_INTEGER { QuadPart: -20_000 };
            let mut event = KEVENT::default();
            ntsim::ntddk::KeInitializeEvent(&raw mut event, 0, 0);
            let status = ntsim::ntddk::KeWaitForSingleObject(
                (&raw mut event).cast(),
                0,
                0,
                0,
                &raw mut pause,
            );
            assert_eq!(status, STATUS_TIMEOUT);
            assert_eq!(trace(), ["timer"]);
        }
        node.remove().expect("is removed with a timer still set");
    })
    .expect("no bug check");
}

unsafe extern "C" fn on_timer(_timer: WDFTIMER) {
    kmdf_support::note("timer");
}

unsafe extern "C" fn on_work(_item: WDFWORKITEM) {
    kmdf_support::note("work");
}

#[test]
fn a_wait_lock_is_owned_and_times_out() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let mut lock = ptr::null_mut();
        let mut now = 0;
        // SAFETY: pointers to locals; the handle is alive.
        unsafe {
            assert_eq!(
                WdfWaitLockCreate(ptr::null_mut(), &raw mut lock),
                STATUS_SUCCESS
            );
            assert_eq!(WdfWaitLockAcquire(lock, ptr::null_mut()), STATUS_SUCCESS);
            assert_eq!(WdfWaitLockAcquire(lock, &raw mut now), STATUS_TIMEOUT);
            WdfWaitLockRelease(lock);
            assert_eq!(WdfWaitLockAcquire(lock, &raw mut now), STATUS_SUCCESS);
            WdfWaitLockRelease(lock);
        }
        node.remove().expect("is removed");
    })
    .expect("no bug check");
    let report = stops(|| {
        let (_node, _driver) = devnode();
        let mut lock = ptr::null_mut();
        // SAFETY: pointers to locals; the handle is alive.
        unsafe {
            assert_eq!(
                WdfWaitLockCreate(ptr::null_mut(), &raw mut lock),
                STATUS_SUCCESS
            );
            WdfWaitLockRelease(lock);
        }
    });
    assert_eq!((report.code, report.parameters[0]), (WDF_VIOLATION, 0xB));
}

#[test]
fn memory_objects_know_their_size() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let (mut memory, mut buffer, mut size) = (ptr::null_mut(), ptr::null_mut(), 0);
        let mut bytes = [1_u8, 2, 3];
        // SAFETY: pointers to locals of the lengths that are passed.
        unsafe {
            let create = |size, memory, buffer| {
                WdfMemoryCreate(ptr::null_mut(), 512, 0, size, memory, buffer)
            };
            let status = create(0, &raw mut memory, &raw mut buffer);
            assert_eq!(status, STATUS_INVALID_PARAMETER);
            let status = create(24, &raw mut memory, &raw mut buffer);
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(WdfMemoryGetBuffer(memory, &raw mut size), buffer);
            assert_eq!(size, 24);
            let from = bytes.as_mut_ptr().cast();
            assert_eq!(WdfMemoryCopyFromBuffer(memory, 21, from, 3), STATUS_SUCCESS);
            assert_eq!(
                WdfMemoryCopyFromBuffer(memory, 22, from, 3),
                STATUS_BUFFER_TOO_SMALL
            );
            assert_eq!(*buffer.cast::<u8>().add(23), 3);
        }
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_wrong_size_field_is_a_bug_check() {
    let report = stops(|| {
        let (_node, _driver) = devnode();
        let mut attributes = WDF_OBJECT_ATTRIBUTES::default();
        let mut object = ptr::null_mut();
        // SAFETY: pointers to locals.
        let _: NTSTATUS = unsafe { WdfObjectCreate(&raw mut attributes, &raw mut object) };
    });
    assert_eq!(report.code, WDF_VIOLATION);
    assert!(
        report.story.contains("WDF_OBJECT_ATTRIBUTES.Size"),
        "{report}"
    );
}

#[test]
fn objects_that_the_driver_makes_are_counted_and_can_be_refused() {
    use ntsim::machine::{AllocationKind, Machine};
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let machine = Machine::current();
        let before = machine.allocations().framework;
        spin_lock();
        assert_eq!(machine.allocations().framework, before + 1);
        machine.fail_allocations(Some(Box::new(|request| {
            request.kind == AllocationKind::Framework
        })));
        let mut attributes = attributes();
        let mut lock = ptr::null_mut();
        // SAFETY: pointers to locals.
        let status = unsafe { WdfSpinLockCreate(&raw mut attributes, &raw mut lock) };
        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
        assert!(lock.is_null());
        machine.fail_allocations(None);
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_timer_set_inside_a_context_that_dies_is_a_bug_check() {
    let report = stops(|| {
        let (mut node, driver) = devnode();
        let mut attributes = attributes();
        attributes.ParentObject = filter_device().cast();
        attributes.ContextTypeInfo = context_type();
        attributes.ContextSizeOverride = 256;
        let mut object = ptr::null_mut();
        // SAFETY: pointers to locals; the context is large enough for a timer.
        unsafe {
            assert_eq!(
                WdfObjectCreate(&raw mut attributes, &raw mut object),
                STATUS_SUCCESS
            );
            let timer: PKTIMER = WdfObjectGetTypedContextWorker(object, context_type()).cast();
            ntsim::ntddk::KeInitializeTimer(timer);
            let due = LARGE_INTEGER {
                QuadPart: -100_000_000,
            };
            ntsim::ntddk::KeSetTimer(timer, due, ptr::null_mut());
        }
        node.remove().expect("is removed");
        let _: Result<(), NTSTATUS> = driver.unload();
    });
    assert_eq!(report.code, 0xC7);
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod through_the_table {
    //! What a loaded driver binary does: it calls through the table, with its globals first.

    use super::*;

    type Worker = unsafe extern "win64" fn(
        PWDF_DRIVER_GLOBALS,
        WDFOBJECT,
        PCWDF_OBJECT_CONTEXT_TYPE_INFO,
    ) -> PVOID;

    fn slot(index: usize) -> Worker {
        // SAFETY: the table has readable slots well beyond its last entry; slots that are called
        // with fewer arguments than they take stop the machine before they look at any.
        unsafe { std::mem::transmute(*table::TABLE.base().add(index)) }
    }

    #[test]
    fn a_function_is_where_its_index_says() {
        on_machine(|| {
            let (mut node, _driver) = devnode();
            let device = filter_device();
            let worker = slot(_WDFFUNCENUM::WdfObjectGetTypedContextWorkerTableIndex as usize);
            // SAFETY: the handle is alive; unknown globals are allowed.
            let place = unsafe { worker(ptr::null_mut(), device.cast(), context_type()) };
            assert_eq!(place, context(device).cast());
            node.remove().expect("is removed");
        })
        .expect("no bug check");
    }

    #[test]
    fn slots_without_function_and_slots_beyond_the_end_stop_the_machine() {
        for index in [0, 100, 443, 444, 457] {
            let report = stops(move || {
                // SAFETY: such a slot does not come back.
                unsafe { slot(index)(ptr::null_mut(), ptr::null_mut(), ptr::null()) };
            });
            assert_eq!(
                (report.code, report.parameters[1]),
                (WDF_VIOLATION, index as u64)
            );
        }
    }
}
