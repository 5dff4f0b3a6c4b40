//! Properties of devices.

use crate::abi::{
    DEVPROPKEY, LCID, NTSTATUS, PDEVICE_OBJECT, PDEVPROPTYPE, PULONG, PVOID,
    STATUS_BUFFER_TOO_SMALL, STATUS_SUCCESS, ULONG,
};
use crate::export::exports;
use crate::pnp;

exports! { run;
    /// Reads a property of the device that a physical device object stands for.
    fn IoGetDevicePropertyData(Pdo: PDEVICE_OBJECT, PropertyKey: *const DEVPROPKEY, Lcid: LCID, Flags: ULONG, Size: ULONG, Data: PVOID, RequiredSize: PULONG, Type: PDEVPROPTYPE) -> NTSTATUS {
        run.irql_at_most(1);
        // SAFETY: the caller's key, places, and `Size` bytes at `Data`.
        unsafe { query(Pdo, PropertyKey, Size, Data, RequiredSize, Type) }
    }
}

/// Copies a property to `data`. Length and type are reported too where it does not fit.
///
/// # Safety
/// `key`, `required` and `kind` point to what they say, and `size` bytes at `data` may be written.
pub(crate) unsafe fn query(
    pdo: PDEVICE_OBJECT,
    key: *const DEVPROPKEY,
    size: ULONG,
    data: PVOID,
    required: PULONG,
    kind: PDEVPROPTYPE,
) -> NTSTATUS {
    // SAFETY: the caller's contract.
    let found = pnp::property(pdo, unsafe { &*key });
    let property = match found {
        Ok(property) => property,
        Err(status) => return status,
    };
    // SAFETY: the caller's contract.
    unsafe {
        required.write(property.data.len() as ULONG);
        kind.write(property.kind);
    }
    if (size as usize) < property.data.len() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    let from = property.data.as_ptr();
    // SAFETY: the caller's contract; there is room for it.
    unsafe { core::ptr::copy_nonoverlapping(from, data.cast::<u8>(), property.data.len()) };
    STATUS_SUCCESS
}
