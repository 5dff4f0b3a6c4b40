//! What a framework driver can ask about its device: properties by key, its place in the stack, the
//! alignment of buffers.

mod kmdf_support;

use std::ptr;

use kmdf_support::{devnode, filter, filter_device, make_pdo, on_machine, stops};
use ntsim::abi::*;
use ntsim::machine::Owner;
use ntsim::pnp::{Devnode, Driver};
use ntsim::wdf::functions::*;
use ntsim::{io, ntddk};
use windows_sys::Win32::Devices::Properties as keys;

/// A key of the public headers.
fn key(theirs: &windows_sys::Win32::Foundation::DEVPROPKEY) -> DEVPROPKEY {
    DEVPROPKEY {
        fmtid: GUID {
            Data1: theirs.fmtid.data1,
            Data2: theirs.fmtid.data2,
            Data3: theirs.fmtid.data3,
            Data4: theirs.fmtid.data4,
        },
        pid: theirs.pid,
    }
}

/// The filter below a function driver of this name.
fn below_function(service: &str) -> (Devnode, PDRIVER_OBJECT) {
    let object = io::create_driver(service, Owner::Harness);
    let node = Devnode::builder(make_pdo())
        .lower(&filter())
        .function(&Driver::existing(service, object))
        .add()
        .expect("adds");
    (node, object)
}

