//! The driver object.

use wdk_sys::{
    NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, PFN_WDF_DRIVER_DEVICE_ADD, WDF_DRIVER_CONFIG,
    WDF_NO_HANDLE, WDF_NO_OBJECT_ATTRIBUTES, WDFDRIVER, call_unsafe_wdf_function_binding,
};

use super::size;
use crate::{dpc, memory::Tag};

/// `WdfDriverCreate`: binds a driver to the framework, which then calls `add` for each device and tags
/// with `tag` what it allocates for the driver. PASSIVE_LEVEL. The status for `DriverEntry` to return.
///
/// # Safety
/// Called once, in `DriverEntry`, with that function's own arguments.
pub unsafe fn create(
    driver: PDRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
    add: PFN_WDF_DRIVER_DEVICE_ADD,
    tag: Tag,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: add,
        EvtDriverUnload: Some(evt_driver_unload),
        DriverPoolTag: tag.value(),
        ..Default::default()
    };
    // SAFETY: the caller's contract; the configuration is complete.
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

/// The last device is gone. A DPC that had just finished its work may still be on its last
/// instruction on another processor.
unsafe extern "C" fn evt_driver_unload(_driver: WDFDRIVER) {
    dpc::flush();
}
