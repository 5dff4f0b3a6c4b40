//! Request blocks byte by byte: every layout that the headers allow, in both formats.
//!
//! Places are those of srb.h on a 64-bit system. They are written down here once more, because a
//! mistake shared with the driver would not be seen.

use ntsim::port::{Direction, read_write};

/// `SRB_FLAGS_*` that tests name.
pub(crate) mod flag {
    pub(crate) const QUEUE_ACTION_ENABLE: u32 = 0x0000_0002;
    pub(crate) const BYPASS_FROZEN_QUEUE: u32 = 0x0000_0010;
    pub(crate) const DATA_IN: u32 = 0x0000_0040;
    pub(crate) const DATA_OUT: u32 = 0x0000_0080;
    pub(crate) const NO_QUEUE_FREEZE: u32 = 0x0000_0100;
    pub(crate) const FREE_SENSE_BUFFER: u32 = 0x0000_0400;
    pub(crate) const D3_PROCESSING: u32 = 0x0000_0800;
    pub(crate) const IS_ACTIVE: u32 = 0x0001_0000;
    pub(crate) const ALLOCATED_FROM_ZONE: u32 = 0x0002_0000;
    pub(crate) const SGLIST_FROM_POOL: u32 = 0x0004_0000;
    pub(crate) const BYPASS_LOCKED_QUEUE: u32 = 0x0008_0000;
    pub(crate) const ALLOCSENSE: u32 = 0x0020_0000;
    pub(crate) const SENSEHASPORT: u32 = 0x0040_0000;
    pub(crate) const PORT_DRIVER_RESERVED: u32 = 0x0F00_0000;
    /// What belongs to the port, or to the memory of the block itself: no child has it.
    pub(crate) const NOT_FOR_CHILDREN: u32 = ALLOCSENSE
        | FREE_SENSE_BUFFER
        | IS_ACTIVE
        | ALLOCATED_FROM_ZONE
        | SGLIST_FROM_POOL
        | SENSEHASPORT
        | PORT_DRIVER_RESERVED;
}

/// `SrbStatus` and its flag bits.
pub(crate) mod srb_status {
    pub(crate) const SUCCESS: u8 = 0x01;
    pub(crate) const ABORTED: u8 = 0x02;
    pub(crate) const ERROR: u8 = 0x04;
    pub(crate) const INVALID_REQUEST: u8 = 0x06;
    pub(crate) const NO_DEVICE: u8 = 0x08;
    pub(crate) const INTERNAL_ERROR: u8 = 0x30;
    pub(crate) const QUEUE_FROZEN: u8 = 0x40;
    pub(crate) const AUTOSENSE_VALID: u8 = 0x80;
}

/// Queue actions.
pub(crate) const SIMPLE: u8 = 0x20;
pub(crate) const HEAD_OF_QUEUE: u8 = 0x21;
pub(crate) const ORDERED: u8 = 0x22;

/// Bytes of a `SCSI_REQUEST_BLOCK`.
pub(crate) const LEGACY: usize = 88;
/// Where a `STORAGE_REQUEST_BLOCK` has the offsets of its extensions.
const OFFSETS: usize = 120;

/// Where the fields of one block are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    pub(crate) srb_status: usize,
    /// `SystemStatus`, or `InternalStatus`, which is also the sort key.
    pub(crate) system_status: usize,
    pub(crate) flags: usize,
    pub(crate) tag: usize,
    pub(crate) timeout: usize,
    pub(crate) length: usize,
    pub(crate) data_buffer: usize,
    pub(crate) original_request: usize,
    pub(crate) next: usize,
    /// `MiniportContext`, or `SrbExtension`: on the way down the client's IRP.
    pub(crate) client: usize,
    /// `PortContext`.
    pub(crate) port_context: Option<usize>,
    /// The CDB extension; 0 in the older format.
    pub(crate) command: usize,
    pub(crate) cdb: usize,
    pub(crate) cdb_length: usize,
    pub(crate) scsi_status: usize,
    pub(crate) sense_length: usize,
    pub(crate) sense_pointer: usize,
    /// `RWLength` of an IO_INFO extension.
    pub(crate) rw_length: Option<usize>,
}

/// A part of an extended block behind its header, in the order in which they lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `STOR_ADDR_BTL8`.
    Address,
    /// `SRBEX_DATA_SCSI_CDB16`.
    Cdb16,
    /// `SRBEX_DATA_SCSI_CDB32`.
    Cdb32,
    /// `SRBEX_DATA_SCSI_CDB_VAR` with room for so many bytes.
    CdbVar(usize),
    /// `SRBEX_DATA_IO_INFO`.
    IoInfo,
    /// An extension of a kind that nobody here knows, with so many bytes of data.
    Unknown(usize),
}

impl Part {
    /// As classpnp lays its blocks out.
    pub(crate) const CLASS: [Self; 2] = [Self::Address, Self::Cdb16];

    const fn size(self) -> usize {
        let bytes = match self {
            Self::Address => 12,
            Self::Cdb16 => 40,
            Self::Cdb32 => 56,
            Self::CdbVar(room) => 32 + room,
            Self::IoInfo => 32,
            Self::Unknown(data) => 8 + data,
        };
        bytes.next_multiple_of(8)
    }

    const fn kind(self) -> u32 {
        match self {
            Self::Address => 1,
            Self::Cdb16 => 0x40,
            Self::Cdb32 => 0x41,
            Self::CdbVar(_) => 0x42,
            Self::IoInfo => 0x80,
            Self::Unknown(_) => 0x1234,
        }
    }
}

/// A request block in the making.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: Places,
}

impl Block {
    /// A block of either format as classpnp would build it.
    pub(crate) fn of(extended: bool, cdb: &[u8]) -> Self {
        if extended {
            Self::extended(cdb, &Part::CLASS)
        } else {
            Self::legacy(cdb)
        }
    }

