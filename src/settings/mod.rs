//! The registry: what the person who installed the driver wants.
//!
//! Two keys are read, the second over the first: `Parameters` of the service, for all disks, and
//! `Xfersplit` under the disk's own hardware key. Each value stands for itself: one of the wrong type
//! or out of range is named in the log and ignored, and the rest counts. PASSIVE_LEVEL.

use core::ptr;

use wdk_sys::{
    ACCESS_MASK, NTSTATUS, REG_DWORD, STATUS_OBJECT_NAME_NOT_FOUND, ULONG, UNICODE_STRING,
    WDF_NO_OBJECT_ATTRIBUTES, WDFDEVICE, WDFKEY, call_unsafe_wdf_function_binding,
};
use xfersplit_core::settings::{SETTINGS, Settings};

use crate::wdm::succeeded;

/// `KEY_READ`.
const KEY_READ: ACCESS_MASK = 0x0002_0019;
/// `PLUGPLAY_REGKEY_DEVICE`: the hardware key.
const HARDWARE_KEY: ULONG = 1;
/// Longer than any name in the table.
const NAME_UNITS: usize = 48;

/// Settings of a device, defaults where nothing (sensible) is said.
pub(crate) fn read(device: WDFDEVICE) -> Settings {
    let mut settings = Settings::default();
    if let Some(key) = Key::parameters(device) {
        apply(&key, Scope::AllDevices, &mut settings);
    }
    if let Some(key) = Key::of_device(device) {
        apply(&key, Scope::OneDevice, &mut settings);
    }
    settings
}

/// Whom a key speaks for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Scope {
    AllDevices,
    OneDevice,
}

fn apply(key: &Key, scope: Scope, settings: &mut Settings) {
    for info in SETTINGS {
        match key.value(info.name) {
            Value::Absent => {}
            Value::Number(number)
                if scope == Scope::AllDevices && info.id.is_device_only(number) =>
            {
                wdk::println!(
                    "xfersplit: setting {} = {number} ignored: it counts only in a device's own key",
                    info.name
                );
            }
            Value::Number(number) => {
                if settings.apply(info.id, number).is_err() {
                    wdk::println!(
                        "xfersplit: setting {} = {number} ignored: allowed are {} to {}",
                        info.name,
                        info.minimum,
                        info.maximum
                    );
                }
            }
            Value::Other(kind) => {
                wdk::println!(
                    "xfersplit: setting {} ignored: type {kind}, not a REG_DWORD",
                    info.name
                );
            }
        }
    }
}

/// What a key says under one name.
enum Value {
    Absent,
    Number(u32),
    /// Something of another type (`REG_*`), or a REG_DWORD that has not four bytes.
    Other(ULONG),
}

/// An open key, closed when it goes.
struct Key(WDFKEY);

impl Key {
    fn parameters(device: WDFDEVICE) -> Option<Self> {
        // SAFETY: a live device.
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

    fn of_device(device: WDFDEVICE) -> Option<Self> {
        let mut hardware: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; `hardware` has room for the handle.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceOpenRegistryKey,
                device,
                HARDWARE_KEY,
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut hardware
            )
        };
        if !succeeded(status) {
            return None;
        }
        let hardware = Self(hardware);
        let mut units = Name::new("Xfersplit");
        let name = units.unicode();
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: PASSIVE_LEVEL; the parent key is open and the name outlives the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryOpenKey,
                hardware.0,
                &raw const name,
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        succeeded(status).then(|| Self(key))
    }

    fn value(&self, name: &str) -> Value {
        let mut units = Name::new(name);
        let name = units.unicode();
        let mut number: u32 = 0;
        let mut length: ULONG = 0;
        let mut kind: ULONG = 0;
        // SAFETY: PASSIVE_LEVEL; the key is open; the buffer has the length that is named.
        let status: NTSTATUS = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryQueryValue,
                self.0,
                &raw const name,
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
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened by this value, closed once.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.0) };
    }
}

/// A name as the kernel wants it.
struct Name {
    units: [u16; NAME_UNITS],
    length: usize,
}

impl Name {
    fn new(name: &str) -> Self {
        let mut units = [0; NAME_UNITS];
        let mut length = 0;
        for (to, from) in units.iter_mut().zip(name.encode_utf16()) {
            *to = from;
            length += 1;
        }
        Self { units, length }
    }

    /// The counted string; it points into `self`.
    fn unicode(&mut self) -> UNICODE_STRING {
        let bytes = (self.length * size_of::<u16>()) as u16;
        UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.units.as_mut_ptr(),
        }
    }
}
