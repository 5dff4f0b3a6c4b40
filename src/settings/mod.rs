//! The registry: what the person who installed the driver wants.
//!
//! Two keys are read, the second over the first: `Parameters` of the service, for all disks, and
//! `Xfersplit` under the disk's own hardware key. Each value stands for itself: one of the wrong type
//! or out of range is named in the log and ignored, and the rest counts. PASSIVE_LEVEL.

pub(crate) mod key;

use wdk_sys::WDFDEVICE;
use xfersplit_core::settings::{SETTINGS, Settings};

use crate::wdf::key::{Key, Value};

/// Settings of a device, defaults where nothing (sensible) is said.
///
/// # Safety
/// `device` is a live framework device. PASSIVE_LEVEL.
pub(crate) unsafe fn read(device: WDFDEVICE) -> Settings {
    let mut settings = Settings::default();
    // SAFETY: the caller's contract.
    if let Some(key) = unsafe { Key::parameters(device) } {
        apply(&key, Scope::AllDevices, &mut settings);
    }
    // SAFETY: the caller's contract.
    if let Some(key) = unsafe { key::of_device(device) } {
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
