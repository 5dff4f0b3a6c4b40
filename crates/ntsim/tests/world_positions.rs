//! A filter finds its place in every kind of stack, and what it does to requests is seen where they
//! arrive: let through untouched, or watched with a completion routine of its own.

use core::ptr;
use std::sync::Mutex;

use ntsim::abi::{
    DO_DEVICE_INITIALIZING, DO_DIRECT_IO, FILE_DEVICE_DISK, IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE,
    NTSTATUS, PCUNICODE_STRING, PDEVICE_OBJECT, PDRIVER_OBJECT, PIO_STACK_LOCATION, PIRP, PVOID,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_SUCCESS,
};
use ntsim::machine::Machine;
use ntsim::ntddk::{
    IoAttachDeviceToDeviceStackSafe, IoCreateDevice, IoDeleteDevice, IoDetachDevice,
    IoGetLowerDeviceObject, IofCallDriver, ObfDereferenceObject,
};
use ntsim::pnp::Driver;
use ntsim::registry::{ENUM, Registry, Value};
use ntsim::world::{Arrival, Stack};
use ntsim::{StackKind, World};

/// What the filter saw and shall do, one for each machine.
#[derive(Default)]
struct Notes {
    /// The drivers of the devices below at `AddDevice`, from the next one to the bottom.
    below: Mutex<Vec<String>>,
    /// Requests get a completion routine.
    routine: Mutex<bool>,
}

unsafe extern "system" fn driver_entry(driver: PDRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: called once by the loader with a fresh driver object.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        (*table) = [Some(pass); 28];
        (*table)[IRP_MJ_PNP as usize] = Some(pnp);
        (*(*driver).DriverExtension).AddDevice = Some(add_device);
        (*driver).DriverUnload = Some(unload);
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_: PDRIVER_OBJECT) {}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and the stack to join.
    unsafe {
        let mut device = ptr::null_mut();
        let room = size_of::<PDEVICE_OBJECT>() as u32;
        let made = &raw mut device;
        let status = IoCreateDevice(driver, room, ptr::null_mut(), FILE_DEVICE_DISK, 0, 0, made);
        assert_eq!(status, STATUS_SUCCESS);
        let lower: *mut PDEVICE_OBJECT = (*device).DeviceExtension.cast();
        let status = IoAttachDeviceToDeviceStackSafe(device, pdo, lower);
        (*device).Flags |= (**lower).Flags & DO_DIRECT_IO;
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
        let notes = Machine::current().extension::<Notes>();
        *notes.below.lock().expect("one thread") = drivers_below(device);
        status
    }
}

/// The drivers of the devices below, by `IoGetLowerDeviceObject` alone.
///
/// # Safety
/// The device is attached.
unsafe fn drivers_below(device: PDEVICE_OBJECT) -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: each device below is referenced while it is looked at.
    unsafe {
        let mut lower = IoGetLowerDeviceObject(device);
        while !lower.is_null() {
            let name = &raw const (*(*lower).DriverObject).DriverName;
            let length = usize::from((*name).Length) / 2;
            let units = std::slice::from_raw_parts((*name).Buffer, length);
            names.push(String::from_utf16_lossy(units));
            let next = IoGetLowerDeviceObject(lower);
            ObfDereferenceObject(lower.cast());
            lower = next;
        }
    }
    names
}

unsafe fn location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller has the IRP.
    unsafe {
        let tail = &raw const (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
        (*tail).CurrentStackLocation
    }
}

unsafe fn lower(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: written by `add_device`.
    unsafe { (*device).DeviceExtension.cast::<PDEVICE_OBJECT>().read() }
}

/// Skips the location, or copies it and watches the request come back.
unsafe extern "C" fn pass(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let notes = Machine::current().extension::<Notes>();
    let watches = *notes.routine.lock().expect("one thread");
    // SAFETY: called by the I/O manager with this driver's device and an IRP for it, which has a
    // location for each device below.
    unsafe {
        let current = location(irp);
        if watches {
            let next = current.sub(1);
            ptr::copy_nonoverlapping(current, next, 1);
            (*next).CompletionRoutine = Some(seen);
            (*next).Context = ptr::null_mut();
            let control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
            (*next).Control = control as u8;
        } else {
            skip(irp);
        }
        IofCallDriver(lower(device), irp)
    }
}

/// # Safety
/// The caller's dispatch routine owns the IRP.
unsafe fn skip(irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        let current = location(irp);
        (*irp).CurrentLocation += 1;
        let tail = &raw mut (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
        (*tail).CurrentStackLocation = current.add(1);
    }
}

