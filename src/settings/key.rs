//! The driver's keys: all of them under `Xfersplit` in the device's hardware key. PASSIVE_LEVEL.

use wdk_sys::WDFDEVICE;

use crate::wdf::key::Key;

/// The device's settings, under its hardware key.
const SETTINGS: &str = "Xfersplit";
/// What a port driver has written down, under the settings.
const PORT: &str = "Port";
/// What they came to, under the settings.
const EFFECTIVE: &str = "Effective";

/// The device's settings.
///
/// # Safety
/// `device` is a live framework device.
pub(super) unsafe fn of_device(device: WDFDEVICE) -> Option<Key> {
    // SAFETY: the caller's contract.
    unsafe { Key::hardware(device) }?.existing(SETTINGS)
}

/// What a port driver has written down.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn port(device: WDFDEVICE) -> Option<Key> {
    // SAFETY: the caller's contract.
    unsafe { of_device(device) }?.existing(PORT)
}

/// A fresh volatile key for what the settings came to.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn effective(device: WDFDEVICE) -> Option<Key> {
    // SAFETY: the caller's contract.
    let hardware = unsafe { Key::writable_hardware(device) }?;
    hardware.made(SETTINGS)?.fresh_volatile(EFFECTIVE)
}
