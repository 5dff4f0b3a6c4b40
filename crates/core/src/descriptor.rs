//! `STORAGE_ADAPTER_DESCRIPTOR` (ntddstor.h) out of the bytes a driver answered with.

use crate::bytes::{byte, le16, le32};
use crate::limits::AdapterLimits;

/// Bytes of `STORAGE_DESCRIPTOR_HEADER`: `Version` and `Size`. A query with a buffer of this size
/// asks how large the rest is.
pub const HEADER_LENGTH: usize = 8;

/// Bytes up to and including `AlignmentMask`, without which there are no limits.
pub const LIMITS_LENGTH: usize = 20;

/// Offset of `MaximumTransferLength`.
pub const OFFSET_MAXIMUM_TRANSFER_LENGTH: usize = 8;
/// Offset of `MaximumPhysicalPages`.
pub const OFFSET_MAXIMUM_PHYSICAL_PAGES: usize = 12;
/// Offset of `AlignmentMask`.
pub const OFFSET_ALIGNMENT_MASK: usize = 16;

/// A `Size` above this is no descriptor: the structure has 32 bytes and grows slowly.
pub const MAX_SIZE: u32 = 4096;

/// `BusTypeScsi`
pub const BUS_SCSI: u8 = 1;
/// `BusTypeFibre`
pub const BUS_FIBRE: u8 = 6;
/// `BusTypeUsb`
pub const BUS_USB: u8 = 7;
/// `BusTypeiScsi`
pub const BUS_ISCSI: u8 = 9;
/// `BusTypeSas`
pub const BUS_SAS: u8 = 10;
/// `BusTypeVirtual`
pub const BUS_VIRTUAL: u8 = 14;
/// `BusTypeFileBackedVirtual`
pub const BUS_FILE_BACKED_VIRTUAL: u8 = 15;

/// Whether devices on this bus answer VPD inquiries sanely. Some USB bridges hang on them.
pub const fn answers_vpd(bus_type: u8) -> bool {
    matches!(
        bus_type,
        BUS_SCSI | BUS_FIBRE | BUS_ISCSI | BUS_SAS | BUS_VIRTUAL | BUS_FILE_BACKED_VIRTUAL
    )
}

/// Why an answer is not a usable adapter descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DescriptorError {
    /// Not even a header.
    NoHeader {
        /// Bytes there were.
        length: usize,
    },
    /// `Size` is larger than what was returned.
    Truncated {
        /// What `Size` says.
        size: u32,
        /// Bytes there were.
        length: usize,
    },
    /// `Size` ends before the limits do.
    TooShort {
        /// What `Size` says.
        size: u32,
    },
    /// `Size` is absurd.
    TooLong {
        /// What `Size` says.
        size: u32,
    },
}

/// The size that an 8-byte probe announces, bytes.
///
/// # Errors
///
/// [`DescriptorError`] if the header is not there or the size cannot be right.
pub fn announced_size(answer: &[u8]) -> Result<u32, DescriptorError> {
    let size = le32(answer, 4).ok_or(DescriptorError::NoHeader {
        length: answer.len(),
    })?;
    if size > MAX_SIZE {
        Err(DescriptorError::TooLong { size })
    } else if (size as usize) < LIMITS_LENGTH {
        Err(DescriptorError::TooShort { size })
    } else {
        Ok(size)
    }
}

/// The fields that the driver looks at. What lies behind the end of an older, shorter descriptor is
/// `None`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdapterDescriptor {
    /// `Version`
    pub version: u32,
    /// `Size`, bytes.
    pub size: u32,
    /// The limits, raw.
    pub limits: AdapterLimits,
    /// `CommandQueueing`
    pub command_queueing: Option<bool>,
    /// `BusType` (`STORAGE_BUS_TYPE`)
    pub bus_type: Option<u8>,
    /// `BusMajorVersion`
    pub bus_major_version: Option<u16>,
    /// `BusMinorVersion`
    pub bus_minor_version: Option<u16>,
    /// `SrbType`: 0 `SCSI_REQUEST_BLOCK`, 1 `STORAGE_REQUEST_BLOCK`
    pub srb_type: Option<u8>,
    /// `AddressType`
    pub address_type: Option<u8>,
}

impl AdapterDescriptor {
    /// Reads the `answer` to a full query: as many bytes as `IoStatus.Information` says.
    ///
    /// # Errors
    ///
    /// [`DescriptorError`] if the answer is shorter than its own `Size`, or `Size` leaves out the
    /// limits or is absurd.
    pub fn parse(answer: &[u8]) -> Result<Self, DescriptorError> {
        let size = announced_size(answer)?;
        let truncated = DescriptorError::Truncated {
            size,
            length: answer.len(),
        };
        let body = answer.get(..size as usize).ok_or(truncated)?;
        let field = |offset| le32(body, offset).ok_or(truncated);
        Ok(Self {
            version: field(0)?,
            size,
            limits: AdapterLimits {
                maximum_transfer_length: field(OFFSET_MAXIMUM_TRANSFER_LENGTH)?,
                maximum_physical_pages: field(OFFSET_MAXIMUM_PHYSICAL_PAGES)?,
                alignment_mask: field(OFFSET_ALIGNMENT_MASK)?,
            },
            command_queueing: byte(body, 22).map(|value| value != 0),
            bus_type: byte(body, 24),
            bus_major_version: le16(body, 26),
            bus_minor_version: le16(body, 28),
            srb_type: byte(body, 30),
            address_type: byte(body, 31),
        })
    }
}
