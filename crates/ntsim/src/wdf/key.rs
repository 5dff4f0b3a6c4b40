//! Registry keys (`fxregistryapi.cpp`, `fxregkeykm.cpp`).

use std::sync::{Mutex, PoisonError};

use super::object::Body;
use crate::abi::{HANDLE, NTSTATUS, PDEVICE_OBJECT};
use crate::machine::Shared;
use crate::registry::calls as keys;

/// The state of a `WDFKEY`: the handle of the kernel, until it is closed.
pub(crate) struct Key(Mutex<Option<Shared<core::ffi::c_void>>>);

impl Key {
    fn new(handle: HANDLE) -> Self {
        Self(Mutex::new(Some(Shared(handle))))
    }

    fn handle(&self) -> HANDLE {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.map_or(core::ptr::null_mut(), |handle| handle.0)
    }

    /// Closes the handle, once.
    pub(crate) fn close(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = open {
            let _: NTSTATUS = keys::close(handle.0);
        }
    }
}

/// The hardware or software key of a device.
pub(crate) fn of_device(pdo: PDEVICE_OBJECT, kind: u32, access: u32) -> Result<Body, NTSTATUS> {
    let handle = keys::open_device_key(pdo, kind, access)?;
    Ok(Body::Key(Key::new(handle)))
}

/// The calls about keys. All of them are for `PASSIVE_LEVEL`.
pub(crate) mod calls {
    use core::ptr;

    use super::{Body, HANDLE, Key as State, NTSTATUS, keys};
    use crate::abi::{
        ACCESS_MASK, PCUNICODE_STRING, PULONG, PUNICODE_STRING, PUSHORT, PVOID,
        PWDF_OBJECT_ATTRIBUTES, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER,
        STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS, ULONG, WDFDRIVER, WDFKEY,
    };
    use crate::registry::calls::{gather, text};
    use crate::registry::{Kind, Value as Data};
    use crate::wdf::driver::{self, PASSIVE};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{not_null, require_irql};
    use crate::wdf::{death, object};

    fn handle(function: &str, key: WDFKEY) -> HANDLE {
        let object = object::any(function, key);
        require_irql(function, PASSIVE);
        object.key(function).handle()
    }

    /// A value by name.
    unsafe fn find(function: &str, key: WDFKEY, name: PCUNICODE_STRING) -> Result<Data, NTSTATUS> {
        let handle = handle(function, key);
        not_null(function, "ValueName", name);
        // SAFETY: not NULL, so the caller of the DDI vouches for the string.
        let name = unsafe { text(name) };
        keys::value(handle, &name)
    }

    unsafe fn assign(function: &str, key: WDFKEY, name: PCUNICODE_STRING, value: Data) -> NTSTATUS {
        let handle = handle(function, key);
        not_null(function, "ValueName", name);
        // SAFETY: not NULL, so the caller of the DDI vouches for the string.
        let name = unsafe { text(name) };
        keys::set_value(handle, &name, value)
    }

    /// # Safety
    ///
    /// As for the DDIs that open keys.
    unsafe fn open(
        function: &'static str,
        parent: WDFKEY,
        name: PCUNICODE_STRING,
        attributes: PWDF_OBJECT_ATTRIBUTES,
        key: *mut WDFKEY,
        work: impl FnOnce(HANDLE, &str) -> Result<HANDLE, NTSTATUS>,
    ) -> NTSTATUS {
        require_irql(function, PASSIVE);
        not_null(function, "KeyName", name);
        let root = if parent.is_null() {
            ptr::null_mut()
        } else {
            handle(function, parent)
        };
        // SAFETY: the caller of the DDI vouches for the name, the attributes and the place for the
        // handle.
        unsafe {
            let name = text(name);
            driver::make(function, attributes, key, |_| {
                Ok(Body::Key(State::new(work(root, &name)?)))
            })
        }
    }

    /// Stores through a pointer that may be NULL.
    unsafe fn store<T>(place: *mut T, value: T) {
        if !place.is_null() {
            // SAFETY: not NULL, so the caller of the DDI vouches for it.
            unsafe { *place = value };
        }
    }

