//! Registry keys, as far as drivers read and write them. PASSIVE_LEVEL.

use core::{
    fmt::{self, Write as _},
    ptr,
};

use wdk_sys::{
    ACCESS_MASK, NTSTATUS, REG_DWORD, REG_OPTION_NON_VOLATILE, REG_OPTION_VOLATILE, REG_SZ,
    STATUS_OBJECT_NAME_NOT_FOUND, ULONG, UNICODE_STRING, WDF_NO_OBJECT_ATTRIBUTES, WDFDEVICE,
    WDFKEY, call_unsafe_wdf_function_binding,
};

use crate::succeeded;

/// `KEY_READ`.
const KEY_READ: ACCESS_MASK = 0x0002_0019;
/// `KEY_READ | KEY_WRITE`.
const KEY_READ_WRITE: ACCESS_MASK = 0x0002_001F;
/// `KEY_READ | KEY_WRITE | DELETE`.
const KEY_READ_WRITE_DELETE: ACCESS_MASK = 0x0003_001F;
/// `PLUGPLAY_REGKEY_DEVICE`: the hardware key.
const HARDWARE_KEY: ULONG = 1;
/// Longer than any name or text that the driver reads or writes.
const TEXT_UNITS: usize = 96;

/// An open key, closed when it goes.
pub struct Key(WDFKEY);

/// What a key says under one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value {
    /// Nothing.
    Absent,
    /// A REG_DWORD.
    Number(u32),
    /// Something of another type (`REG_*`), or a REG_DWORD that has not four bytes.
    Other(ULONG),
}

