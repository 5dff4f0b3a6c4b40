//! What a device is asked when it starts, and what is made of the answers.
//!
//! Asked once, in the first `EvtDevicePrepareHardware`: at PASSIVE_LEVEL, when everything below has
//! started. Not in `EvtDeviceD0Entry`: on resume the class driver has locked the port's queue by
//! then, and a command sent from there would wait for a power request that waits for it (classpnp
//! power.c). Nothing here fails the device: whatever goes wrong, it works on without the filter's
//! services, and the log says why.

mod effective;
mod position;
mod queries;

use core::fmt;

use wdk_sys::{NTSTATUS, WDFDEVICE};
use xfersplit_core::{
    advertise::{self, Advertised},
    descriptor::{self, AdapterDescriptor, DescriptorError},
    limits::{BlockLimits, InvalidLimits, Limits, Source, Voices},
    paired::PairedLimits,
    settings::{HonorBlockLimits, Settings, ShapeSetting},
};

pub(crate) use effective::write as write_effective_values;
use position::Position;
use queries::{Blocks, Unit};

use crate::{
    paired,
    shape::{Config, Found, Shape, can_keep, class},
    srb::Format,
    wdf::target::Target,
};

/// `SRB_TYPE_STORAGE_REQUEST_BLOCK` (srb.h), as the adapter's descriptor names it.
const SRB_TYPE_EXTENDED: u8 = 1;

/// Bytes of a block where nobody says how large they are: the smallest there are, so that limits in
/// blocks are never taken for more than they are.
const SMALLEST_BLOCK: u32 = 512;

/// Why a device passes everything through.
#[derive(Debug)]
pub(crate) enum Unsuitable {
    /// The settings say so.
    Disabled,
    /// Neither beneath nor above the function driver, as far as can be seen.
    Position,
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
            Self::Position => out.write_str("its place in the device stack can't be found out"),
            Self::NoAnswer(what, status) => write!(out, "no answer to {what} ({status:#010X})"),
            Self::Descriptor(reason) => write!(out, "adapter descriptor: {reason:?}"),
            Self::Limits(reason) => write!(out, "limits: {reason:?}"),
            Self::Capacity => out.write_str("READ CAPACITY: implausible answer"),
            Self::Memory => out.write_str("no memory for the pools"),
        }
    }
}

/// What a device works by after its start.
pub(crate) struct Outcome {
    /// For the engine.
    pub(crate) config: Config,
    /// What the stack above is told in place of the adapter's limits.
    pub(crate) advertised: Option<Advertised>,
    /// For a person who wants to know.
    pub(crate) report: Report,
}

/// What start found out, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    place: Place,
    limits: Limits,
    adapter: AdapterDescriptor,
    block_limits: Option<BlockLimits>,
    /// What a paired port driver has told or written down.
    told: Option<PairedLimits>,
    advertised: Option<Advertised>,
}

/// Asks the device and the adapter, and decides how the engine will work, given what a paired port
/// driver has told. PASSIVE_LEVEL.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn configure(
    device: WDFDEVICE,
    settings: &Settings,
    told: Option<PairedLimits>,
    stack_size: i8,
) -> Result<Outcome, Unsuitable> {
    if settings.disabled {
        return Err(Unsuitable::Disabled);
    }
    // SAFETY: the caller's contract.
    let place = unsafe { place(device, settings.shape) }?;
    // SAFETY: the caller's contract.
    let target = unsafe { Target::of(device) };
    let adapter = queries::adapter(&target)?;
    let unit = queries::unit(&target)?;
    let (shape, blocks) = ask_by_shape(&target, place, &adapter, unit, settings)?;
    let block_limits = wants_block_limits(settings.honor_block_limits, unit.bus)
        .then(|| queries::block_limits(&target))
        .flatten();
    // SAFETY: the caller's contract.
    let written_down = unsafe { paired::read_registry(device) };
    let (voices, limits) = weigh(
        written_down,
        |paired| Voices {
            adapter: adapter.limits,
            block_limits,
            paired,
            clamp: settings.clamp(),
            piece_cap: settings.piece_cap,
        },
        blocks.size,
    )?;
    let found = Found {
        shape,
        voices,
        limits,
        removable: unit.removable,
        physical_sector: blocks.physical,
        format: if adapter.srb_type == Some(SRB_TYPE_EXTENDED) {
            Format::Extended
        } else {
            Format::Legacy
        },
        stack_size,
    };
    let config = Config::new(settings, found);
    let limits = config.limits(blocks.size, told).unwrap_or(limits);
    let report = Report {
        place,
        limits,
        adapter,
        block_limits,
        told: told.map_or(voices.paired, |told| voices.told(told).paired),
        advertised: advertised(place, settings, &limits, &adapter),
    };
    announce(&report);
    if let Some(at) = settings.lba_boundary.filter(|&at| !can_keep(&limits, at)) {
        let grain = limits.granularity();
        wdk::println!("xfersplit: setting LbaBoundary = {at} ignored: no multiple of {grain}");
    }
    Ok(Outcome {
        config,
        advertised: report.advertised,
        report,
    })
}

