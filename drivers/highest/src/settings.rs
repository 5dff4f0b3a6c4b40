//! The registry: two values of the key `Xfersplit` under the device's hardware key. PASSIVE_LEVEL.
//!
//! A value that is not there, of another type or out of range leaves the default.

use wdk_sys::WDFDEVICE;
use xfersplit_core::page::PAGE_SIZE;
use xfersplit_wdm::wdf::key::{Key, Value};

/// The device's settings, under its hardware key.
const KEY: &str = "Xfersplit";
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
    /// `PortionBytes`: the most that is locked at a time, rounded down to whole pages.
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
    let hardware = unsafe { Key::hardware(device) };
    let Some(key) = hardware.and_then(|hardware| hardware.existing(KEY)) else {
        return settings;
    };
    let range = PAGE_SIZE as u32..=MOST_PORTION_BYTES;
    if let Some(bytes) = number(&key, "PortionBytes").filter(|bytes| range.contains(bytes)) {
        settings.portion_bytes = bytes;
    }
    if number(&key, "Carriage") == Some(1) {
        settings.carriage = Carriage::Synchronous;
    }
    settings
}

fn number(key: &Key, name: &str) -> Option<u32> {
    match key.value(name) {
        Value::Number(number) => Some(number),
        Value::Absent | Value::Other(_) => None,
    }
}
