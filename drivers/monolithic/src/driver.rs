//! The driver as a whole: `DriverEntry` and what the framework calls for it.

use wdk_sys::{
    NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, PWDFDEVICE_INIT, WDF_DRIVER_CONFIG, WDF_NO_HANDLE,
    WDF_NO_OBJECT_ATTRIBUTES, WDFDRIVER, call_unsafe_wdf_function_binding,
};
use xfersplit_wdm::{dpc, memory::Tag, wdf};

use crate::device;

/// What the framework allocates for this driver, as tools show it.
const TAG: Tag = Tag::new(*b"xfmo");

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
    let mut config = WDF_DRIVER_CONFIG {
        Size: wdf::size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(evt_device_add),
        EvtDriverUnload: Some(evt_driver_unload),
        DriverPoolTag: TAG.value(),
        ..Default::default()
    };
    // SAFETY: both arguments are what this function was called with; the configuration is complete.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            WDF_NO_OBJECT_ATTRIBUTES,
            &raw mut config,
            WDF_NO_HANDLE.cast::<WDFDRIVER>()
        )
    }
}

/// The bus driver has found a controller.
unsafe extern "C" fn evt_device_add(_driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: the framework's own handle, valid for this call.
    unsafe { device::add(init) }
}

/// The last device is gone. A DPC that had just finished its work may still be on its last
/// instruction on another processor.
unsafe extern "C" fn evt_driver_unload(_driver: WDFDRIVER) {
    dpc::flush();
}
