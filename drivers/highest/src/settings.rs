//! The registry: two values of the key `Xfersplit` under the device's hardware key. PASSIVE_LEVEL.
//!
//! A value that is not there, of another type or out of range leaves the default.

use core::ptr;

use wdk_sys::{
    ACCESS_MASK, ULONG, UNICODE_STRING, WDF_NO_OBJECT_ATTRIBUTES, WDFDEVICE, WDFKEY,
    call_unsafe_wdf_function_binding,
};
use xfersplit_core::page::PAGE_SIZE;
use xfersplit_wdm::succeeded;

/// `KEY_READ`.
const KEY_READ: ACCESS_MASK = 0x0002_0019;
/// `PLUGPLAY_REGKEY_DEVICE`: the hardware key.
const HARDWARE_KEY: ULONG = 1;

/// What a portion of the buffer may be long by default.
const PORTION_BYTES: u32 = 64 * 1024;
/// And at most: what one MDL is certain to describe.
const MOST_PORTION_BYTES: u32 = 8 * 1024 * 1024;

/// How a locked portion travels to the driver below.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Carriage {
    /// 0: in an IRP of the driver's own, which carries the MDL.
    #[default]
    Own,
    /// 1: in an IRP of IoBuildSynchronousFsdRequest, by its system address.
    Synchronous,
}

/// What the registry says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `PortionBytes`: the most that is locked at a time, whole pages.
    pub(crate) portion_bytes: u32,
    /// `Carriage`.
    pub(crate) carriage: Carriage,
}

/// Reads the device's settings.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn read(device: WDFDEVICE) -> Settings {
    let mut settings = Settings {
        portion_bytes: PORTION_BYTES,
        carriage: Carriage::default(),
    };
    // SAFETY: the caller's contract.
    if let Some(key) = unsafe { Key::of_device(device) } {
        let bytes = key.number(&utf16(*b"PortionBytes"));
        let range = PAGE_SIZE as u32..=MOST_PORTION_BYTES;
        if let Some(bytes) = bytes.filter(|bytes| range.contains(bytes)) {
            settings.portion_bytes = bytes;
        }
        if key.number(&utf16(*b"Carriage")) == Some(1) {
            settings.carriage = Carriage::Synchronous;
        }
    }
    settings
}

/// An open key, closed when it goes.
struct Key(WDFKEY);

impl Key {
    /// `Xfersplit` under the device's hardware key.
    ///
    /// # Safety
    /// `device` is a live framework device.
    unsafe fn of_device(device: WDFDEVICE) -> Option<Self> {
        let mut key: WDFKEY = ptr::null_mut();
        // SAFETY: the caller's contract; PASSIVE_LEVEL; `key` has room for the handle.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceOpenRegistryKey,
                device,
                HARDWARE_KEY,
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key
            )
        };
        let hardware = succeeded(status).then(|| Self(key))?;
        let name = utf16(*b"Xfersplit");
        let name = counted(&name);
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

    /// A REG_DWORD.
    fn number(&self, name: &[u16]) -> Option<u32> {
        let name = counted(name);
        let mut number: ULONG = 0;
        // SAFETY: PASSIVE_LEVEL; the key is open and the name outlives the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryQueryULong,
                self.0,
                &raw const name,
                &raw mut number
            )
        };
        succeeded(status).then_some(number)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened by this value, closed once.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.0) };
    }
}

/// A name in ASCII as the kernel spells it.
fn utf16<const LENGTH: usize>(name: [u8; LENGTH]) -> [u16; LENGTH] {
    name.map(u16::from)
}

/// A counted string over `name`, which outlives it. The kernel only reads names.
const fn counted(name: &[u16]) -> UNICODE_STRING {
    let bytes = size_of_val(name) as u16;
    UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: name.as_ptr().cast_mut(),
    }
}
