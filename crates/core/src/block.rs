//! Request blocks of both formats, read as bytes: `SCSI_REQUEST_BLOCK` (srb.h) and
//! `STORAGE_REQUEST_BLOCK` (storport.h).
//!
//! A filter beneath the class driver gets other drivers' blocks. It may copy one for every piece of
//! the request only if it knows every field that a piece must have of its own, so whatever is not
//! understood completely is [`Opaque`] and goes on as it came. No address in a block is
//! interpreted here: a block is a row of bytes, and all that is handed out is where its fields lie.
//!
//! Sizes and offsets are those of 64-bit Windows.

use crate::bytes::{array, byte, le16, le32};
use crate::cdb::{self, Command, Direction};
use crate::limits::MAX_SECTOR_SIZE;

/// Longer blocks are never taken apart, bytes: storport.h knows no READ or WRITE that needs more.
pub const LARGEST: usize = 256;

/// What every block has at least, bytes; enough to know how long it is.
pub const PREFIX: usize = 24;

/// Bits of `SrbFlags`, the same in both formats.
pub mod flags {
    /// `SRB_FLAGS_QUEUE_ACTION_ENABLE`: the command carries a queue tag.
    pub const QUEUE_ACTION_ENABLE: u32 = 0x0000_0002;
    /// `SRB_FLAGS_BYPASS_FROZEN_QUEUE`
    pub const BYPASS_FROZEN_QUEUE: u32 = 0x0000_0010;
    /// `SRB_FLAGS_DATA_IN`
    pub const DATA_IN: u32 = 0x0000_0040;
    /// `SRB_FLAGS_DATA_OUT`
    pub const DATA_OUT: u32 = 0x0000_0080;
    /// `SRB_FLAGS_NO_QUEUE_FREEZE`: an error leaves the queue running.
    pub const NO_QUEUE_FREEZE: u32 = 0x0000_0100;
    /// `SRB_FLAGS_FREE_SENSE_BUFFER`: the port driver allocated the sense buffer.
    pub const FREE_SENSE_BUFFER: u32 = 0x0000_0400;
    /// `SRB_FLAGS_D3_PROCESSING`: part of the way to D3.
    pub const D3_PROCESSING: u32 = 0x0000_0800;
    /// `SRB_FLAGS_SEQUENTIAL_REQUIRED`: blocks of a zone that is written front to back only.
    pub const SEQUENTIAL_REQUIRED: u32 = 0x0000_1000;
    /// `SRB_FLAGS_IS_ACTIVE`
    pub const IS_ACTIVE: u32 = 0x0001_0000;
    /// `SRB_FLAGS_ALLOCATED_FROM_ZONE`
    pub const ALLOCATED_FROM_ZONE: u32 = 0x0002_0000;
    /// `SRB_FLAGS_SGLIST_FROM_POOL`
    pub const SGLIST_FROM_POOL: u32 = 0x0004_0000;
    /// `SRB_FLAGS_BYPASS_LOCKED_QUEUE`
    pub const BYPASS_LOCKED_QUEUE: u32 = 0x0008_0000;
    /// `SRB_FLAGS_PORT_DRIVER_ALLOCSENSE`: the port driver may put another sense buffer in place.
    pub const PORT_DRIVER_ALLOCSENSE: u32 = 0x0020_0000;
    /// `SRB_FLAGS_PORT_DRIVER_SENSEHASPORT`: the port's number follows the sense data.
    pub const PORT_DRIVER_SENSEHASPORT: u32 = 0x0040_0000;
    /// `SRB_FLAGS_PORT_DRIVER_RESERVED`
    pub const PORT_DRIVER_RESERVED: u32 = 0x0F00_0000;

    /// What a port driver notes down in a block that it has, or says about a sense buffer that it
    /// allocated: nothing that a copy of the block may begin with.
    pub const PORT_DRIVERS_OWN: u32 = PORT_DRIVER_ALLOCSENSE
        | FREE_SENSE_BUFFER
        | IS_ACTIVE
        | ALLOCATED_FROM_ZONE
        | SGLIST_FROM_POOL
        | PORT_DRIVER_SENSEHASPORT
        | PORT_DRIVER_RESERVED;

    /// Requests that run past a queue that is stopped: the port driver's own business with power
    /// and errors.
    pub const BYPASS: u32 = BYPASS_LOCKED_QUEUE | BYPASS_FROZEN_QUEUE | D3_PROCESSING;
}