unsafe extern "C" fn seen(_: PDEVICE_OBJECT, irp: PIRP, _: PVOID) -> NTSTATUS {
    // SAFETY: the completion routine has the IRP at its own location.
    unsafe {
        if (*irp).PendingReturned != 0 {
            (*location(irp)).Control |= SL_PENDING_RETURNED as u8;
        }
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with this driver's device and an IRP for it; after REMOVE
    // the device is this driver's to take down.
    unsafe {
        let minor = u32::from((*location(irp)).MinorFunction);
        let lower = lower(device);
        skip(irp);
        let status = IofCallDriver(lower, irp);
        if minor == IRP_MN_REMOVE_DEVICE {
            IoDetachDevice(lower);
            IoDeleteDevice(device);
        }
        status
    }
}

fn filter() -> Driver {
    Driver::linked("placefilter", driver_entry)
}

fn watch_with_routine(stack: &Stack, yes: bool) {
    let notes = stack.machine().extension::<Notes>();
    *notes.routine.lock().expect("one thread") = yes;
}

/// Runs a scenario above a filter in this kind of stack.
fn run<T: Send>(kind: StackKind, scenario: impl FnOnce(&Stack) -> T + Send) -> T {
    let (value, report) = World::new(filter())
        .stack(kind)
        .run(scenario)
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert_eq!(report.sent, report.finished);
    value
}

#[test]
fn drivers_join_a_stack_from_the_bottom_up() {
    let expected: [(StackKind, &[&str], &str); 3] = [
        (StackKind::Port, &[r"\Driver\ntsimport"], "LowerFilters"),
        (StackKind::Disk, &[r"\Driver\ntsimport"], "LowerFilters"),
        (
            StackKind::Relay,
            &[r"\Driver\disk", r"\Driver\ntsimport"],
            "UpperFilters",
        ),
    ];
    for (kind, names, value) in expected {
        run(kind, |stack| {
            let notes = stack.machine().extension::<Notes>();
            assert_eq!(*notes.below.lock().expect("one thread"), names, "{kind:?}");
            let instance = format!(r"{ENUM}\SCSI\Disk&Ven_NTSIM&Prod_DISK\0001");
            let registry = Registry::of(stack.machine());
            let filters = registry.get(&instance, value);
            assert_eq!(filters, Some(Value::multi_sz(&["placefilter"])), "{kind:?}");
            let service = registry.get(&instance, "Service");
            let disk = (kind != StackKind::Port).then(|| Value::sz("disk"));
            assert_eq!(service, disk, "{kind:?}");
        });
    }
}

#[test]
fn a_request_that_passes_a_lower_filter() {
    run(StackKind::Disk, |stack| {
        let buffer = stack.buffer(4096, 0);
        for watches in [false, true] {
            watch_with_routine(stack, watches);
            stack.port().forget_records();
            let done = stack.read(8 << 20, &buffer).send().wait();
            assert!(done.succeeded(), "{done:x?}");
            let records = stack.port().records();
            assert_eq!(records.len(), 1);
            assert_eq!(records[0].filter_routine, watches);
            assert_eq!(records[0].bytes, 4096);
        }
    });
}

#[test]
fn a_request_that_passes_an_upper_filter() {
    const THREAD: usize = 0xFFFF_E000_0042_0000;
    let arrivals = run(StackKind::Relay, |stack| {
        let buffer = stack.buffer(8192, 0);
        stack.watch(stack.class_device());
        for watches in [false, true] {
            watch_with_routine(stack, watches);
            let write = stack.write(1 << 20, &buffer).key(7).flags(4).priority(3);
            assert!(write.paging().thread(THREAD).send().wait().succeeded());
        }
        stack.arrivals(stack.class_device())
    });
    let routine = |arrival: &Arrival| arrival.routine_of.clone();
    assert_eq!(arrivals.len(), 2);
    assert_eq!(
        routine(&arrivals[0]).as_deref(),
        Some(""),
        "the harness's own"
    );
    assert_eq!(routine(&arrivals[1]).as_deref(), Some("placefilter"));
    for arrival in &arrivals {
        assert_eq!((arrival.offset, arrival.length), (1 << 20, 8192));
        assert_eq!((arrival.key, arrival.stack_flags), (7, 4));
        assert_eq!((arrival.priority, arrival.thread), (3, THREAD));
        assert_eq!(arrival.irp_flags & 0xFF, 0x43);
        assert_eq!((arrival.mdls, arrival.span_pages), (1, 2));
        assert_eq!(arrival.sender, "placefilter");
        assert_eq!(arrival.maker, "", "the harness made it");
    }
}
