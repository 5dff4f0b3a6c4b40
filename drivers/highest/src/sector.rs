//! How long a sector is. PASSIVE_LEVEL.

use core::ptr;

use wdk_sys::{
    _STORAGE_PROPERTY_ID, _STORAGE_QUERY_TYPE, _WDF_MEMORY_DESCRIPTOR_TYPE,
    _WDF_REQUEST_SEND_OPTIONS_FLAGS, STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR, STORAGE_PROPERTY_QUERY,
    ULONG, ULONG_PTR, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFDEVICE,
    call_unsafe_wdf_function_binding,
};
use xfersplit_core::limits::MAX_SECTOR_SIZE;
use xfersplit_wdm::{succeeded, wdf};

/// Bytes of a sector where nobody says otherwise.
pub(crate) const USUAL: u32 = 512;

/// `CTL_CODE(IOCTL_STORAGE_BASE, 0x500, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
const IOCTL_STORAGE_QUERY_PROPERTY: ULONG = 0x002D_1400;
/// What the framework waits for an answer, in its negative, relative 100-nanosecond units: 4 s.
const ANSWER_TIMEOUT: i64 = -40_000_000;

/// Asks the device below. `None` where it does not know, or says something impossible.
///
/// # Safety
/// `device` is a live framework device, in its EvtDevicePrepareHardware.
pub(crate) unsafe fn ask(device: WDFDEVICE) -> Option<u32> {
    let mut query = STORAGE_PROPERTY_QUERY {
        PropertyId: _STORAGE_PROPERTY_ID::StorageAccessAlignmentProperty,
        QueryType: _STORAGE_QUERY_TYPE::PropertyStandardQuery,
        ..Default::default()
    };
    let mut answer = STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR::default();
    let mut sent = memory((&raw mut query).cast(), size_of_val(&query));
    let mut received = memory((&raw mut answer).cast(), size_of_val(&answer));
    let mut options = WDF_REQUEST_SEND_OPTIONS {
        Size: wdf::size::<WDF_REQUEST_SEND_OPTIONS>(),
        Flags: _WDF_REQUEST_SEND_OPTIONS_FLAGS::WDF_REQUEST_SEND_OPTION_TIMEOUT as u32,
        Timeout: ANSWER_TIMEOUT,
    };
    let mut returned: ULONG_PTR = 0;
    // SAFETY: the caller's contract.
    let target = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceGetIoTarget, device) };
    // SAFETY: PASSIVE_LEVEL; the descriptors name buffers that outlive this synchronous call.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoTargetSendIoctlSynchronously,
            target,
            ptr::null_mut(),
            IOCTL_STORAGE_QUERY_PROPERTY,
            &raw mut sent,
            &raw mut received,
            &raw mut options,
            &raw mut returned
        )
    };
    let complete = returned as usize >= size_of::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>();
    let bytes = answer.BytesPerLogicalSector;
    let possible = bytes.is_power_of_two() && (USUAL..=MAX_SECTOR_SIZE).contains(&bytes);
    (succeeded(status) && complete && possible).then_some(bytes)
}

/// `WDF_MEMORY_DESCRIPTOR_INIT_BUFFER`.
fn memory(buffer: *mut u8, length: usize) -> WDF_MEMORY_DESCRIPTOR {
    let mut descriptor = WDF_MEMORY_DESCRIPTOR {
        Type: _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeBuffer,
        ..Default::default()
    };
    descriptor.u.BufferType.Buffer = buffer.cast();
    descriptor.u.BufferType.Length = length as ULONG;
    descriptor
}
