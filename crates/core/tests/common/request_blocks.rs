//! Request blocks made byte by byte, as a class driver makes them, and what holds for every one that
//! was accepted.

use std::mem::{offset_of, size_of};

use xfersplit_core::block::{Block, LARGEST, PREFIX, flags, length};
use xfersplit_core::cdb::{Direction, decode};

/// The structures of srb.h and storport.h for 64-bit Windows, written down a second time, so that
/// the compiler and not this file counts the bytes. Addresses are plain numbers.
mod windows {
    #[repr(C)]
    pub(crate) struct ScsiRequestBlock {
        pub(crate) length: u16,
        pub(crate) function: u8,
        pub(crate) srb_status: u8,
        pub(crate) scsi_status: u8,
        pub(crate) path_id: u8,
        pub(crate) target_id: u8,
        pub(crate) lun: u8,
        pub(crate) queue_tag: u8,
        pub(crate) queue_action: u8,
        pub(crate) cdb_length: u8,
        pub(crate) sense_info_buffer_length: u8,
        pub(crate) srb_flags: u32,
        pub(crate) data_transfer_length: u32,
        pub(crate) time_out_value: u32,
        pub(crate) data_buffer: u64,
        pub(crate) sense_info_buffer: u64,
        pub(crate) next_srb: u64,
        pub(crate) original_request: u64,
        pub(crate) srb_extension: u64,
        pub(crate) internal_status: u32,
        pub(crate) reserved: u32,
        pub(crate) cdb: [u8; 16],
    }

    #[repr(C)]
    pub(crate) struct StorageRequestBlock {
        pub(crate) length: u16,
        pub(crate) function: u8,
        pub(crate) srb_status: u8,
        pub(crate) reserved_ulong1: u32,
        pub(crate) signature: u32,
        pub(crate) version: u32,
        pub(crate) srb_length: u32,
        pub(crate) srb_function: u32,
        pub(crate) srb_flags: u32,
        pub(crate) reserved_ulong2: u32,
        pub(crate) request_tag: u32,
        pub(crate) request_priority: u16,
        pub(crate) request_attribute: u16,
        pub(crate) time_out_value: u32,
        pub(crate) system_status: u32,
        pub(crate) zero_guard1: u32,
        pub(crate) address_offset: u32,
        pub(crate) num_srb_ex_data: u32,
        pub(crate) data_transfer_length: u32,
        pub(crate) data_buffer: u64,
        pub(crate) zero_guard2: u64,
        pub(crate) original_request: u64,
        pub(crate) class_context: u64,
        pub(crate) port_context: u64,
        pub(crate) miniport_context: u64,
        pub(crate) next_srb: u64,
        pub(crate) srb_ex_data_offset: [u32; 2],
    }

    #[repr(C, align(8))]
    pub(crate) struct ScsiCdb<const N: usize> {
        pub(crate) kind: u32,
        pub(crate) length: u32,
        pub(crate) scsi_status: u8,
        pub(crate) sense_info_buffer_length: u8,
        pub(crate) cdb_length: u8,
        pub(crate) reserved: u8,
        pub(crate) reserved1: u32,
        pub(crate) sense_info_buffer: u64,
        pub(crate) cdb: [u8; N],
    }

    #[repr(C, align(8))]
    pub(crate) struct ScsiCdbVar {
        pub(crate) kind: u32,
        pub(crate) length: u32,
        pub(crate) scsi_status: u8,
        pub(crate) sense_info_buffer_length: u8,
        pub(crate) reserved: [u8; 2],
        pub(crate) cdb_length: u32,
        pub(crate) reserved1: [u32; 2],
        pub(crate) sense_info_buffer: u64,
        pub(crate) cdb: [u8; 1],
    }

    #[repr(C, align(8))]
    pub(crate) struct IoInfo {
        pub(crate) kind: u32,
        pub(crate) length: u32,
        pub(crate) flags: u32,
        pub(crate) key: u32,
        pub(crate) rw_length: u32,
        pub(crate) is_write_request: u8,
        pub(crate) cache_priority: u8,
        pub(crate) reserved: [u8; 2],
        pub(crate) reserved1: [u32; 2],
    }