/// `SRB_FUNCTION_EXECUTE_SCSI`
const EXECUTE_SCSI: u8 = 0x00;
/// `SRB_FUNCTION_STORAGE_REQUEST_BLOCK`, which says that the block has the extended format.
const STORAGE_REQUEST_BLOCK: u8 = 0x28;
/// `SRB_SIMPLE_TAG_REQUEST`
const SIMPLE_TAG: u16 = 0x20;

/// Offset of `Function` in both formats.
const FUNCTION: usize = 2;

/// Offsets in a `SCSI_REQUEST_BLOCK`.
mod legacy {
    pub(super) const SIZE: usize = 88;
    pub(super) const LENGTH: usize = 0;
    pub(super) const SCSI_STATUS: usize = 4;
    pub(super) const QUEUE_ACTION: usize = 9;
    pub(super) const CDB_LENGTH: usize = 10;
    pub(super) const SENSE_LENGTH: usize = 11;
    pub(super) const FLAGS: usize = 12;
    pub(super) const TRANSFER_LENGTH: usize = 16;
    pub(super) const SENSE_POINTER: usize = 32;
    pub(super) const NEXT: usize = 40;
    pub(super) const CDB: usize = 72;
    pub(super) const CDB_ROOM: usize = 16;
}

/// Offsets in a `STORAGE_REQUEST_BLOCK`.
mod extended {
    /// The structure with one or two entries in its table of extensions.
    pub(super) const SIZE: usize = 128;
    pub(super) const SIGNATURE: usize = 8;
    pub(super) const VERSION: usize = 12;
    pub(super) const LENGTH: usize = 16;
    pub(super) const SRB_FUNCTION: usize = 20;
    pub(super) const FLAGS: usize = 24;
    pub(super) const ATTRIBUTE: usize = 38;
    pub(super) const ADDRESS: usize = 52;
    pub(super) const EXTENSIONS: usize = 56;
    pub(super) const TRANSFER_LENGTH: usize = 60;
    pub(super) const NEXT: usize = 112;
    pub(super) const TABLE: usize = 120;
    pub(super) const TABLE_ENTRY: usize = 4;

    /// `SRB_SIGNATURE`, "SRBX"
    pub(super) const SRBX: u32 = 0x5352_4258;
    /// `STORAGE_REQUEST_BLOCK_VERSION_1`
    pub(super) const VERSION_1: u32 = 1;
    /// A READ or WRITE has its command and, where the adapter asks for it, one `SRBEX_DATA_IO_INFO`
    /// (classpnp xferpkt.c).
    pub(super) const MOST_EXTENSIONS: u32 = 2;
}

/// Offsets in the extensions, `SRBEX_DATA_*`, and in a `STOR_ADDRESS`.
mod extension {
    /// What holds pointers is aligned for them.
    pub(super) const ALIGNMENT: usize = 8;

    pub(super) const SCSI_CDB16: u32 = 0x40;
    pub(super) const SCSI_CDB32: u32 = 0x41;
    pub(super) const SCSI_CDB_VAR: u32 = 0x42;
    pub(super) const IO_INFO: u32 = 0x80;

    pub(super) const SCSI_STATUS: usize = 8;
    pub(super) const SENSE_LENGTH: usize = 9;
    pub(super) const CDB_LENGTH: usize = 10;
    pub(super) const SENSE_POINTER: usize = 16;
    pub(super) const CDB: usize = 24;

    pub(super) const VAR_CDB_LENGTH: usize = 12;
    pub(super) const VAR_SENSE_POINTER: usize = 24;
    pub(super) const VAR_CDB: usize = 32;
    pub(super) const VAR_SIZE: usize = 40;

    pub(super) const RW_LENGTH: usize = 16;
    pub(super) const IO_INFO_SIZE: usize = 32;

    pub(super) const ADDRESS_LENGTH: usize = 4;
    pub(super) const ADDRESS_DATA: usize = 8;
}

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// `SCSI_REQUEST_BLOCK`
    Legacy,
    /// `STORAGE_REQUEST_BLOCK`
    Extended,
}

/// How the device may order a command among others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tag {
    /// As it likes.
    Simple,
    /// Head of queue, ordered, or nothing that is known.
    Other,
}

