//! The questions, one function each.

use core::mem::offset_of;

use wdk_sys::{
    _STORAGE_PROPERTY_ID, STATUS_SUCCESS, STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR,
    STORAGE_DEVICE_DESCRIPTOR,
};
use xfersplit_core::{
    capacity::{Capacity, LENGTH_10, LENGTH_16},
    descriptor::{AdapterDescriptor, announced_size},
    limits::BlockLimits,
    plan::PhysicalSector,
    vpd,
};

use super::Unsuitable;
use crate::wdf::target::Target;

/// `CTL_CODE(IOCTL_DISK_BASE, 0x000, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
const IOCTL_DISK_GET_DRIVE_GEOMETRY: u32 = 0x0007_0000;
/// Bytes of a `DISK_GEOMETRY` (ntdddisk.h), the last four of which are `BytesPerSector`.
const DISK_GEOMETRY_BYTES: usize = 24;

/// Bytes of an INQUIRY answer that are asked for: page 0xB0 has 64.
const INQUIRY_BYTES: u8 = 96;
/// SPC: INQUIRY, with the EVPD bit.
const INQUIRY: u8 = 0x12;
const EVPD: u8 = 1;
/// SBC: SERVICE ACTION IN(16) with READ CAPACITY(16), and READ CAPACITY(10).
const SERVICE_ACTION_IN_16: u8 = 0x9E;
const READ_CAPACITY_16: u8 = 0x10;
const READ_CAPACITY_10: u8 = 0x25;
/// SPC: MODE SENSE(6), all pages; the header's device-specific parameter has DPOFUA.
const MODE_SENSE_6: u8 = 0x1A;
const ALL_PAGES: u8 = 0x3F;
const DPOFUA: u8 = 0x10;

/// How large blocks are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Bytes of a logical block.
    pub(super) size: u32,
    /// The physical sector, if it is longer.
    pub(super) physical: Option<PhysicalSector>,
}

impl Blocks {
    /// Of blocks about which nothing else is known.
    pub(super) const fn of(size: u32) -> Self {
        Self {
            size,
            physical: None,
        }
    }
}

/// What the logical unit says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// `STORAGE_BUS_TYPE`.
    pub(super) bus: u8,
    /// The medium can be changed.
    pub(super) removable: bool,
    /// Commands can be queued.
    pub(super) queueing: bool,
}

/// The adapter's descriptor, in the two steps that every asker takes: how long is it, then all of it.
pub(super) fn adapter(target: &Target) -> Result<AdapterDescriptor, Unsuitable> {
    let id = _STORAGE_PROPERTY_ID::StorageAdapterProperty;
    let no_answer = |status| Unsuitable::NoAnswer("StorageAdapterProperty", status);
    // SAFETY: bytes are bytes.
    let (header, valid) = unsafe { target.property::<[u8; 8]>(id) }.map_err(no_answer)?;
    announced_size(header.get(..valid).unwrap_or(&header)).map_err(Unsuitable::Descriptor)?;
    // SAFETY: bytes are bytes.
    let (bytes, valid) = unsafe { target.property::<[u8; 32]>(id) }.map_err(no_answer)?;
    AdapterDescriptor::parse(bytes.get(..valid).unwrap_or(&bytes)).map_err(Unsuitable::Descriptor)
}

/// The logical unit's descriptor. Its strings lie behind the fixed part and are not asked for.
pub(super) fn unit(target: &Target) -> Result<Unit, Unsuitable> {
    let id = _STORAGE_PROPERTY_ID::StorageDeviceProperty;
    // SAFETY: numbers, and an enumeration that bindgen makes a number.
    let (descriptor, valid) = unsafe { target.property::<STORAGE_DEVICE_DESCRIPTOR>(id) }
        .map_err(|status| Unsuitable::NoAnswer("StorageDeviceProperty", status))?;
    if valid < offset_of!(STORAGE_DEVICE_DESCRIPTOR, RawPropertiesLength) {
        return Err(Unsuitable::NoAnswer(
            "StorageDeviceProperty",
            STATUS_SUCCESS,
        ));
    }
    Ok(Unit {
        bus: descriptor.BusType as u8,
        removable: descriptor.RemovableMedia != 0,
        queueing: descriptor.CommandQueueing != 0,
    })
}

