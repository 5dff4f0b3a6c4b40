//! How long a sector is. PASSIVE_LEVEL.

use wdk_sys::{_STORAGE_PROPERTY_ID, STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR, WDFDEVICE};
use xfersplit_core::limits::MAX_SECTOR_SIZE;
use xfersplit_wdm::wdf::target::Target;

/// Bytes of a sector where nobody says otherwise.
pub(crate) const USUAL: u32 = 512;

/// Asks the device below. `None` where it does not know, or says something impossible.
///
/// # Safety
/// `device` is a live framework device, in its EvtDevicePrepareHardware.
pub(crate) unsafe fn ask(device: WDFDEVICE) -> Option<u32> {
    let id = _STORAGE_PROPERTY_ID::StorageAccessAlignmentProperty;
    // SAFETY: the caller's contract.
    let target = unsafe { Target::of(device) };
    // SAFETY: the descriptor consists of numbers.
    let answer = unsafe { target.property::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>(id) };
    let (said, valid) = answer.ok()?;
    let bytes = said.BytesPerLogicalSector;
    let complete = valid == size_of::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>();
    let possible = bytes.is_power_of_two() && (USUAL..=MAX_SECTOR_SIZE).contains(&bytes);
    (complete && possible).then_some(bytes)
}
