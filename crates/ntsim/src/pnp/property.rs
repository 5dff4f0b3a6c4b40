//! What the PnP manager says of a device when it is asked by property key.

use super::registry_paths;
use crate::abi::{
    DEVPROP_TYPE_STRING, DEVPROPKEY, DEVPROPTYPE, GUID, NTSTATUS, PDEVICE_OBJECT,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::registry::Registry;

/// The properties that every device instance has [devpkey.h].
const DEVICE: GUID = GUID {
    Data1: 0xA45C_254E,
    Data2: 0xDF1C,
    Data3: 0x4EFD,
    Data4: [0x80, 0x20, 0x67, 0xD1, 0x46, 0xA8, 0x50, 0xE0],
};
/// `DEVPKEY_Device_Service`: the name of the function driver's service.
const SERVICE: u32 = 6;

/// The value of a property.
pub(crate) struct Property {
    pub(crate) kind: DEVPROPTYPE,
    pub(crate) data: Vec<u8>,
}

/// Reads a property of the device below which `pdo` sits.
pub(crate) fn property(pdo: PDEVICE_OBJECT, key: &DEVPROPKEY) -> Result<Property, NTSTATUS> {
    let paths = registry_paths(pdo).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    if (key.fmtid, key.pid) != (DEVICE, SERVICE) {
        return Err(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    let service = Registry::current()
        .get(&paths.instance, "Service")
        .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    Ok(Property {
        kind: DEVPROP_TYPE_STRING,
        data: service.data,
    })
}