/// Makes limits of all voices; without the paired port driver's, should that be what leaves no room for
/// a block: it can't have meant it.
fn weigh(
    paired: Option<PairedLimits>,
    voices: impl Fn(Option<PairedLimits>) -> Voices,
    sector: u32,
) -> Result<(Voices, Limits), Unsuitable> {
    let with = voices(paired);
    let (voices, limits) = match Limits::normalise(&with, sector) {
        Err(InvalidLimits::BelowOneSector {
            source: Source::PairedPort,
            bytes,
            ..
        }) => {
            wdk::println!("xfersplit: Port ignored: {bytes} bytes are less than a block");
            let without = voices(None);
            (without, Limits::normalise(&without, sector))
        }
        limits => (with, limits),
    };
    Ok((voices, limits.map_err(Unsuitable::Limits)?))
}

/// Which requests will be the device's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Srb,
    Class,
    Relay,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Srb => "SRB",
            Self::Class => "class",
            Self::Relay => "relay",
        }
    }
}

/// # Safety
/// `device` is a live framework device.
unsafe fn place(device: WDFDEVICE, setting: ShapeSetting) -> Result<Place, Unsuitable> {
    match setting {
        ShapeSetting::Srb => Ok(Place::Srb),
        ShapeSetting::Class => Ok(Place::Class),
        ShapeSetting::Relay => Ok(Place::Relay),
        // SAFETY: the caller's contract.
        ShapeSetting::Auto => match unsafe { position::of(device) } {
            Position::Beneath => Ok(Place::Srb),
            Position::Above => Ok(Place::Relay),
            Position::Unknown => Err(Unsuitable::Position),
        },
    }
}

/// What only one shape needs to know. READ CAPACITY and its like report a unit attention, and so take
/// it away from the class driver: they are asked where we are the class driver, and nowhere else.
fn ask_by_shape(
    target: &Target,
    place: Place,
    adapter: &AdapterDescriptor,
    unit: Unit,
    settings: &Settings,
) -> Result<(Shape, Blocks), Unsuitable> {
    match place {
        Place::Srb => {
            // Each request says how large its blocks are; this is for limits in blocks.
            let blocks = queries::blocks(target).unwrap_or(Blocks::of(SMALLEST_BLOCK));
            Ok((Shape::Srb, blocks))
        }
        Place::Relay => {
            let blocks = queries::blocks(target).map_or_else(|| queries::geometry(target), Ok)?;
            Ok((Shape::Relay, blocks))
        }
        Place::Class => {
            let capacity = queries::capacity(target)?;
            let facts = class::Facts {
                queueing: adapter.command_queueing == Some(true) && unit.queueing,
                honours_fua: queries::honours_fua(target),
                capacity,
                cdb_size: settings.cdb_size,
            };
            let blocks = Blocks {
                size: capacity.block_size,
                physical: capacity.physical_sector(),
            };
            Ok((Shape::Class(facts), blocks))
        }
    }
}

/// What the stack above is told. Only beneath the class driver: above it, it has asked already.
fn advertised(
    place: Place,
    settings: &Settings,
    limits: &Limits,
    adapter: &AdapterDescriptor,
) -> Option<Advertised> {
    (place == Place::Srb)
        .then(|| {
            advertise::choose(
                settings.advertise,
                limits,
                &adapter.limits,
                settings.advertised_transfer_length,
            )
        })
        .flatten()
}

impl Report {
    /// Whether the disk can do without the engine: not where nobody else makes request blocks, and
    /// not where the stack above was told more than the adapter takes.
    pub(crate) fn may_be_left_alone(&self) -> bool {
        let trusted = self
            .advertised
            .is_some_and(|told| told.exceeds(&self.adapter.limits));
        self.place != Place::Class && !trusted
    }
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
fn announce(report: &Report) {
    let limits = &report.limits;
    wdk::println!(
        "xfersplit: {} bytes ({}), {} pages ({}), alignment mask {:#x}",
        OrUnlimited(limits.maximum_bytes()),
        limits.bytes_source().name(),
        OrUnlimited(limits.maximum_pages()),
        limits.pages_source().name(),
        limits.alignment_mask(),
    );
    if let Some(told) = report.advertised {
        wdk::println!(
            "xfersplit: {} shape; the stack above is told {} bytes, {} pages",
            report.place.name(),
            told.bytes,
            told.pages
        );
    }
    let notes = limits.notes();
    if let Some(bytes) = notes.bytes_rounded_from {
        wdk::println!("xfersplit: {bytes} bytes is no whole number of sectors: rounded down");
    }
    if notes.zero_pages_as_one {
        wdk::println!("xfersplit: 0 physical pages: taken as 1");
    }
    if let (Some(reason), Some(page)) = (notes.block_limits_ignored, report.block_limits) {
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