/// Why a block can never be split.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opaque {
    /// Neither format, or it ends before it should.
    TooShort,
    /// Not `SRB_FUNCTION_EXECUTE_SCSI`.
    Function,
    /// Address or extensions do not lie in the block, or are not one command and at most one
    /// `SRBEX_DATA_IO_INFO`.
    Offsets,
    /// No READ or WRITE of 6, 10, 12 or 16 bytes.
    Command,
    /// RDPROTECT or WRPROTECT is set: blocks in memory may be longer than blocks on the disk.
    Protected,
    /// `NextSrb` leads to another block.
    Linked,
    /// It runs past a queue that is stopped.
    Bypass,
    /// `SRB_FLAGS_DATA_IN` and `SRB_FLAGS_DATA_OUT` do not say what the command says.
    Direction,
    /// Nothing is to be moved.
    NoData,
}

/// Where the fields lie that a piece needs of its own, from the start of the block. All of them are
/// inside it and none overlaps another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Places {
    /// The command block.
    pub cdb: usize,
    /// Bytes of the command block that count: the sender's `CdbLength`.
    pub cdb_length: usize,
    /// `ScsiStatus`, a byte.
    pub scsi_status: usize,
    /// `SenseInfoBufferLength`, a byte.
    pub sense_length: usize,
    /// `SenseInfoBuffer`, 8 bytes.
    pub sense_pointer: usize,
    /// `SRBEX_DATA_IO_INFO.RWLength`, 4 bytes, where there is one and it repeats
    /// `DataTransferLength`.
    pub rw_length: Option<usize>,
}

/// A READ or WRITE that may be split.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Block {
    /// Which of the two formats.
    pub format: Format,
    /// Bytes of the block.
    pub length: usize,
    /// `SrbFlags`
    pub flags: u32,
    /// `DataTransferLength`, not 0.
    pub transfer_length: u32,
    /// What the command block asks for.
    pub command: Command,
    /// How the device may order it.
    pub tag: Tag,
    /// The sender's `SenseInfoBufferLength`.
    pub sense_room: u8,
    /// Where fields lie.
    pub places: Places,
}

impl Block {
    /// Bytes in a sector, as command and length have it; `None` if they disagree or no disk has
    /// such sectors.
    pub fn sector(&self) -> Option<u32> {
        let exact = self.transfer_length.checked_rem(self.command.blocks)? == 0;
        let sector = self.transfer_length.checked_div(self.command.blocks)?;
        let possible = sector.is_power_of_two() && (512..=MAX_SECTOR_SIZE).contains(&sector);
        (exact && possible).then_some(sector)
    }

    /// Whether pieces must follow one another: an error of one freezes the queue under the others,
    /// or the sender cares about their order.
    pub const fn is_serial(&self) -> bool {
        const FREE: u32 = flags::NO_QUEUE_FREEZE | flags::QUEUE_ACTION_ENABLE;
        self.flags & FREE != FREE
            || self.flags & flags::SEQUENTIAL_REQUIRED != 0
            || !matches!(self.tag, Tag::Simple)
    }

    /// `SrbFlags` of a piece.
    pub const fn child_flags(&self) -> u32 {
        self.flags & !flags::PORT_DRIVERS_OWN
    }
}

/// Bytes of the block that begins with these; `None` if it has neither format or is not of a size
/// to be taken apart.
pub fn length(prefix: &[u8; PREFIX]) -> Option<usize> {
    if byte(prefix, FUNCTION)? != STORAGE_REQUEST_BLOCK {
        let length = usize::from(le16(prefix, legacy::LENGTH)?);
        return (length == legacy::SIZE).then_some(legacy::SIZE);
    }
    let known = le32(prefix, extended::SIGNATURE)? == extended::SRBX
        && le32(prefix, extended::VERSION)? == extended::VERSION_1;
    let length = le32(prefix, extended::LENGTH)? as usize;
    (known && (extended::SIZE..=LARGEST).contains(&length)).then_some(length)
}

/// Reads a whole block; what follows it in `bytes` does not count.
///
/// # Errors
///
/// [`Opaque`] if it is none that can ever be split.
pub fn parse(bytes: &[u8]) -> Result<Block, Opaque> {
    let prefix = array(bytes, 0).ok_or(Opaque::TooShort)?;
    let function = byte(bytes, FUNCTION).ok_or(Opaque::TooShort)?;
    if function != EXECUTE_SCSI && function != STORAGE_REQUEST_BLOCK {
        return Err(Opaque::Function);
    }
    let length = length(&prefix).ok_or(Opaque::TooShort)?;
    let block = bytes.get(..length).ok_or(Opaque::TooShort)?;
    let fields = if function == EXECUTE_SCSI {
        read_legacy(block).ok_or(Opaque::TooShort)?
    } else {
        read_extended(block)?
    };
    judge(block, &fields)
}