    /// A `SCSI_REQUEST_BLOCK`.
    pub(crate) fn legacy(cdb: &[u8]) -> Self {
        let at = Places {
            srb_status: 3,
            scsi_status: 4,
            tag: 9,
            cdb_length: 10,
            sense_length: 11,
            flags: 12,
            length: 16,
            timeout: 20,
            data_buffer: 24,
            sense_pointer: 32,
            next: 40,
            original_request: 48,
            client: 56,
            system_status: 64,
            cdb: 72,
            ..Places::default()
        };
        let mut block = Self {
            bytes: vec![0; LEGACY],
            at,
        };
        block.set(0, (LEGACY as u16).to_le_bytes());
        block.set(at.cdb_length, [cdb.len() as u8]);
        block.fill(cdb);
        block
    }

    /// A `STORAGE_REQUEST_BLOCK` with these parts behind its header.
    pub(crate) fn extended(cdb: &[u8], parts: &[Part]) -> Self {
        let extensions = parts.iter().filter(|&&part| part != Part::Address).count();
        let mut end = (OFFSETS + 4 * extensions.max(1)).next_multiple_of(8);
        let size = end + parts.iter().map(|part| part.size()).sum::<usize>();
        let mut block = Self {
            bytes: vec![0; size],
            at: Places {
                srb_status: 3,
                flags: 24,
                tag: 38,
                timeout: 40,
                system_status: 44,
                length: 60,
                data_buffer: 64,
                original_request: 80,
                port_context: Some(96),
                client: 104,
                next: 112,
                ..Places::default()
            },
        };
        block.set(0, 8_u16.to_le_bytes());
        block.set(2, [0x28]);
        block.set(8, 0x5352_4258_u32.to_le_bytes());
        block.set(12, 1_u32.to_le_bytes());
        block.set(16, (size as u32).to_le_bytes());
        block.set(56, (extensions as u32).to_le_bytes());
        let mut listed = OFFSETS;
        for &part in parts {
            if part == Part::Address {
                block.set(52, (end as u32).to_le_bytes());
            } else {
                block.set(listed, (end as u32).to_le_bytes());
                listed += 4;
            }
            block.part(part, end, cdb.len());
            end += part.size();
        }
        block.fill(cdb);
        block
    }

    fn part(&mut self, part: Part, start: usize, cdb_length: usize) {
        if part == Part::Address {
            // Type BTL8, four bytes of address.
            self.set(start, 1_u16.to_le_bytes());
            self.set(start + 4, 4_u32.to_le_bytes());
            return;
        }
        self.set(start, part.kind().to_le_bytes());
        self.set(start + 4, (part.size() as u32 - 8).to_le_bytes());
        match part {
            Part::Cdb16 | Part::Cdb32 => {
                self.at.cdb_length = start + 10;
                self.at.sense_pointer = start + 16;
                self.at.cdb = start + 24;
                self.set(start + 10, [cdb_length as u8]);
            }
            Part::CdbVar(_) => {
                self.at.cdb_length = start + 12;
                self.at.sense_pointer = start + 24;
                self.at.cdb = start + 32;
                self.set(start + 12, (cdb_length as u32).to_le_bytes());
            }
            Part::IoInfo => self.at.rw_length = Some(start + 16),
            Part::Address | Part::Unknown(_) => {}
        }
        if matches!(part, Part::Cdb16 | Part::Cdb32 | Part::CdbVar(_)) {
            self.at.command = start;
            self.at.scsi_status = start + 8;
            self.at.sense_length = start + 9;
        }
    }

    /// What classpnp sets for a read or write of a fixed disk.
    fn fill(&mut self, cdb: &[u8]) {
        if self.at.cdb != 0 {
            let at = self.at.cdb;
            self.bytes[at..at + cdb.len()].copy_from_slice(cdb);
        }
        let way = match read_write(cdb).map(|command| command.direction) {
            Some(Direction::Read) => flag::DATA_IN,
            Some(Direction::Write) => flag::DATA_OUT,
            None => 0,
        };
        let flags = way | flag::NO_QUEUE_FREEZE | flag::QUEUE_ACTION_ENABLE;
        self.set(self.at.flags, flags.to_le_bytes());
        self.set(self.at.tag, [SIMPLE]);
        self.set(self.at.timeout, 10_u32.to_le_bytes());
    }

    /// Whether it is a `STORAGE_REQUEST_BLOCK`.
    pub(crate) fn is_extended(&self) -> bool {
        self.at.port_context.is_some()
    }

    /// Changes bytes.
    pub(crate) fn set<const BYTES: usize>(&mut self, at: usize, bytes: [u8; BYTES]) {
        self.bytes[at..at + BYTES].copy_from_slice(&bytes);
    }

    /// The same, in passing.
    #[must_use]
    pub(crate) fn with<const BYTES: usize>(mut self, at: usize, bytes: [u8; BYTES]) -> Self {
        self.set(at, bytes);
        self
    }

    /// `SrbFlags`.
    #[must_use]
    pub(crate) fn flags(mut self, change: impl FnOnce(u32) -> u32) -> Self {
        let flags = change(u32_at(&self.bytes, self.at.flags));
        self.set(self.at.flags, flags.to_le_bytes());
        self
    }

    /// The function: `SrbFunction` of the extended format.
    #[must_use]
    pub(crate) fn function(mut self, function: u8) -> Self {
        if self.is_extended() {
            self.set(20, u32::from(function).to_le_bytes());
        } else {
            self.set(2, [function]);
        }
        self
    }
}

/// A byte of a block.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes[at]
}

/// A word of a block.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// A pointer of a block.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
