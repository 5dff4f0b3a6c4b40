//! The registry functions of the kernel, as drivers call them.
//!
//! All of them are paged code: above `PASSIVE_LEVEL` the machine stops ([wdm.h contracts]).

use core::ptr;

use super::calls::{
    REG_OPTION_VOLATILE, close, create, delete_key, delete_value, gather, open, open_device_key,
    rtl_key_path, set_value, terminated, text, value,
};
use super::query;
use crate::abi::{
    ACCESS_MASK, HANDLE, KEY_VALUE_INFORMATION_CLASS, NTSTATUS, OBJECT_ATTRIBUTES, PCWSTR,
    PDEVICE_OBJECT, PHANDLE, POBJECT_ATTRIBUTES, PULONG, PUNICODE_STRING, PVOID, STATUS_SUCCESS,
    ULONG,
};
use crate::export::exports;

const PASSIVE: u8 = crate::abi::PASSIVE_LEVEL as u8;
const REG_CREATED_NEW_KEY: u32 = 1;
const REG_OPENED_EXISTING_KEY: u32 = 2;

/// # Safety
///
/// `attributes` points to an initialised `OBJECT_ATTRIBUTES` with a valid name.
unsafe fn object_name(attributes: POBJECT_ATTRIBUTES) -> (HANDLE, String) {
    let attributes: *const OBJECT_ATTRIBUTES = attributes;
    // SAFETY: the caller vouches for the structure and its name.
    unsafe {
        let name = text((*attributes).ObjectName);
        ((*attributes).RootDirectory, name)
    }
}

fn with_rtl_key(relative_to: u32, path: &str, work: impl FnOnce(HANDLE) -> NTSTATUS) -> NTSTATUS {
    let opened = rtl_key_path(relative_to, path).and_then(|path| open(ptr::null_mut(), &path, 0));
    match opened {
        Ok(handle) => {
            let status = work(handle);
            let closed = close(handle);
            debug_assert_eq!(closed, STATUS_SUCCESS);
            status
        }
        Err(status) => status,
    }
}

exports! {
    run;

    /// Opens an existing key. `PASSIVE_LEVEL`.
    fn ZwOpenKey(
        KeyHandle: PHANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: both pointers come from a caller bound by this function's contract.
        unsafe {
            let (root, name) = object_name(ObjectAttributes);
            match open(root, &name, DesiredAccess) {
                Ok(handle) => {
                    *KeyHandle = handle;
                    STATUS_SUCCESS
                }
                Err(status) => status,
            }
        }
    }

    /// Opens a key, making its last component if needed. `PASSIVE_LEVEL`.
    fn ZwCreateKey(
        KeyHandle: PHANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: POBJECT_ATTRIBUTES,
        _TitleIndex: ULONG,
        _Class: PUNICODE_STRING,
        CreateOptions: ULONG,
        Disposition: PULONG,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the pointers come from a caller bound by this function's contract.
        unsafe {
            let (root, name) = object_name(ObjectAttributes);
            let volatile = CreateOptions & REG_OPTION_VOLATILE != 0;
            match create(root, &name, DesiredAccess, volatile) {
                Ok((handle, made)) => {
                    *KeyHandle = handle;
                    if !Disposition.is_null() {
                        *Disposition = if made {
                            REG_CREATED_NEW_KEY
                        } else {
                            REG_OPENED_EXISTING_KEY
                        };
                    }
                    STATUS_SUCCESS
                }
                Err(status) => status,
            }
        }
    }

    /// Reads a value of a key. `PASSIVE_LEVEL`.
    fn ZwQueryValueKey(
        KeyHandle: HANDLE,
        ValueName: PUNICODE_STRING,
        KeyValueInformationClass: KEY_VALUE_INFORMATION_CLASS,
        KeyValueInformation: PVOID,
        Length: ULONG,
        ResultLength: PULONG,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the pointers come from a caller bound by this function's contract.
        unsafe {
            let name = text(ValueName);
            let found = match value(KeyHandle, &name) {
                Ok(found) => found,
                Err(status) => return status,
            };
            let (status, bytes, needed) =
                query::reply(KeyValueInformationClass, &name, &found, Length as usize);
            ptr::copy_nonoverlapping(bytes.as_ptr(), KeyValueInformation.cast(), bytes.len());
            *ResultLength = needed as u32;
            status
        }
    }

    /// Writes a value of a key. `PASSIVE_LEVEL`.
    fn ZwSetValueKey(
        KeyHandle: HANDLE,
        ValueName: PUNICODE_STRING,
        _TitleIndex: ULONG,
        Type: ULONG,
        Data: PVOID,
        DataSize: ULONG,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the pointers come from a caller bound by this function's contract.
        unsafe { set_value(KeyHandle, &text(ValueName), gather(Type, Data, DataSize)) }
    }

    /// Removes a key that has none below it. `PASSIVE_LEVEL`.
    fn ZwDeleteKey(KeyHandle: HANDLE) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        delete_key(KeyHandle)
    }

    /// Removes a value of a key. `PASSIVE_LEVEL`.
    fn ZwDeleteValueKey(KeyHandle: HANDLE, ValueName: PUNICODE_STRING) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the name comes from a caller bound by this function's contract.
        unsafe { delete_value(KeyHandle, &text(ValueName)) }
    }

    /// Closes a handle. `PASSIVE_LEVEL`.
    fn ZwClose(Handle: HANDLE) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        close(Handle)
    }

    /// Opens the hardware or software key of a device, found by its PDO. `PASSIVE_LEVEL`.
    fn IoOpenDeviceRegistryKey(
        DeviceObject: PDEVICE_OBJECT,
        DevInstKeyType: ULONG,
        DesiredAccess: ACCESS_MASK,
        DeviceRegKey: PHANDLE,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        match open_device_key(DeviceObject, DevInstKeyType, DesiredAccess) {
            Ok(handle) => {
                // SAFETY: the pointer comes from a caller bound by this function's contract.
                unsafe { *DeviceRegKey = handle };
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    /// Writes one value below a path of the registry. `PASSIVE_LEVEL`.
    fn RtlWriteRegistryValue(
        RelativeTo: ULONG,
        Path: PCWSTR,
        ValueName: PCWSTR,
        ValueType: ULONG,
        ValueData: PVOID,
        ValueLength: ULONG,
    ) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the pointers come from a caller bound by this function's contract.
        let (path, name, value) = unsafe {
            (
                terminated(Path),
                terminated(ValueName),
                gather(ValueType, ValueData, ValueLength),
            )
        };
        with_rtl_key(RelativeTo, &path, |handle| set_value(handle, &name, value))
    }

    /// Removes one value below a path of the registry. `PASSIVE_LEVEL`.
    fn RtlDeleteRegistryValue(RelativeTo: ULONG, Path: PCWSTR, ValueName: PCWSTR) -> NTSTATUS {
        run.irql_at_most(PASSIVE);
        // SAFETY: the strings come from a caller bound by this function's contract.
        let (path, name) = unsafe { (terminated(Path), terminated(ValueName)) };
        with_rtl_key(RelativeTo, &path, |handle| delete_value(handle, &name))
    }
}
