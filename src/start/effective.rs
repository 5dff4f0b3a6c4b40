//! The values that a device works by, where a person can read them: the volatile key
//! `Xfersplit\Effective` under the device's hardware key, written once, at start. It goes with the
//! next restart of the system, so it never tells about another adapter.

use wdk_sys::WDFDEVICE;
use xfersplit_core::{advertise::Advertised, limits::AdapterLimits};

use super::{Report, Unsuitable};
use crate::{settings::key, wdf::key::Key};

/// What the registry says where there is no limit.
const UNLIMITED: u32 = u32::MAX;

/// Writes what start came to. Nothing depends on it, so nothing is said when it fails.
///
/// # Safety
/// `device` is a live framework device. PASSIVE_LEVEL.
pub(crate) unsafe fn write(device: WDFDEVICE, result: &Result<Report, Unsuitable>) {
    // SAFETY: the caller's contract.
    let Some(key) = (unsafe { key::effective(device) }) else {
        return;
    };
    match result {
        Ok(report) => write_report(&key, report),
        Err(reason) => {
            key.set_text("Shape", format_args!("pass-through"));
            key.set_text("Reason", format_args!("{reason}"));
        }
    }
}

fn write_report(key: &Key, report: &Report) {
    let limits = &report.limits;
    key.set_text("Shape", format_args!("{}", report.place.name()));
    key.set(
        "MaximumTransferLength",
        limits.maximum_bytes().unwrap_or(UNLIMITED),
    );
    key.set(
        "MaximumPhysicalPages",
        limits.maximum_pages().unwrap_or(UNLIMITED),
    );
    key.set("AlignmentMask", limits.alignment_mask());
    let set_by = limits.bytes_source().name();
    key.set_text("TransferLengthSetBy", format_args!("{set_by}"));
    let set_by = limits.pages_source().name();
    key.set_text("PhysicalPagesSetBy", format_args!("{set_by}"));
    write_adapter(key, &report.adapter.limits);
    if let Some(page) = report.block_limits {
        key.set("BlockLimitsBlocks", page.maximum_transfer_blocks);
    }
    if let Some(told) = report.told {
        key.set("PairedPortTransferLength", told.bytes());
        key.set("PairedPortPages", told.pages());
    }
    if let Some(Advertised { bytes, pages }) = report.advertised {
        key.set("AdvertisedTransferLength", bytes);
        key.set("AdvertisedPhysicalPages", pages);
    }
}

fn write_adapter(key: &Key, adapter: &AdapterLimits) {
    key.set(
        "AdapterMaximumTransferLength",
        adapter.maximum_transfer_length,
    );
    key.set(
        "AdapterMaximumPhysicalPages",
        adapter.maximum_physical_pages,
    );
    key.set("AdapterAlignmentMask", adapter.alignment_mask);
}