    wdf_functions! {
        /// Opens the key `Parameters` below the driver's service key.
        119 fn WdfDriverOpenParametersRegistryKey(
            Driver: WDFDRIVER,
            DesiredAccess: ACCESS_MASK,
            KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
            Key: *mut WDFKEY,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDriverOpenParametersRegistryKey";
            require_irql(NAME, PASSIVE);
            let object = object::any(NAME, Driver);
            let path = format!(r"{}\Parameters", object.client(NAME).registry_path);
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, KeyAttributes, Key, |_| {
                    let handle = keys::open(ptr::null_mut(), &path, DesiredAccess)?;
                    Ok(Body::Key(State::new(handle)))
                })
            }
        }

        /// Opens a key below another, or by its whole path.
        229 fn WdfRegistryOpenKey(
            ParentKey: WDFKEY,
            KeyName: PCUNICODE_STRING,
            DesiredAccess: ACCESS_MASK,
            KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
            Key: *mut WDFKEY,
        ) -> NTSTATUS {
            // SAFETY: the caller's promises are those of `open`.
            unsafe {
                open("WdfRegistryOpenKey", ParentKey, KeyName, KeyAttributes, Key, |root, name| {
                    keys::open(root, name, DesiredAccess)
                })
            }
        }

        /// Opens a key, making its last component if needed.
        230 fn WdfRegistryCreateKey(
            ParentKey: WDFKEY,
            KeyName: PCUNICODE_STRING,
            DesiredAccess: ACCESS_MASK,
            CreateOptions: ULONG,
            CreateDisposition: PULONG,
            KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
            Key: *mut WDFKEY,
        ) -> NTSTATUS {
            let volatile = CreateOptions & keys::REG_OPTION_VOLATILE != 0;
            let mut made = false;
            // SAFETY: the caller's promises are those of `open`; the disposition may be NULL.
            unsafe {
                let status = open(
                    "WdfRegistryCreateKey",
                    ParentKey,
                    KeyName,
                    KeyAttributes,
                    Key,
                    |root, name| {
                        let (handle, new) = keys::create(root, name, DesiredAccess, volatile)?;
                        made = new;
                        Ok(handle)
                    },
                );
                if status == STATUS_SUCCESS {
                    // REG_CREATED_NEW_KEY or REG_OPENED_EXISTING_KEY
                    store(CreateDisposition, if made { 1 } else { 2 });
                }
                status
            }
        }

        /// Closes a key and deletes its object.
        231 fn WdfRegistryClose(Key: WDFKEY) {
            const NAME: &str = "WdfRegistryClose";
            require_irql(NAME, PASSIVE);
            let object = object::any(NAME, Key);
            object.key(NAME).close();
            death::delete(&object);
        }

        /// The handle behind a key; it stays the framework's.
        232 fn WdfRegistryWdmGetHandle(Key: WDFKEY) -> HANDLE {
            handle("WdfRegistryWdmGetHandle", Key)
        }

        /// Deletes the key in the registry, closes it and deletes its object if that worked.
        233 fn WdfRegistryRemoveKey(Key: WDFKEY) -> NTSTATUS {
            const NAME: &str = "WdfRegistryRemoveKey";
            let status = keys::delete_key(handle(NAME, Key));
            if status == STATUS_SUCCESS {
                let object = object::any(NAME, Key);
                object.key(NAME).close();
                death::delete(&object);
            }
            status
        }

        /// Removes a value.
        234 fn WdfRegistryRemoveValue(Key: WDFKEY, ValueName: PCUNICODE_STRING) -> NTSTATUS {
            const NAME: &str = "WdfRegistryRemoveValue";
            let handle = handle(NAME, Key);
            not_null(NAME, "ValueName", ValueName);
            // SAFETY: not NULL, so the caller vouches for the string.
            let name = unsafe { text(ValueName) };
            keys::delete_value(handle, &name)
        }

        /// Reads a value of any type. A buffer that is too small is `STATUS_BUFFER_OVERFLOW`, and
        /// length and type are reported all the same.
        235 fn WdfRegistryQueryValue(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            ValueLength: ULONG,
            Value: PVOID,
            ValueLengthQueried: PULONG,
            ValueType: PULONG,
        ) -> NTSTATUS {
            // SAFETY: the caller vouches for the name, for `ValueLength` bytes behind `Value`
            // unless it is NULL, and for the other places unless they are NULL.
            unsafe {
                let found = match find("WdfRegistryQueryValue", Key, ValueName) {
                    Ok(found) => found,
                    Err(status) => return status,
                };
                store(ValueLengthQueried, found.data.len() as u32);
                store(ValueType, found.kind.code());
                let room = if Value.is_null() { 0 } else { ValueLength as usize };
                if room < found.data.len() {
                    return STATUS_BUFFER_OVERFLOW;
                }
                ptr::copy_nonoverlapping(found.data.as_ptr(), Value.cast(), found.data.len());
                STATUS_SUCCESS
            }
        }

        /// Reads a string. `Value` may be NULL to learn the length in bytes.
        238 fn WdfRegistryQueryUnicodeString(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            ValueByteLength: PUSHORT,
            Value: PUNICODE_STRING,
        ) -> NTSTATUS {
            // SAFETY: the caller vouches for the name, for the string and its buffer unless NULL,
            // and for the length unless NULL.
            unsafe {
                let found = match find("WdfRegistryQueryUnicodeString", Key, ValueName) {
                    Ok(found) => found,
                    Err(status) => return status,
                };
                if !Value.is_null() && (*Value).MaximumLength == 0 {
                    return STATUS_INVALID_PARAMETER;
                }
                let room = if Value.is_null() { 0 } else { usize::from((*Value).MaximumLength) };
                if room < found.data.len() {
                    store(ValueByteLength, found.data.len() as u16);
                    return STATUS_BUFFER_OVERFLOW;
                }
                if !matches!(found.kind, Kind::Sz | Kind::ExpandSz) {
                    return STATUS_OBJECT_TYPE_MISMATCH;
                }
                store(ValueByteLength, found.data.len() as u16);
                ptr::copy_nonoverlapping(
                    found.data.as_ptr(),
                    (*Value).Buffer.cast(),
                    found.data.len(),
                );
                let terminated = found.data.ends_with(&[0, 0]);
                (*Value).Length = found.data.len() as u16 - if terminated { 2 } else { 0 };
                STATUS_SUCCESS
            }
        }

        /// Reads a `REG_DWORD`; any other type is `STATUS_OBJECT_TYPE_MISMATCH`.
        240 fn WdfRegistryQueryULong(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            Value: PULONG,
        ) -> NTSTATUS {
            const NAME: &str = "WdfRegistryQueryULong";
            not_null(NAME, "Value", Value);
            // SAFETY: the caller vouches for the name and the place for the number.
            unsafe {
                let found = match find(NAME, Key, ValueName) {
                    Ok(found) => found,
                    Err(status) => return status,
                };
                if found.kind != Kind::Dword {
                    return STATUS_OBJECT_TYPE_MISMATCH;
                }
                if found.data.len() > size_of::<u32>() {
                    return STATUS_BUFFER_OVERFLOW;
                }
                // The framework copies four bytes out of a buffer of its own whatever the length
                // is: a REG_DWORD that is too short goes on with what was there before.
                let mut bytes = [0xDD; 4];
                bytes[..found.data.len()].copy_from_slice(&found.data);
                *Value = u32::from_le_bytes(bytes);
                STATUS_SUCCESS
            }
        }

        /// Writes a value of any type.
        241 fn WdfRegistryAssignValue(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            ValueType: ULONG,
            ValueLength: ULONG,
            Value: PVOID,
        ) -> NTSTATUS {
            // SAFETY: the caller vouches for the name and for `ValueLength` bytes.
            unsafe {
                let value = gather(ValueType, Value, ValueLength);
                assign("WdfRegistryAssignValue", Key, ValueName, value)
            }
        }

        /// Writes a string as `REG_SZ`.
        244 fn WdfRegistryAssignUnicodeString(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            Value: PCUNICODE_STRING,
        ) -> NTSTATUS {
            const NAME: &str = "WdfRegistryAssignUnicodeString";
            not_null(NAME, "Value", Value);
            // SAFETY: not NULL, and the caller vouches for both strings.
            unsafe { assign(NAME, Key, ValueName, Data::sz(&text(Value))) }
        }

        /// Writes a `REG_DWORD`.
        246 fn WdfRegistryAssignULong(
            Key: WDFKEY,
            ValueName: PCUNICODE_STRING,
            Value: ULONG,
        ) -> NTSTATUS {
            let value = Data::dword(Value);
            // SAFETY: the caller vouches for the name.
            unsafe { assign("WdfRegistryAssignULong", Key, ValueName, value) }
        }
    }
}