impl Key {
    /// `Parameters` of the service.
    ///
    /// # Safety
    /// `device` is a live framework device.
    pub unsafe fn parameters(device: WDFDEVICE) -> Option<Self> {
        // SAFETY: the caller's contract.
        let driver = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceGetDriver, device) };
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; `key` has room for the handle.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDriverOpenParametersRegistryKey,
                driver,
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        succeeded(status).then(|| Self(key))
    }

    /// The device's hardware key, to read it.
    ///
    /// # Safety
    /// `device` is a live framework device.
    pub unsafe fn hardware(device: WDFDEVICE) -> Option<Self> {
        // SAFETY: the caller's contract.
        unsafe { Self::open_hardware(device, KEY_READ) }
    }

    /// The same, to read it and to write into it.
    ///
    /// # Safety
    /// `device` is a live framework device.
    pub unsafe fn writable_hardware(device: WDFDEVICE) -> Option<Self> {
        // SAFETY: the caller's contract.
        unsafe { Self::open_hardware(device, KEY_READ_WRITE) }
    }

    /// # Safety
    /// `device` is a live framework device.
    unsafe fn open_hardware(device: WDFDEVICE, access: ACCESS_MASK) -> Option<Self> {
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; `key` has room for the handle.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceOpenRegistryKey,
                device,
                HARDWARE_KEY,
                access,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        succeeded(status).then(|| Self(key))
    }

    /// Opens a subkey to read it, if there is one.
    pub fn existing(&self, name: &str) -> Option<Self> {
        let name = Text::new(name);
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; the parent key is open and the name outlives the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryOpenKey,
                self.0,
                &raw const *name.unicode(),
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        succeeded(status).then(|| Self(key))
    }

    /// A subkey to write into, made if it is not there.
    pub fn made(&self, name: &str) -> Option<Self> {
        self.create(name, KEY_READ_WRITE, REG_OPTION_NON_VOLATILE)
    }

    /// A fresh subkey that lasts until the system restarts.
    pub fn fresh_volatile(&self, name: &str) -> Option<Self> {
        let fresh = || self.create(name, KEY_READ_WRITE_DELETE, REG_OPTION_VOLATILE);
        if let Some(old) = fresh() {
            old.remove();
        }
        fresh()
    }

    /// Opens a subkey, or makes it.
    fn create(&self, name: &str, access: ACCESS_MASK, options: ULONG) -> Option<Self> {
        let name = Text::new(name);
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; the parent key is open and the name outlives the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryCreateKey,
                self.0,
                &raw const *name.unicode(),
                access,
                options,
                ptr::null_mut(),
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        succeeded(status).then(|| Self(key))
    }

    /// What stands under a name.
    pub fn value(&self, name: &str) -> Value {
        let name = Text::new(name);
        let mut number: u32 = 0;
        let mut length: ULONG = 0;
        let mut kind: ULONG = 0;
        // SAFETY: PASSIVE_LEVEL; the key is open; the buffer has the length that is named.
        let status: NTSTATUS = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryQueryValue,
                self.0,
                &raw const *name.unicode(),
                size_of::<u32>() as ULONG,
                (&raw mut number).cast(),
                &raw mut length,
                &raw mut kind
            )
        };
        if status == STATUS_OBJECT_NAME_NOT_FOUND {
            Value::Absent
        } else if succeeded(status) && kind == REG_DWORD && length as usize == size_of::<u32>() {
            Value::Number(number)
        } else {
            Value::Other(kind)
        }
    }

    /// Writes a REG_DWORD. Nothing depends on what the driver writes, so nobody hears of a failure.
    pub fn set(&self, name: &str, value: u32) {
        let name = Text::new(name);
        // SAFETY: PASSIVE_LEVEL; the key is open and the name outlives the call.
        let _: NTSTATUS = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryAssignULong,
                self.0,
                &raw const *name.unicode(),
                value
            )
        };
    }

    /// Writes a REG_SZ, cut to what fits.
    pub fn set_text(&self, name: &str, text: fmt::Arguments<'_>) {
        let name = Text::new(name);
        let mut value = Text::new("");
        // What does not fit is left out.
        let _: fmt::Result = value.write_fmt(text);
        let bytes = value.bytes_with_end();
        // SAFETY: PASSIVE_LEVEL; the key is open; name and value outlive the call, and the value has
        // the length that is named.
        let _: NTSTATUS = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryAssignValue,
                self.0,
                &raw const *name.unicode(),
                REG_SZ,
                bytes,
                value.units.as_mut_ptr().cast()
            )
        };
    }

    /// Deletes the key.
    fn remove(self) {
        // SAFETY: PASSIVE_LEVEL; the key is open, and the framework's object goes with it.
        let status = unsafe { call_unsafe_wdf_function_binding!(WdfRegistryRemoveKey, self.0) };
        if succeeded(status) {
            // The handle went with the key.
            core::mem::forget(self);
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened by this value, closed once.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.0) };
    }
}

/// A text as the kernel wants it.
struct Text {
    /// Always followed by a NUL that does not count.
    units: [u16; TEXT_UNITS],
    length: usize,
}

impl Text {
    fn new(text: &str) -> Self {
        let mut new = Self {
            units: [0; TEXT_UNITS],
            length: 0,
        };
        let _: fmt::Result = new.write_str(text);
        new
    }

    /// Bytes with the NUL at the end.
    const fn bytes_with_end(&self) -> ULONG {
        ((self.length + 1) * size_of::<u16>()) as ULONG
    }

    /// The counted string.
    const fn unicode(&self) -> Counted<'_> {
        let bytes = (self.length * size_of::<u16>()) as u16;
        let string = UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.units.as_ptr().cast_mut(),
        };
        Counted(string, core::marker::PhantomData)
    }
}

/// A counted string that lives no longer than its text. The kernel only reads names.
struct Counted<'a>(UNICODE_STRING, core::marker::PhantomData<&'a Text>);

impl core::ops::Deref for Counted<'_> {
    type Target = UNICODE_STRING;

    fn deref(&self) -> &UNICODE_STRING {
        &self.0
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for unit in text.encode_utf16() {
            // The last unit stays NUL.
            if self.length + 1 == TEXT_UNITS {
                return Err(fmt::Error);
            }
            let place = self.units.get_mut(self.length).ok_or(fmt::Error)?;
            *place = unit;
            self.length += 1;
        }
        Ok(())
    }
}
