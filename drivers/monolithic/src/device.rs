//! One controller's device: made in `EvtDriverDeviceAdd`, given its hardware at start, taken down
//! last.
//!
//! The driver uses no queues of the framework, so its requests follow the device's life through the
//! callbacks of self-managed I/O: started and resumed after D0 is entered, suspended before it is
//! left, flushed when the device is gone.

use wdk_sys::{
    _WDF_DEVICE_IO_TYPE, FILE_DEVICE_DISK, IRP_MJ_READ, IRP_MJ_WRITE, NTSTATUS, PWDFDEVICE_INIT,
    STATUS_SUCCESS, WDF_PNPPOWER_EVENT_CALLBACKS, WDFCMRESLIST, WDFDEVICE, WDFOBJECT,
    call_unsafe_wdf_function_binding,
};
use xfersplit_wdm::wdf::{self, ContextType, device::DeviceInit};

use crate::{
    controller::Controller,
    dispatch,
    hardware::{DeviceObjects, Resources},
};

/// The framework's context of the device.
pub(crate) struct Device {
    /// Null until the context is complete: the framework hands out zeroed memory.
    handle: WDFDEVICE,
    controller: Controller,
}

static CONTEXT: ContextType = ContextType::of::<Device>(c"monolithic::Device", &CONTEXT);

impl Device {
    /// The controller of one of our devices.
    ///
    /// # Safety
    /// `device` is a live device that [`add`] has made; the reference ends with the object.
    pub(crate) unsafe fn controller<'a>(device: WDFDEVICE) -> &'a Controller {
        // SAFETY: the caller's contract: made with this context type.
        let place = unsafe { wdf::context::<Self>(device.cast(), &CONTEXT) };
        // SAFETY: initialised in `add`, before the device could be seen.
        unsafe { &(*place).controller }
    }
}

/// `EvtDriverDeviceAdd`. PASSIVE_LEVEL.
///
/// # Safety
/// The framework's own handle.
pub(crate) unsafe fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: the caller's contract.
    let init = unsafe { DeviceInit::new(init) };
    match create(init) {
        // SAFETY: just made, with our context.
        Ok(handle) => unsafe { initialise(handle) },
        Err(status) => status,
    }
}

fn create(mut init: DeviceInit) -> Result<WDFDEVICE, NTSTATUS> {
    // SAFETY: the framework's, not used up yet.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetDeviceType,
            init.as_ptr(),
            FILE_DEVICE_DISK
        );
    };
    // DO_DIRECT_IO: requests come with an MDL.
    init.io_type(_WDF_DEVICE_IO_TYPE::WdfDeviceIoDirect);
    // A disk may hold the paging file, so nothing here is paged.
    // SAFETY: as above.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetPowerNotPageable, init.as_ptr()) };
    init.lock_for_io();
    init.pnp_power(callbacks());
    for major in [IRP_MJ_READ, IRP_MJ_WRITE] {
        init.preprocess(major, dispatch::read_write)?;
    }
    init.create(&CONTEXT, Some(evt_cleanup))
}

fn callbacks() -> WDF_PNPPOWER_EVENT_CALLBACKS {
    WDF_PNPPOWER_EVENT_CALLBACKS {
        EvtDevicePrepareHardware: Some(evt_prepare_hardware),
        EvtDeviceReleaseHardware: Some(evt_release_hardware),
        EvtDeviceSelfManagedIoInit: Some(evt_resume),
        EvtDeviceSelfManagedIoRestart: Some(evt_resume),
        EvtDeviceSelfManagedIoSuspend: Some(evt_suspend),
        EvtDeviceSelfManagedIoFlush: Some(evt_leave),
        EvtDeviceSurpriseRemoval: Some(evt_leave),
        ..Default::default()
    }
}

/// # Safety
/// `handle` was just made with our context, and no request has been seen.
unsafe fn initialise(handle: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the caller's contract.
    let place = unsafe { wdf::context::<Device>(handle.cast(), &CONTEXT) };
    let controller = place
        .wrapping_byte_add(core::mem::offset_of!(Device, controller))
        .cast::<Controller>();
    let device = Device {
        handle,
        controller: Controller::new(controller),
    };
    // SAFETY: the framework made the context large and aligned enough for this type.
    unsafe { place.write(device) };
    // SAFETY: just written.
    let controller = unsafe { &*controller };
    // SAFETY: contexts do not move, and `evt_cleanup` closes the controller.
    unsafe { controller.initialise() }
}

/// The device's resources are there.
unsafe extern "C" fn evt_prepare_hardware(
    device: WDFDEVICE,
    _raw: WDFCMRESLIST,
    translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours, and its resources.
    match unsafe { prepare_hardware(device, translated) } {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => {
            wdk::println!("monolithic: not started: status {status:#010x}");
            status
        }
    }
}

/// # Safety
/// This is the device's EvtDevicePrepareHardware.
unsafe fn prepare_hardware(device: WDFDEVICE, translated: WDFCMRESLIST) -> Result<(), NTSTATUS> {
    // SAFETY: the caller's contract.
    let resources = unsafe { Resources::find(translated) }?;
    let devices = DeviceObjects {
        // SAFETY: the caller's contract.
        physical: unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceWdmGetPhysicalDevice, device)
        },
        // SAFETY: the caller's contract.
        functional: unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceWdmGetDeviceObject, device)
        },
        // SAFETY: the caller's contract.
        alignment_mask: unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceGetAlignmentRequirement, device)
        },
    };
    // SAFETY: the caller's contract.
    let controller = unsafe { Device::controller(device) };
    // SAFETY: the caller's contract.
    let mask = unsafe { controller.prepare(&resources, devices) }?;
    // SAFETY: the caller's contract.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceSetAlignmentRequirement, device, mask) };
    Ok(())
}

/// The device's resources go. Also called when [`evt_prepare_hardware`] has failed.
unsafe extern "C" fn evt_release_hardware(
    device: WDFDEVICE,
    _translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let controller = unsafe { Device::controller(device) };
    // SAFETY: the framework has suspended self-managed I/O, or never started it.
    unsafe { controller.release() };
    STATUS_SUCCESS
}

/// `EvtDeviceSelfManagedIoInit`, `EvtDeviceSelfManagedIoRestart`: the device is in D0.
unsafe extern "C" fn evt_resume(device: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    unsafe { Device::controller(device) }.resume();
    STATUS_SUCCESS
}

/// `EvtDeviceSelfManagedIoSuspend`: the device is about to leave D0, because it stops, sleeps or goes.
/// The request that runs ends first.
unsafe extern "C" fn evt_suspend(device: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    unsafe { Device::controller(device) }.suspend();
    STATUS_SUCCESS
}

/// `EvtDeviceSurpriseRemoval`, before the device is suspended: the request that runs is aborted, for
/// its interrupt will not come. `EvtDeviceSelfManagedIoFlush`, after it was suspended for good: those
/// that wait are told.
unsafe extern "C" fn evt_leave(device: WDFDEVICE) {
    // SAFETY: the framework passes a live device of ours.
    unsafe { Device::controller(device) }.leave();
}

/// The device object is about to go. It runs on every way out, failed starts included. PASSIVE_LEVEL.
unsafe extern "C" fn evt_cleanup(object: WDFOBJECT) {
    // SAFETY: registered for our devices only, and called before the context is freed.
    let place = unsafe { wdf::context::<Device>(object, &CONTEXT) };
    // SAFETY: as above; zeroed memory has a null handle.
    let handle = unsafe { (*place).handle };
    if !handle.is_null() {
        // SAFETY: `initialise` has written the context.
        unsafe { &(*place).controller }.close();
    }
}