    #[repr(C, align(8))]
    pub(crate) struct StorAddrBtl8 {
        pub(crate) kind: u16,
        pub(crate) port: u16,
        pub(crate) address_length: u32,
        pub(crate) path: u8,
        pub(crate) target: u8,
        pub(crate) lun: u8,
        pub(crate) reserved: u8,
    }
}

pub(crate) use windows::{
    IoInfo, ScsiCdb, ScsiCdbVar, ScsiRequestBlock, StorAddrBtl8, StorageRequestBlock,
};

/// What a disk class driver sets on a fixed disk, and a read.
pub(crate) const READ_FLAGS: u32 =
    flags::QUEUE_ACTION_ENABLE | flags::NO_QUEUE_FREEZE | flags::DATA_IN;
pub(crate) const SIMPLE: u8 = 0x20;
pub(crate) const TRANSFER: u32 = 2 * 1024 * 1024;
/// READ(10) of 4096 blocks from block 12345678h.
pub(crate) const READ: [u8; 10] = [0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0x10, 0, 0];

pub(crate) fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

pub(crate) fn put32(bytes: &mut [u8], offset: usize, value: u32) {
    put(bytes, offset, value.to_le_bytes());
}

/// A read as a `SCSI_REQUEST_BLOCK`.
pub(crate) fn legacy() -> Vec<u8> {
    let mut bytes = vec![0; size_of::<ScsiRequestBlock>()];
    let put_byte = |bytes: &mut [u8], offset: usize, value: u8| bytes[offset] = value;
    put(
        &mut bytes,
        offset_of!(ScsiRequestBlock, length),
        88_u16.to_le_bytes(),
    );
    put_byte(
        &mut bytes,
        offset_of!(ScsiRequestBlock, queue_action),
        SIMPLE,
    );
    put_byte(&mut bytes, offset_of!(ScsiRequestBlock, cdb_length), 10);
    put_byte(
        &mut bytes,
        offset_of!(ScsiRequestBlock, sense_info_buffer_length),
        18,
    );
    put32(
        &mut bytes,
        offset_of!(ScsiRequestBlock, srb_flags),
        READ_FLAGS,
    );
    put32(
        &mut bytes,
        offset_of!(ScsiRequestBlock, data_transfer_length),
        TRANSFER,
    );
    put(&mut bytes, offset_of!(ScsiRequestBlock, cdb), READ);
    bytes
}

/// Which extension holds the command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Cdb16,
    Cdb32,
    Var(u32),
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Cdb16, Kind::Cdb32, Kind::Var(10), Kind::Var(16)];

impl Kind {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Cdb16 => 0x40,
            Self::Cdb32 => 0x41,
            Self::Var(_) => 0x42,
        }
    }

    /// Bytes, made a multiple of 8 so that something may follow.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Cdb16 => size_of::<ScsiCdb<16>>(),
            Self::Cdb32 => size_of::<ScsiCdb<32>>(),
            Self::Var(length) => {
                (offset_of!(ScsiCdbVar, cdb) + length as usize).next_multiple_of(8)
            }
        }
    }

    pub(crate) fn cdb(self) -> usize {
        match self {
            Self::Cdb16 => offset_of!(ScsiCdb<16>, cdb),
            Self::Cdb32 => offset_of!(ScsiCdb<32>, cdb),
            Self::Var(_) => offset_of!(ScsiCdbVar, cdb),
        }
    }

    pub(crate) fn sense_pointer(self) -> usize {
        match self {
            Self::Cdb16 | Self::Cdb32 => offset_of!(ScsiCdb<16>, sense_info_buffer),
            Self::Var(_) => offset_of!(ScsiCdbVar, sense_info_buffer),
        }
    }
}

/// A read as a `STORAGE_REQUEST_BLOCK`, and where its parts are.
#[derive(Clone, Debug)]
pub(crate) struct Extended {
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) address: usize,
    pub(crate) command: usize,
    pub(crate) io_info: Option<usize>,
}

/// Address, command and information about the read, in this order.
pub(crate) fn extended(kind: Kind, with_io_info: bool) -> Extended {
    let address = size_of::<StorageRequestBlock>();
    let command = address + size_of::<StorAddrBtl8>();
    let io_info = with_io_info.then_some(command + kind.size());
    let end = command + kind.size() + if with_io_info { size_of::<IoInfo>() } else { 0 };
    let mut block = Extended {
        bytes: vec![0; end],
        kind,
        address,
        command,
        io_info,
    };
    block.fill();
    block
}