/// What [`judge`] needs, the same for both formats.
struct Fields {
    format: Format,
    flags: u32,
    transfer_length: u32,
    tag: u16,
    next: [u8; 8],
    /// Room for a command block in its structure.
    cdb_room: usize,
    places: Places,
}

/// The fields of a `SCSI_REQUEST_BLOCK`.
fn read_legacy(block: &[u8]) -> Option<Fields> {
    Some(Fields {
        format: Format::Legacy,
        flags: le32(block, legacy::FLAGS)?,
        transfer_length: le32(block, legacy::TRANSFER_LENGTH)?,
        tag: u16::from(byte(block, legacy::QUEUE_ACTION)?),
        next: array(block, legacy::NEXT)?,
        cdb_room: legacy::CDB_ROOM,
        places: Places {
            cdb: legacy::CDB,
            cdb_length: usize::from(byte(block, legacy::CDB_LENGTH)?),
            scsi_status: legacy::SCSI_STATUS,
            sense_length: legacy::SENSE_LENGTH,
            sense_pointer: legacy::SENSE_POINTER,
            rw_length: None,
        },
    })
}

/// The fields of a `STORAGE_REQUEST_BLOCK` and its extensions.
fn read_extended(block: &[u8]) -> Result<Fields, Opaque> {
    let field = |offset| le32(block, offset).ok_or(Opaque::TooShort);
    if field(extended::SRB_FUNCTION)? != u32::from(EXECUTE_SCSI) {
        return Err(Opaque::Function);
    }
    let transfer_length = field(extended::TRANSFER_LENGTH)?;
    let (places, cdb_room) = read_extensions(block, transfer_length).ok_or(Opaque::Offsets)?;
    Ok(Fields {
        format: Format::Extended,
        flags: field(extended::FLAGS)?,
        transfer_length,
        tag: le16(block, extended::ATTRIBUTE).ok_or(Opaque::TooShort)?,
        next: array(block, extended::NEXT).ok_or(Opaque::TooShort)?,
        cdb_room,
        places,
    })
}

/// Bytes of a block that belong to one structure.
#[derive(Clone, Copy)]
struct Extent {
    start: usize,
    end: usize,
}

impl Extent {
    /// `size` bytes at `start`, if they lie in `block` behind the fixed part.
    fn new(block: &[u8], start: usize, size: usize) -> Option<Self> {
        let end = start.checked_add(size)?;
        let aligned = start.is_multiple_of(extension::ALIGNMENT);
        (aligned && start >= extended::SIZE && end <= block.len()).then_some(Self { start, end })
    }

    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The extensions of a block as they were found.
#[derive(Default)]
struct Found {
    address: Option<Extent>,
    command: Option<(Extent, Places, usize)>,
    io_info: Option<Extent>,
}

/// Reads the table of extensions: where the fields of the command lie and how much room it has.
fn read_extensions(block: &[u8], transfer_length: u32) -> Option<(Places, usize)> {
    let mut found = Found::default();
    found.take_address(block)?;
    let count = le32(block, extended::EXTENSIONS)?;
    if count > extended::MOST_EXTENSIONS {
        return None;
    }
    for index in 0..count as usize {
        let entry = index.saturating_mul(extended::TABLE_ENTRY);
        let offset = le32(block, extended::TABLE.saturating_add(entry))?;
        found.add(block, offset as usize)?;
    }
    found.finish(block, transfer_length)
}

impl Found {
    /// Takes the target's address. `None` if it does not lie in the block; an offset of 0 says that
    /// there is no address.
    fn take_address(&mut self, block: &[u8]) -> Option<()> {
        let offset = le32(block, extended::ADDRESS)? as usize;
        if offset != 0 {
            let length = le32(block, offset.checked_add(extension::ADDRESS_LENGTH)?)? as usize;
            let size = length.checked_add(extension::ADDRESS_DATA)?;
            self.address = Some(Extent::new(block, offset, size)?);
        }
        Some(())
    }

