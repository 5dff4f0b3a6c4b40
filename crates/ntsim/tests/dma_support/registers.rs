//! The controller's registers, as tests and their driver know them; see `ntsim::controller`.

pub(crate) const COMMAND: usize = 0x00;
pub(crate) const STATUS: usize = 0x04;
pub(crate) const ACKNOWLEDGE: usize = 0x08;
pub(crate) const LBA_LOW: usize = 0x0C;
pub(crate) const LBA_HIGH: usize = 0x10;
pub(crate) const SECTORS: usize = 0x14;
pub(crate) const LIST_RESET: usize = 0x18;
pub(crate) const SEGMENT_LOW: usize = 0x1C;
pub(crate) const SEGMENT_HIGH: usize = 0x20;
pub(crate) const SEGMENT_LENGTH: usize = 0x24;
pub(crate) const SECTOR_SIZE: usize = 0x30;
pub(crate) const MAX_SECTORS: usize = 0x34;
pub(crate) const MAX_SEGMENTS: usize = 0x38;
pub(crate) const ADDRESS_BITS: usize = 0x3C;
pub(crate) const TRANSFERRED: usize = 0x40;

/// COMMAND: from the disk to memory.
pub(crate) const READ: u32 = 1;
/// COMMAND: from memory to the disk.
pub(crate) const WRITE: u32 = 2;
/// COMMAND: stop.
pub(crate) const RESET: u32 = 0x8000_0000;

/// How they are mapped: `PAGE_READWRITE | PAGE_NOCACHE`.
pub(crate) const UNCACHED: u32 = 0x204;
