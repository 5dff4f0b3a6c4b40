//! The driver as a whole: `DriverEntry` and what the framework calls for it.

use wdk_sys::{NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, PWDFDEVICE_INIT, WDFDRIVER};

use crate::{TAG, device, wdf};

/// `DriverEntry`: binds the driver to the framework. PASSIVE_LEVEL.
///
/// # Errors
/// The status of `WdfDriverCreate`, when the framework has no memory.
///
/// # Safety
/// Called once by the framework's entry point, with the driver object and the path of the service's
/// registry key.
#[cfg_attr(windows, unsafe(export_name = "DriverEntry"))]
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: both arguments are what this function was called with.
    unsafe { wdf::driver::create(driver, registry_path, Some(evt_device_add), TAG) }
}

/// A disk has appeared. Any failure here leaves the disk without the filter, never without service:
/// for filters the framework turns a failure into success (KMDF fxdevice.cpp, AddDevice).
unsafe extern "C" fn evt_device_add(driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: the framework's own handles, valid for this call.
    unsafe { device::add(driver, init) }
}
