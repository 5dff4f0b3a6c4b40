//! What a port driver has written down for its class driver: the key `Xfersplit\Port` under the
//! device's hardware key, which a port driver fills in before the device starts.
//!
//! Each value stands for itself: one of the wrong type, or under which nothing could be moved, is
//! named in the log and ignored. Without `Version` 1 nothing in the key is understood.

use wdk_sys::WDFDEVICE;
use xfersplit_core::paired::{NO_LIMIT, PairedLimits, VERSION};

use crate::{
    settings::key,
    wdf::key::{Key, Value},
};

/// The limits in the key, if there is one.
///
/// # Safety
/// `device` is a live framework device. PASSIVE_LEVEL.
pub(crate) unsafe fn read(device: WDFDEVICE) -> Option<PairedLimits> {
    // SAFETY: the caller's contract.
    let key = unsafe { key::port(device) }?;
    match key.value("Version") {
        Value::Number(VERSION) => {}
        Value::Number(version) => {
            wdk::println!("xfersplit: Port ignored: version {version}, not {VERSION}");
            return None;
        }
        Value::Absent | Value::Other(_) => {
            wdk::println!("xfersplit: Port ignored: no version");
            return None;
        }
    }
    let registers = limit(&key, "NumberOfMapRegisters", 1);
    let segments = limit(&key, "NumberOfSegments", 1);
    let bytes = limit(&key, "MaximumTransferLength", 512);
    let limits = PairedLimits::new(registers, segments, bytes)?;
    wdk::println!(
        "xfersplit: the port driver has written down {} pages, {} bytes",
        limits.pages(),
        limits.bytes()
    );
    Some(limits)
}

fn limit(key: &Key, name: &str, least: u32) -> u32 {
    match key.value(name) {
        Value::Number(number) if number >= least => number,
        Value::Number(number) => {
            wdk::println!("xfersplit: Port\\{name} = {number} ignored: nothing could be moved");
            NO_LIMIT
        }
        Value::Other(kind) => {
            wdk::println!("xfersplit: Port\\{name} ignored: type {kind}, not a REG_DWORD");
            NO_LIMIT
        }
        Value::Absent => NO_LIMIT,
    }
}
