//! What a device is asked when it starts, and what is made of the answers.
//!
//! Asked once, in the first `EvtDevicePrepareHardware`: at PASSIVE_LEVEL, when everything below has
//! started. Not in `EvtDeviceD0Entry`: on resume the class driver has locked the port's queue by
//! then, and a command sent from there would wait for a power request that waits for it (classpnp
//! power.c). Nothing here fails the device: whatever goes wrong, it works on without the filter's
//! services, and the log says why.

mod ask;
mod queries;

use core::fmt;

use wdk_sys::{NTSTATUS, WDFDEVICE};
use xfersplit_core::{
    descriptor::{self, DescriptorError},
    limits::{BlockLimits, InvalidLimits, Limits, Voices},
    settings::{HonorBlockLimits, Settings, ShapeSetting},
};

use crate::shape::{Config, class};

/// Why a device passes everything through.
#[derive(Debug)]
pub(crate) enum Unsuitable {
    /// The settings say so.
    Disabled,
    /// The settings ask for no shape that this driver has.
    Shape,
    /// A question that must be answered was not: what, and the status.
    NoAnswer(&'static str, NTSTATUS),
    /// The adapter's descriptor makes no sense.
    Descriptor(DescriptorError),
    /// The limits leave no room for a single sector.
    Limits(InvalidLimits),
    /// The device's own READ CAPACITY answer makes no sense.
    Capacity,
    /// No memory for the pools.
    Memory,
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => out.write_str("disabled by its settings"),
            Self::Shape => out.write_str("Shape is not 2 (class), the one shape of this version"),
            Self::NoAnswer(what, status) => write!(out, "no answer to {what} ({status:#010X})"),
            Self::Descriptor(reason) => write!(out, "adapter descriptor: {reason:?}"),
            Self::Limits(reason) => write!(out, "limits: {reason:?}"),
            Self::Capacity => out.write_str("READ CAPACITY: implausible answer"),
            Self::Memory => out.write_str("no memory for the pools"),
        }
    }
}

/// Asks the device and the adapter, and decides how the engine will work. PASSIVE_LEVEL.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn configure(
    device: WDFDEVICE,
    settings: &Settings,
    stack_size: i8,
) -> Result<Config, Unsuitable> {
    if settings.disabled {
        return Err(Unsuitable::Disabled);
    }
    if settings.shape != ShapeSetting::Class {
        return Err(Unsuitable::Shape);
    }
    // SAFETY: the caller's contract.
    let target = unsafe { ask::Target::of(device) };
    let adapter = queries::adapter(&target)?;
    let unit = queries::unit(&target)?;
    let capacity = queries::capacity(&target)?;
    let block_limits = wants_block_limits(settings.honor_block_limits, unit.bus)
        .then(|| queries::block_limits(&target))
        .flatten();
    let voices = Voices {
        adapter: adapter.limits,
        block_limits,
        clamp: settings.clamp(),
        piece_cap: settings.piece_cap,
    };
    let limits = Limits::normalise(&voices, capacity.block_size).map_err(Unsuitable::Limits)?;
    announce(&limits, block_limits);
    let facts = class::Facts {
        queueing: adapter.command_queueing == Some(true) && unit.queueing,
        removable: unit.removable,
        honours_fua: queries::honours_fua(&target),
        capacity,
        cdb_size: settings.cdb_size,
    };
    Ok(Config::new(settings, &voices, limits, facts, stack_size))
}

/// Block Limits are asked for where the bus is one whose devices answer VPD inquiries sanely; some
/// USB bridges hang on them.
const fn wants_block_limits(honor: HonorBlockLimits, bus: u8) -> bool {
    match honor {
        HonorBlockLimits::Never => false,
        HonorBlockLimits::Always => true,
        HonorBlockLimits::SaneBuses => descriptor::answers_vpd(bus),
    }
}

/// One line with the limits and who set them; further lines for what was ignored.
fn announce(limits: &Limits, block_limits: Option<BlockLimits>) {
    wdk::println!(
        "xfersplit: {} bytes ({}), {} pages ({}), alignment mask {:#x}",
        OrUnlimited(limits.maximum_bytes()),
        limits.bytes_source().name(),
        OrUnlimited(limits.maximum_pages()),
        limits.pages_source().name(),
        limits.alignment_mask(),
    );
    let notes = limits.notes();
    if let Some(bytes) = notes.bytes_rounded_from {
        wdk::println!("xfersplit: {bytes} bytes is no whole number of sectors: rounded down");
    }
    if notes.zero_pages_as_one {
        wdk::println!("xfersplit: 0 physical pages: taken as 1");
    }
    if let (Some(reason), Some(page)) = (notes.block_limits_ignored, block_limits) {
        let blocks = page.maximum_transfer_blocks;
        wdk::println!("xfersplit: Block Limits of {blocks} blocks ignored: {reason:?}");
    }
    if notes.alignment_mask_filled {
        wdk::println!("xfersplit: alignment mask has holes: filled");
    }
}

struct OrUnlimited(Option<u32>);

impl fmt::Display for OrUnlimited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("unlimited"),
        }
    }
}