/// `StorageAccessAlignmentProperty`: what port drivers know without asking the device, and class
/// drivers once they have asked it. Not everybody answers.
pub(super) fn blocks(target: &Target) -> Option<Blocks> {
    let id = _STORAGE_PROPERTY_ID::StorageAccessAlignmentProperty;
    // SAFETY: numbers.
    let (said, valid) =
        unsafe { target.property::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>(id) }.ok()?;
    let size = said.BytesPerLogicalSector;
    if valid < size_of::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>() || !size.is_power_of_two() {
        return None;
    }
    let bytes = said.BytesPerPhysicalSector;
    let longer = bytes.is_power_of_two() && bytes > size;
    Some(Blocks {
        size,
        physical: longer.then(|| PhysicalSector {
            bytes,
            // What is told is where in its physical sector the disk begins.
            first_aligned: (bytes - said.BytesOffsetForSectorAlignment % bytes) % bytes,
        }),
    })
}

/// `IOCTL_DISK_GET_DRIVE_GEOMETRY`, which every disk class driver answers.
pub(super) fn geometry(target: &Target) -> Result<Blocks, Unsuitable> {
    let mut geometry = [0_u8; DISK_GEOMETRY_BYTES];
    let what = "IOCTL_DISK_GET_DRIVE_GEOMETRY";
    // SAFETY: nothing goes down, and bytes are bytes.
    let valid = unsafe { target.control(IOCTL_DISK_GET_DRIVE_GEOMETRY, &mut (), &mut geometry) }
        .map_err(|status| Unsuitable::NoAnswer(what, status))?;
    match (valid, geometry.last_chunk()) {
        (DISK_GEOMETRY_BYTES, Some(size)) => Ok(Blocks::of(u32::from_le_bytes(*size))),
        _ => Err(Unsuitable::NoAnswer(what, STATUS_SUCCESS)),
    }
}

/// The device's own limits. Page 0x00 must list the page: a device that does not know it may do
/// anything when asked for it.
pub(super) fn block_limits(target: &Target) -> Option<BlockLimits> {
    let (pages, valid) = inquiry_page(target, vpd::SUPPORTED_PAGES)?;
    if vpd::lists_page(pages.get(..valid)?, vpd::BLOCK_LIMITS) != Ok(true) {
        return None;
    }
    let (page, valid) = inquiry_page(target, vpd::BLOCK_LIMITS)?;
    vpd::block_limits(page.get(..valid)?).ok()
}

/// Block size, number of blocks, and how blocks lie on physical sectors. READ CAPACITY(16) tells all
/// of it; what does not know it answers the old command. (In the class shape we are the class
/// driver: nobody else waits for the unit attention that these commands may clear.)
pub(super) fn capacity(target: &Target) -> Result<Capacity, Unsuitable> {
    let long = [
        SERVICE_ACTION_IN_16,
        READ_CAPACITY_16,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        32,
        0,
        0,
    ];
    // Twice: the first command after a reset answers with a unit attention, whatever it is.
    for _ in 0..2 {
        if let Ok((bytes, valid)) = target.command::<LENGTH_16>(&long) {
            return bytes
                .get(..valid)
                .and_then(Capacity::parse_16)
                .ok_or(Unsuitable::Capacity);
        }
    }
    let short = [READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (bytes, valid) = target
        .command::<LENGTH_10>(&short)
        .map_err(|status| Unsuitable::NoAnswer("READ CAPACITY", status))?;
    bytes
        .get(..valid)
        .and_then(Capacity::parse_10)
        .ok_or(Unsuitable::Capacity)
}

/// Whether the device honours FUA (SBC: DPOFUA). One that does not know it rejects the whole command,
/// so the bit is only set where this says so.
pub(super) fn honours_fua(target: &Target) -> bool {
    let cdb = [MODE_SENSE_6, 0, ALL_PAGES, 0, 192, 0];
    match target.command::<192>(&cdb) {
        Ok((bytes, valid)) => bytes
            .get(..valid)
            .and_then(|header| header.get(2))
            .is_some_and(|p| p & DPOFUA != 0),
        Err(_) => false,
    }
}

fn inquiry_page(target: &Target, page: u8) -> Option<([u8; INQUIRY_BYTES as usize], usize)> {
    let cdb = [INQUIRY, EVPD, page, 0, INQUIRY_BYTES, 0];
    target.command(&cdb).ok()
}
