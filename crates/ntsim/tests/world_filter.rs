//! A filter in the stack: what passes through it arrives as it was sent, and what a late retry
//! meets after REMOVE.

use core::ffi::c_void;
use core::ptr;

use ntsim::abi::{
    DO_DEVICE_INITIALIZING, FILE_DEVICE_DISK, IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE, NTSTATUS,
    PCUNICODE_STRING, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, STATUS_DELETE_PENDING, STATUS_SUCCESS,
};
use ntsim::ntddk::{
    IoAttachDeviceToDeviceStackSafe, IoCreateDevice, IoDeleteDevice, IoDetachDevice, IofCallDriver,
    IofCompleteRequest,
};
use ntsim::pnp::Driver;
use ntsim::port::{Capture, Direction};
use ntsim::world::{Stack, read_write_cdb};
use ntsim::{Shape, World};

/// The smallest filter there is: everything is skipped down, and after REMOVE refused.
#[repr(C)]
struct Extension {
    lower: PDEVICE_OBJECT,
    removed: bool,
}

unsafe extern "system" fn driver_entry(driver: PDRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: called once by the loader with a fresh driver object.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        (*table) = [Some(skip); 28];
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
        let status = IoCreateDevice(
            driver,
            size_of::<Extension>() as u32,
            ptr::null_mut(),
            FILE_DEVICE_DISK,
            0,
            0,
            &raw mut device,
        );
        if status < 0 {
            return status;
        }
        let extension: *mut Extension = (*device).DeviceExtension.cast();
        (*extension).removed = false;
        let status = IoAttachDeviceToDeviceStackSafe(device, pdo, &raw mut (*extension).lower);
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
        status
    }
}

unsafe fn down(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the dispatch routine owns the IRP; its location is given back before it goes on.
    unsafe {
        (*irp).CurrentLocation += 1;
        let tail = &raw mut (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
        (*tail).CurrentStackLocation = (*tail).CurrentStackLocation.add(1);
        let extension: *mut Extension = (*device).DeviceExtension.cast();
        IofCallDriver((*extension).lower, irp)
    }
}

unsafe extern "C" fn skip(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with this driver's device and an IRP for it.
    unsafe {
        let extension: *mut Extension = (*device).DeviceExtension.cast::<c_void>().cast();
        if (*extension).removed {
            (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_DELETE_PENDING;
            (*irp).IoStatus.Information = 0;
            IofCompleteRequest(irp, 0);
            return STATUS_DELETE_PENDING;
        }
        down(device, irp)
    }
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with this driver's device and an IRP for it.
    unsafe {
        let location = (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation;
        let minor = u32::from((*location).MinorFunction);
        let status = down(device, irp);
        if minor == IRP_MN_REMOVE_DEVICE {
            let extension: *mut Extension = (*device).DeviceExtension.cast();
            (*extension).removed = true;
            IoDetachDevice((*extension).lower);
            IoDeleteDevice(device);
        }
        status
    }
}

fn filter() -> Driver {
    Driver::linked("passfilter", driver_entry)
}

fn captured(stack: &Stack) -> Vec<Capture> {
    stack.port().capture(true);
    let buffer = stack.buffer(8192, 512);
    for (form, extended) in [(6, false), (10, false), (12, true), (16, true)] {
        let cdb = read_write_cdb(Direction::Read, 5, 16, form);
        let done = stack
            .scsi(&cdb)
            .buffer(&buffer)
            .extended(extended)
            .irp_flags(0x42)
            .send()
            .wait();
        assert_eq!(done.srb_status, 1);
    }
    let records = stack.port().records();
    records
        .into_iter()
        .filter_map(|record| record.capture.map(|capture| *capture))
        .collect()
}

/// Addresses differ from world to world.
fn without_addresses(mut captures: Vec<Capture>) -> Vec<Capture> {
    for capture in &mut captures {
        capture.mdl = u64::from(capture.mdl != 0);
        capture.parameters = [0; 4];
        let pointers: &[usize] = match capture.srb.len() {
            0 => &[],
            88 => &[24, 32, 40, 48, 56],
            _ => &[64, 80, 88, 96, 104, 112, 160],
        };
        for &at in pointers {
            capture.srb[at..at + 8].fill(0);
        }
    }
    captures
}

#[test]
fn what_is_passed_down_arrives_as_it_was_sent() {
    let (without, _) = World::without_filter().run(captured).expect("no bug check");
    let (with, _) = World::new(filter())
        .shape(Shape::Auto)
        .run(captured)
        .expect("no bug check");
    assert_eq!(with.len(), 4);
    assert_eq!(without_addresses(with), without_addresses(without));
}

#[test]
fn a_filtered_stack_starts_stops_starts_and_goes() {
    let ((), report) = World::new(filter())
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            let read = || {
                let cdb = read_write_cdb(Direction::Read, 0, 1, 10);
                stack.scsi(&cdb).buffer(&buffer).send().wait().srb_status
            };
            assert_eq!(read(), 1);
            stack.stop().expect("nobody objects");
            stack.start().expect("nobody objects");
            assert_eq!(read(), 1);
            stack.surprise_remove().expect("nobody objects");
            assert_eq!(read(), 8);
        })
        .expect("no bug check");
    assert_eq!(report.sent, report.finished);
}

#[test]
fn a_read_that_nobody_takes_is_refused_by_the_port() {
    World::new(filter())
        .run(|stack| {
            let buffer = stack.buffer(4096, 0);
            let done = stack.read(0, &buffer).send().wait();
            assert_eq!(done.status, ntsim::abi::STATUS_INVALID_DEVICE_REQUEST);
        })
        .expect("no bug check");
}

#[test]
fn a_retry_after_remove_reaches_the_driver_below_the_class() {
    let (status, _) = World::new(filter())
        .class_above()
        .run(|stack| {
            let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
            let late = std::sync::Arc::clone(&seen);
            stack.when_removed(move |stack| {
                let buffer = stack.buffer(512, 0);
                let done = stack.read(0, &buffer).send().wait();
                *late.lock().expect("one thread") = Some(done.status);
            });
            stack.remove().expect("nobody objects");
            seen.lock()
                .map(|mut status| status.take())
                .expect("one thread")
        })
        .expect("no bug check");
    assert_eq!(status, Some(STATUS_DELETE_PENDING));
}