    /// Takes the extension at `offset`. `None` if it does not lie in the block, is of a kind that
    /// may hold anything, or is the second of its kind.
    fn add(&mut self, block: &[u8], offset: usize) -> Option<()> {
        match le32(block, offset)? {
            extension::IO_INFO if self.io_info.is_none() => {
                let extent = Extent::new(block, offset, extension::IO_INFO_SIZE)?;
                self.io_info = Some(extent);
            }
            extension::SCSI_CDB16 if self.command.is_none() => {
                self.command = Some(fixed_command(block, offset, 16)?);
            }
            extension::SCSI_CDB32 if self.command.is_none() => {
                self.command = Some(fixed_command(block, offset, 32)?);
            }
            extension::SCSI_CDB_VAR if self.command.is_none() => {
                self.command = Some(variable_command(block, offset)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// The places, if there is a command and nothing overlaps.
    fn finish(self, block: &[u8], transfer_length: u32) -> Option<(Places, usize)> {
        let (command, mut places, room) = self.command?;
        let others = [self.address, self.io_info];
        if others.into_iter().flatten().any(|it| it.overlaps(command)) {
            return None;
        }
        if let Some(io_info) = self.io_info {
            if self.address.is_some_and(|it| it.overlaps(io_info)) {
                return None;
            }
            let place = io_info.start.checked_add(extension::RW_LENGTH)?;
            places.rw_length = (le32(block, place)? == transfer_length).then_some(place);
        }
        Some((places, room))
    }
}

/// `SRBEX_DATA_SCSI_CDB16` or `SRBEX_DATA_SCSI_CDB32`, with room for `room` bytes of command.
fn fixed_command(block: &[u8], offset: usize, room: usize) -> Option<(Extent, Places, usize)> {
    let extent = Extent::new(block, offset, extension::CDB.checked_add(room)?)?;
    let places = Places {
        cdb: offset.checked_add(extension::CDB)?,
        cdb_length: usize::from(byte(block, offset.checked_add(extension::CDB_LENGTH)?)?),
        scsi_status: offset.checked_add(extension::SCSI_STATUS)?,
        sense_length: offset.checked_add(extension::SENSE_LENGTH)?,
        sense_pointer: offset.checked_add(extension::SENSE_POINTER)?,
        rw_length: None,
    };
    Some((extent, places, room))
}

/// `SRBEX_DATA_SCSI_CDB_VAR`, which has as much room as its command is long.
fn variable_command(block: &[u8], offset: usize) -> Option<(Extent, Places, usize)> {
    let room = le32(block, offset.checked_add(extension::VAR_CDB_LENGTH)?)? as usize;
    let size = extension::VAR_CDB.checked_add(room)?;
    let extent = Extent::new(block, offset, size.max(extension::VAR_SIZE))?;
    let places = Places {
        cdb: offset.checked_add(extension::VAR_CDB)?,
        cdb_length: room,
        scsi_status: offset.checked_add(extension::SCSI_STATUS)?,
        sense_length: offset.checked_add(extension::SENSE_LENGTH)?,
        sense_pointer: offset.checked_add(extension::VAR_SENSE_POINTER)?,
        rw_length: None,
    };
    Some((extent, places, room))
}

/// Whether a block with these fields may be split.
fn judge(block: &[u8], fields: &Fields) -> Result<Block, Opaque> {
    if fields.next != [0; 8] {
        return Err(Opaque::Linked);
    }
    if fields.flags & flags::BYPASS != 0 {
        return Err(Opaque::Bypass);
    }
    let command = command(block, fields).ok_or(Opaque::Command)?;
    if command.protect != 0 {
        return Err(Opaque::Protected);
    }
    let direction = match command.direction {
        Direction::Read => flags::DATA_IN,
        Direction::Write => flags::DATA_OUT,
    };
    if fields.flags & (flags::DATA_IN | flags::DATA_OUT) != direction {
        return Err(Opaque::Direction);
    }
    if fields.transfer_length == 0 || command.blocks == 0 {
        return Err(Opaque::NoData);
    }
    let simple = fields.tag == SIMPLE_TAG;
    Ok(Block {
        format: fields.format,
        length: block.len(),
        flags: fields.flags,
        transfer_length: fields.transfer_length,
        command,
        tag: if simple { Tag::Simple } else { Tag::Other },
        sense_room: byte(block, fields.places.sense_length).ok_or(Opaque::TooShort)?,
        places: fields.places,
    })
}

/// The READ or WRITE, if its length leaves room for it and it has room for its length.
fn command(block: &[u8], fields: &Fields) -> Option<Command> {
    let places = &fields.places;
    if places.cdb_length > fields.cdb_room {
        return None;
    }
    let end = places.cdb.checked_add(places.cdb_length)?;
    cdb::decode(block.get(places.cdb..end)?)
}