/// What the query gave: status, length and type, and the bytes that it wrote.
fn query(key: &DEVPROPKEY, room: usize) -> (NTSTATUS, u32, u32, Vec<u8>) {
    let mut data = WDF_DEVICE_PROPERTY_DATA {
        Size: size_of::<WDF_DEVICE_PROPERTY_DATA>() as u32,
        PropertyKey: key,
        ..WDF_DEVICE_PROPERTY_DATA::default()
    };
    let mut bytes = vec![0xEE; room];
    let buffer = if room == 0 {
        ptr::null_mut()
    } else {
        bytes.as_mut_ptr().cast()
    };
    let (mut required, mut kind) = (0, 0);
    // SAFETY: pointers to locals; the device is alive.
    let status = unsafe {
        WdfDeviceQueryPropertyEx(
            filter_device(),
            &raw mut data,
            room as u32,
            buffer,
            &raw mut required,
            &raw mut kind,
        )
    };
    (status, required, kind, bytes)
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

#[test]
fn the_service_of_the_device_is_that_of_its_function_driver() {
    on_machine(|| {
        let (mut node, object) = below_function("disk");
        let service = key(&keys::DEVPKEY_Device_Service);
        let small = query(&service, 0);
        assert_eq!(
            (small.0, small.1, small.2),
            (STATUS_BUFFER_TOO_SMALL, 10, DEVPROP_TYPE_STRING)
        );
        let short = query(&service, 9);
        assert_eq!(short.0, STATUS_BUFFER_TOO_SMALL);
        assert_eq!(short.3, [0xEE; 9], "nothing is written");
        let (status, length, kind, bytes) = query(&service, 64);
        assert_eq!(
            (status, length, kind),
            (STATUS_SUCCESS, 10, DEVPROP_TYPE_STRING)
        );
        assert_eq!(bytes[..10], utf16("disk")[..]);
        assert_eq!(bytes[10..], [0xEE; 54]);
        node.remove().expect("removes");
        // SAFETY: it has no devices.
        unsafe { io::delete_driver(object) };
    })
    .expect("no bug check");
}

#[test]
fn what_a_device_does_not_have_is_not_found() {
    on_machine(|| {
        let (mut node, _) = devnode();
        let missing = query(&key(&keys::DEVPKEY_Device_Service), 64);
        assert_eq!(
            missing.0, STATUS_OBJECT_NAME_NOT_FOUND,
            "a raw device has no service"
        );
        assert_eq!(missing.3, [0xEE; 64]);
        let unknown = query(&key(&keys::DEVPKEY_Device_FriendlyName), 64);
        assert_eq!(unknown.0, STATUS_OBJECT_NAME_NOT_FOUND);
        node.remove().expect("removes");
    })
    .expect("no bug check");
}

/// Calls the function with structure, room and type as a test wants them.
fn ask(size: u32, room: u32, has_buffer: bool, has_type: bool) -> NTSTATUS {
    let key = key(&keys::DEVPKEY_Device_Service);
    let mut data = WDF_DEVICE_PROPERTY_DATA {
        Size: size,
        PropertyKey: &raw const key,
        ..WDF_DEVICE_PROPERTY_DATA::default()
    };
    let mut bytes = [0_u8; 64];
    let (mut required, mut kind) = (0, 0);
    let buffer = if has_buffer {
        bytes.as_mut_ptr().cast()
    } else {
        ptr::null_mut()
    };
    let kind = if has_type {
        &raw mut kind
    } else {
        ptr::null_mut()
    };
    // SAFETY: pointers to locals; the device is alive.
    unsafe {
        WdfDeviceQueryPropertyEx(
            filter_device(),
            &raw mut data,
            room,
            buffer,
            &raw mut required,
            kind,
        )
    }
}

const SIZE: u32 = size_of::<WDF_DEVICE_PROPERTY_DATA>() as u32;

#[test]
fn a_buffer_and_its_length_belong_together() {
    on_machine(|| {
        let (mut node, object) = below_function("disk");
        assert_eq!(ask(SIZE, 64, false, true), STATUS_INVALID_PARAMETER);
        assert_eq!(ask(SIZE, 0, true, true), STATUS_INVALID_PARAMETER);
        assert_eq!(ask(SIZE, 64, true, true), STATUS_SUCCESS);
        node.remove().expect("removes");
        // SAFETY: it has no devices.
        unsafe { io::delete_driver(object) };
    })
    .expect("no bug check");
}

#[test]
fn a_wrong_call_stops_the_machine() {
    let stopped = |work: fn()| {
        stops(move || {
            let _node = below_function("disk");
            work();
        })
    };
    let size = stopped(|| assert_eq!(ask(20, 64, true, true), 0));
    assert_eq!((size.code, size.parameters[0]), (0x10D, 3), "{size}");
    let null = stopped(|| assert_eq!(ask(SIZE, 64, true, false), 0));
    assert_eq!((null.code, null.parameters[0]), (0x10D, 4), "{null}");
    let irql = stopped(|| {
        // SAFETY: the harness raises its own IRQL.
        unsafe { ntddk::KfRaiseIrql(DISPATCH_LEVEL as u8) };
        assert_eq!(ask(SIZE, 64, true, true), 0);
    });
    assert_eq!((irql.code, irql.parameters[1]), (0x10D, 2), "{irql}");
}

#[test]
fn the_device_below_is_given_with_a_reference() {
    on_machine(|| {
        let (mut node, _) = devnode();
        // SAFETY: the devices are alive until the node is removed; every reference is given back.
        unsafe {
            let device = WdfDeviceWdmGetDeviceObject(filter_device());
            let lower = ntddk::IoGetLowerDeviceObject(device);
            assert_eq!(lower, WdfDeviceWdmGetAttachedDevice(filter_device()));
            assert_eq!(lower, node.pdo());
            let left = ntddk::ObfReferenceObject(lower.cast()) - 1;
            assert_eq!(ntddk::ObfDereferenceObject(lower.cast()), left);
            assert_eq!(ntddk::ObfDereferenceObject(lower.cast()), left - 1);
            let bottom = ntddk::IoGetLowerDeviceObject(node.pdo());
            assert!(bottom.is_null(), "nothing is below the bottom");
        }
        node.remove().expect("removes");
    })
    .expect("no bug check");
}

#[test]
fn the_alignment_that_a_device_asks_for_reaches_what_attaches_to_it() {
    on_machine(|| {
        let (mut node, _) = devnode();
        let above = io::create_driver("above", Owner::Harness);
        // SAFETY: the devices are alive until they are taken down, from the top.
        unsafe {
            assert_eq!(WdfDeviceGetAlignmentRequirement(filter_device()), 3);
            WdfDeviceSetAlignmentRequirement(filter_device(), 511);
            let device = WdfDeviceWdmGetDeviceObject(filter_device());
            assert_eq!((*device).AlignmentRequirement, 511);
            assert_eq!(
                (*node.pdo()).AlignmentRequirement,
                3,
                "its own and no other"
            );
            let top = io::create_device(above, 0, FILE_DEVICE_DISK);
            let lower = io::attach(top, node.pdo());
            assert_eq!((*top).AlignmentRequirement, 511);
            io::detach(lower);
            io::delete_device(top);
            io::delete_driver(above);
        }
        node.remove().expect("removes");
    })
    .expect("no bug check");
}
