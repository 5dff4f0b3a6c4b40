//! The PnP manager with drivers that use no framework.

mod kmdf_support;

use std::ptr;

use kmdf_support::{location, make_pdo, name, note, on_machine, stops, trace};
use ntsim::abi::*;
use ntsim::io;
use ntsim::machine::{Machine, Owner};
use ntsim::ntddk::*;
use ntsim::pnp::{Devnode, Driver};

/// What is wrong with the driver, if anything.
#[derive(Default)]
struct Fault(std::sync::Mutex<&'static str>);

fn fault() -> &'static str {
    *Machine::current()
        .extension::<Fault>()
        .0
        .lock()
        .expect("unpoisoned")
}

fn set_fault(fault: &'static str) {
    *Machine::current()
        .extension::<Fault>()
        .0
        .lock()
        .expect("unpoisoned") = fault;
}

unsafe extern "system" fn entry(driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver object is ours during this call.
    unsafe {
        for major in &mut (*driver).MajorFunction {
            *major = Some(dispatch);
        }
        (*driver).DriverUnload = Some(unload);
        (*(*driver).DriverExtension).AddDevice = Some(add_device);
        if fault() == "leaks pool" {
            assert!(!ExAllocatePool2(0x40, 64, 0x6b_61_65_4c).is_null());
        }
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_driver: PDRIVER_OBJECT) {
    note("unload");
}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    if fault() == "fails to add" {
        return STATUS_UNSUCCESSFUL;
    }
    let mut device = ptr::null_mut();
    // SAFETY: pointers to locals and to what the PnP manager passed.
    unsafe {
        let status = IoCreateDevice(driver, 8, ptr::null_mut(), 7, 0, 0, &raw mut device);
        assert_eq!(status, STATUS_SUCCESS);
        let lower: *mut PDEVICE_OBJECT = (*device).DeviceExtension.cast();
        let status = IoAttachDeviceToDeviceStackSafe(device, pdo, lower);
        assert_eq!(status, STATUS_SUCCESS);
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a request for this device.
    unsafe {
        let at = location(irp);
        let (major, minor) = (
            u32::from((*at).MajorFunction),
            u32::from((*at).MinorFunction),
        );
        note(format!("filter: {}", name(major, minor)));
        let lower = *(*device).DeviceExtension.cast::<PDEVICE_OBJECT>();
        (*irp).CurrentLocation += 1;
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = at.add(1);
        let status = IofCallDriver(lower, irp);
        if (major, minor) == (IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE) && fault() != "stays attached" {
            IoDetachDevice(lower);
            IoDeleteDevice(device);
        }
        status
    }
}

fn driver() -> Driver {
    Driver::linked("wdmfilter", entry)
}

#[test]
fn a_device_lives_and_goes() {
    let lines = on_machine(|| {
        let driver = driver();
        let mut node = Devnode::builder(make_pdo())
            .lower(&driver)
            .add()
            .expect("adds");
        node.start().expect("starts");
        node.remove().expect("is removed");
        driver.unload().expect("is unloaded");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "filter: START",
            "bus: START",
            "filter: QUERY_REMOVE",
            "bus: QUERY_REMOVE",
            "filter: REMOVE",
            "bus: REMOVE",
            "unload",
        ]
    );
}

#[test]
fn drivers_are_stacked_from_the_bottom_up() {
    on_machine(|| {
        let (lower, function, upper) = (
            Driver::linked("lower", entry),
            Driver::linked("function", entry),
            Driver::linked("upper", entry),
        );
        let mut node = Devnode::builder(make_pdo())
            .upper(&upper)
            .function(&function)
            .lower(&lower)
            .add()
            .expect("adds");
        let mut names = Vec::new();
        // SAFETY: the devices are alive and attached to each other.
        unsafe {
            let mut at = node.pdo();
            while !at.is_null() {
                let id = io::driver_id((*at).DriverObject);
                names.push(Machine::current().driver_name(id).to_string());
                at = (*at).AttachedDevice;
            }
            assert_eq!((*node.top()).StackSize, (*node.pdo()).StackSize + 3);
        }
        assert_eq!(names, ["testbus", "lower", "function", "upper"]);
        node.remove().expect("is removed");
        for driver in [upper, function, lower] {
            driver.unload().expect("is unloaded");
        }
    })
    .expect("no bug check");
}

#[test]
fn a_driver_that_fails_to_add_a_device_takes_the_devnode_down() {
    let status = on_machine(|| {
        set_fault("fails to add");
        let driver = driver();
        let status = Devnode::builder(make_pdo())
            .lower(&driver)
            .add()
            .map(|_| ());
        driver.unload().expect("is unloaded");
        status
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_UNSUCCESSFUL));
}

#[test]
fn a_bus_that_does_not_allow_it_has_no_raw_devices() {
    let status = on_machine(|| {
        let bus = io::create_driver("modestbus", Owner::Port);
        // SAFETY: the driver object lives as long as the machine.
        let pdo = unsafe { io::create_device(bus, 0, FILE_DEVICE_DISK) };
        // Its driver has no PnP routine at all, so that the query for capabilities fails.
        let status = Devnode::builder(pdo).lower(&driver()).add().map(|_| ());
        // SAFETY: nobody else knows the device.
        unsafe { IoDeleteDevice(pdo) };
        status
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_NO_SUCH_DEVICE));
}

#[test]
fn a_device_left_attached_after_its_removal_is_a_bug_check() {
    let report = stops(|| {
        set_fault("stays attached");
        let mut node = Devnode::builder(make_pdo())
            .lower(&driver())
            .add()
            .expect("adds");
        let _: Result<(), NTSTATUS> = node.remove();
    });
    assert_eq!(report.code, 0xC9);
    assert!(report.story.contains("IoDetachDevice"), "{report}");
}

#[test]
fn pool_forgotten_at_unload_is_a_bug_check() {
    let report = stops(|| {
        set_fault("leaks pool");
        let driver = driver();
        driver.load().expect("loads");
        let _: Result<(), NTSTATUS> = driver.unload();
    });
    assert_eq!((report.code, report.parameters[0]), (0xC4, 0x62));
}