impl Extended {
    pub(crate) fn fill(&mut self) {
        let end = self.bytes.len() as u32;
        let bytes = &mut self.bytes;
        put(
            bytes,
            offset_of!(StorageRequestBlock, length),
            8_u16.to_le_bytes(),
        );
        bytes[offset_of!(StorageRequestBlock, function)] = 0x28;
        put(bytes, offset_of!(StorageRequestBlock, signature), *b"XBRS");
        put32(bytes, offset_of!(StorageRequestBlock, version), 1);
        put32(bytes, offset_of!(StorageRequestBlock, srb_length), end);
        put32(
            bytes,
            offset_of!(StorageRequestBlock, srb_flags),
            READ_FLAGS,
        );
        bytes[offset_of!(StorageRequestBlock, request_attribute)] = SIMPLE;
        let at = self.address as u32;
        put32(bytes, offset_of!(StorageRequestBlock, address_offset), at);
        let count = 1 + u32::from(self.io_info.is_some());
        put32(
            bytes,
            offset_of!(StorageRequestBlock, num_srb_ex_data),
            count,
        );
        put32(
            bytes,
            offset_of!(StorageRequestBlock, data_transfer_length),
            TRANSFER,
        );
        let table = offset_of!(StorageRequestBlock, srb_ex_data_offset);
        put32(bytes, table, self.command as u32);

        put(bytes, self.address, 1_u16.to_le_bytes());
        put32(
            bytes,
            self.address + offset_of!(StorAddrBtl8, address_length),
            4,
        );

        let command = self.command;
        put32(bytes, command, self.kind.number());
        put32(bytes, command + 4, self.kind.size() as u32 - 8);
        bytes[command + offset_of!(ScsiCdb<16>, sense_info_buffer_length)] = 18;
        match self.kind {
            Kind::Var(length) => {
                put32(bytes, command + offset_of!(ScsiCdbVar, cdb_length), length);
            }
            _ => bytes[command + offset_of!(ScsiCdb<16>, cdb_length)] = 10,
        }
        put(bytes, command + self.kind.cdb(), READ);

        if let Some(io_info) = self.io_info {
            put32(bytes, table + 4, io_info as u32);
            put32(bytes, io_info, 0x80);
            put32(bytes, io_info + 4, 24);
            put32(bytes, io_info + offset_of!(IoInfo, rw_length), TRANSFER);
        }
    }
}

/// Good blocks of every make.
pub(crate) fn good() -> Vec<Vec<u8>> {
    let mut all = vec![legacy()];
    for kind in KINDS {
        for with_io_info in [false, true] {
            all.push(extended(kind, with_io_info).bytes);
        }
    }
    all
}

/// What holds for every block that was accepted, whatever it was made of.
pub(crate) fn check(bytes: &[u8], block: &Block) {
    let prefix = bytes[..PREFIX].try_into().expect("a prefix");
    assert_eq!(length(prefix), Some(block.length));
    assert!(block.length <= bytes.len() && block.length <= LARGEST);
    let places = block.places;
    let mut fields = vec![
        (places.cdb, places.cdb_length),
        (places.scsi_status, 1),
        (places.sense_length, 1),
        (places.sense_pointer, 8),
    ];
    fields.extend(places.rw_length.map(|place| (place, 4)));
    fields.sort_unstable();
    let mut end = 0;
    for (start, size) in fields {
        assert!(start >= end, "{places:?}");
        end = start + size;
    }
    assert!(end <= block.length, "{places:?}");

    let cdb = &bytes[places.cdb..][..places.cdb_length];
    assert_eq!(decode(cdb), Some(block.command));
    assert!(usize::from(block.command.size.length()) <= places.cdb_length);
    assert_eq!(bytes[places.sense_length], block.sense_room);
    assert_ne!((block.transfer_length, block.command.blocks), (0, 0));
    assert_eq!(block.command.protect, 0);
    let both = flags::DATA_IN | flags::DATA_OUT;
    let direction = match block.command.direction {
        Direction::Read => flags::DATA_IN,
        Direction::Write => flags::DATA_OUT,
    };
    assert_eq!(block.flags & both, direction);
    if let Some(sector) = block.sector() {
        let blocks = u64::from(block.command.blocks);
        assert_eq!(u64::from(sector) * blocks, u64::from(block.transfer_length));
    }
}
