//! Request blocks of other drivers: every field at its place in both formats, and every reason not
//! to split one.

mod common;

use std::mem::{offset_of, size_of};

use common::request_blocks::{
    Extended, IoInfo, KINDS, Kind, READ_FLAGS, SIMPLE, ScsiCdb, ScsiCdbVar, ScsiRequestBlock,
    StorAddrBtl8, StorageRequestBlock, TRANSFER, check, extended, legacy, put, put32,
};
use xfersplit_core::block::{Format, Opaque, PREFIX, Tag, flags, length, parse};
use xfersplit_core::cdb::CdbSize;

#[test]
fn the_structures_are_those_of_64_bit_windows() {
    assert_eq!(size_of::<ScsiRequestBlock>(), 88);
    assert_eq!(size_of::<StorageRequestBlock>(), 128);
    assert_eq!(size_of::<ScsiCdb<16>>(), 40);
    assert_eq!(size_of::<ScsiCdb<32>>(), 56);
    assert_eq!(size_of::<ScsiCdbVar>(), 40);
    assert_eq!(size_of::<IoInfo>(), 32);
    assert_eq!(size_of::<StorAddrBtl8>(), 16);
}

#[test]
fn fields_of_a_legacy_block() {
    let bytes = legacy();
    let block = parse(&bytes).expect("a read");
    check(&bytes, &block);
    assert_eq!((block.format, block.length), (Format::Legacy, 88));
    assert_eq!(block.flags, READ_FLAGS);
    assert_eq!(block.transfer_length, TRANSFER);
    assert_eq!((block.tag, block.sense_room), (Tag::Simple, 18));
    assert_eq!(block.command.size, CdbSize::Ten);
    assert_eq!(
        (block.command.lba, block.command.blocks),
        (0x1234_5678, 4096)
    );
    assert_eq!(block.sector(), Some(512));
    assert!(!block.is_serial());
    let places = block.places;
    assert_eq!(places.cdb, offset_of!(ScsiRequestBlock, cdb));
    assert_eq!(places.cdb_length, 10);
    assert_eq!(
        places.scsi_status,
        offset_of!(ScsiRequestBlock, scsi_status)
    );
    let sense_length = offset_of!(ScsiRequestBlock, sense_info_buffer_length);
    assert_eq!(places.sense_length, sense_length);
    let sense_pointer = offset_of!(ScsiRequestBlock, sense_info_buffer);
    assert_eq!(places.sense_pointer, sense_pointer);
    assert_eq!(places.rw_length, None);
}

#[test]
fn fields_of_an_extended_block() {
    for kind in KINDS {
        for with_io_info in [false, true] {
            let made = extended(kind, with_io_info);
            let block = parse(&made.bytes).expect("a read");
            check(&made.bytes, &block);
            assert_eq!(block.format, Format::Extended);
            assert_eq!(block.length, made.bytes.len());
            assert_eq!((block.flags, block.transfer_length), (READ_FLAGS, TRANSFER));
            assert_eq!((block.tag, block.sense_room), (Tag::Simple, 18));
            assert_eq!(block.sector(), Some(512));
            let places = block.places;
            assert_eq!(places.cdb, made.command + kind.cdb());
            let counts = if kind == Kind::Var(16) { 16 } else { 10 };
            assert_eq!(places.cdb_length, counts);
            assert_eq!(places.scsi_status, made.command + 8);
            assert_eq!(places.sense_length, made.command + 9);
            assert_eq!(places.sense_pointer, made.command + kind.sense_pointer());
            let rw_length = offset_of!(IoInfo, rw_length);
            assert_eq!(places.rw_length, made.io_info.map(|at| at + rw_length));
        }
    }
}

/// The order in the block and in the table is the sender's affair, and an address may be missing.
#[test]
fn parts_of_an_extended_block_in_another_order() {
    let usual = extended(Kind::Cdb16, true);
    let table = offset_of!(StorageRequestBlock, srb_ex_data_offset);
    let expected = parse(&usual.bytes).expect("a read");
    let mut swapped = usual.bytes.clone();
    put32(
        &mut swapped,
        table,
        usual.io_info.expect("made with one") as u32,
    );
    put32(&mut swapped, table + 4, usual.command as u32);
    assert_eq!(parse(&swapped), Ok(expected));

    let mut homeless = usual.bytes.clone();
    put32(
        &mut homeless,
        offset_of!(StorageRequestBlock, address_offset),
        0,
    );
    assert_eq!(parse(&homeless), Ok(expected));

    let command = 128;
    let mut last = Extended {
        address: command + size_of::<ScsiCdb<16>>(),
        command,
        io_info: None,
        ..extended(Kind::Cdb16, false)
    };
    last.bytes.fill(0);
    last.fill();
    let block = parse(&last.bytes).expect("a read");
    assert_eq!(block.places.cdb, command + 24);
}

#[test]
fn information_about_another_length_is_left_alone() {
    let mut made = extended(Kind::Cdb16, true);
    let io_info = made.io_info.expect("made with one");
    put32(&mut made.bytes, io_info + 16, TRANSFER - 512);
    assert_eq!(parse(&made.bytes).expect("a read").places.rw_length, None);
}

#[test]
fn lengths() {
    let prefix = |bytes: &[u8]| -> [u8; PREFIX] { bytes[..PREFIX].try_into().expect("longer") };
    let mut bytes = legacy();
    for stated in [0_u16, 8, 87, 88, 89, 128, 0xFFFF] {
        put(&mut bytes, 0, stated.to_le_bytes());
        let expected = (stated == 88).then_some(88);
        assert_eq!(length(&prefix(&bytes)), expected, "{stated}");
        assert_eq!(parse(&bytes).is_ok(), stated == 88);
    }
    let mut bytes = extended(Kind::Cdb16, false).bytes;
    bytes.resize(400, 0);
    for stated in [0_u32, 88, 127, 128, 184, 255, 256, 257, 400, u32::MAX] {
        put32(&mut bytes, 16, stated);
        let expected = (128..=256).contains(&stated).then_some(stated as usize);
        assert_eq!(length(&prefix(&bytes)), expected, "{stated}");
        // 184 bytes hold all of it, 128 leave the command outside.
        let expected = match stated {
            128 => Err(Opaque::Offsets),
            184 | 255 | 256 => Ok(stated as usize),
            _ => Err(Opaque::TooShort),
        };
        assert_eq!(
            parse(&bytes).map(|block| block.length),
            expected,
            "{stated}"
        );
    }
}

#[test]
fn every_reason_in_a_legacy_block() {
    let field = |offset: usize, value: &[u8]| (offset, value.to_vec());
    let write = [0x2A, 0, 0x12, 0x34, 0x56, 0x78, 0, 0x10, 0, 0];
    let verify = [0x2E, 0, 0x12, 0x34, 0x56, 0x78, 0, 0x10, 0, 0];
    let both = READ_FLAGS | flags::DATA_OUT;
    let neither = READ_FLAGS & !flags::DATA_IN;
    let cases = [
        (field(0, &[87, 0]), Opaque::TooShort),
        (field(2, &[0x04]), Opaque::Function),
        (field(2, &[0x24]), Opaque::Function),
        (field(40, &[8]), Opaque::Linked),
        (field(47, &[8]), Opaque::Linked),
        (field(12, &with(flags::BYPASS_FROZEN_QUEUE)), Opaque::Bypass),
        (field(12, &with(flags::BYPASS_LOCKED_QUEUE)), Opaque::Bypass),
        (field(12, &with(flags::D3_PROCESSING)), Opaque::Bypass),
        (field(72, &verify), Opaque::Command),
        (field(72, &[0]), Opaque::Command),
        (field(10, &[9]), Opaque::Command),
        (field(10, &[0]), Opaque::Command),
        (field(10, &[17]), Opaque::Command),
        (field(73, &[0x20]), Opaque::Protected),
        (field(73, &[0xE0]), Opaque::Protected),
        (field(72, &write), Opaque::Direction),
        (field(12, &both.to_le_bytes()), Opaque::Direction),
        (field(12, &neither.to_le_bytes()), Opaque::Direction),
        (field(16, &[0; 4]), Opaque::NoData),
        (field(79, &[0; 2]), Opaque::NoData),
    ];
    for ((offset, value), reason) in cases {
        let mut bytes = legacy();
        bytes[offset..offset + value.len()].copy_from_slice(&value);
        assert_eq!(parse(&bytes), Err(reason), "{offset}: {value:?}");
    }
}

fn with(flag: u32) -> [u8; 4] {
    (READ_FLAGS | flag).to_le_bytes()
}

#[test]
fn every_reason_in_an_extended_block() {
    let made = extended(Kind::Cdb16, true);
    let command = made.command;
    let io_info = made.io_info.expect("made with one");
    let word = |offset: usize, value: u32| (offset, value.to_le_bytes().to_vec());
    let byte = |offset: usize, value: u8| (offset, vec![value]);
    let (table, count) = (120, 56);
    let cases = [
        (word(8, 0), Opaque::TooShort),
        (word(12, 2), Opaque::TooShort),
        (word(16, 127), Opaque::TooShort),
        (word(16, 257), Opaque::TooShort),
        (word(20, 4), Opaque::Function),
        (word(20, 0x100), Opaque::Function),
        (byte(2, 0x12), Opaque::Function),
        // No command, too many extensions, one twice, one that may hold anything.
        (word(count, 0), Opaque::Offsets),
        (word(count, 3), Opaque::Offsets),
        (word(count, u32::MAX), Opaque::Offsets),
        (word(table, io_info as u32), Opaque::Offsets),
        (word(table + 4, command as u32), Opaque::Offsets),
        (word(io_info, 0x40), Opaque::Offsets),
        (word(io_info, 0x01), Opaque::Offsets),
        (word(io_info, 0x60), Opaque::Offsets),
        (word(command, 0x43), Opaque::Offsets),
        // Outside, on top of the fixed part or of each other, crooked.
        (word(table, 0), Opaque::Offsets),
        (word(table, 120), Opaque::Offsets),
        (word(table, made.bytes.len() as u32), Opaque::Offsets),
        (word(table, u32::MAX), Opaque::Offsets),
        (word(table + 4, 0), Opaque::Offsets),
        (word(table + 4, io_info as u32 + 8), Opaque::Offsets),
        (word(52, 8), Opaque::Offsets),
        (word(52, 132), Opaque::Offsets),
        (word(52, command as u32), Opaque::Offsets),
        (word(52, u32::MAX), Opaque::Offsets),
        (word(made.address + 4, 9), Opaque::Offsets),
        (word(made.address + 4, u32::MAX), Opaque::Offsets),
        (byte(112, 1), Opaque::Linked),
        (
            word(24, READ_FLAGS | flags::BYPASS_LOCKED_QUEUE),
            Opaque::Bypass,
        ),
        (byte(command + 24, 0x2E), Opaque::Command),
        (byte(command + 24, 0x7F), Opaque::Command),
        (byte(command + 10, 9), Opaque::Command),
        (byte(command + 10, 17), Opaque::Command),
        (byte(command + 25, 0x20), Opaque::Protected),
        (byte(command + 24, 0x2A), Opaque::Direction),
        (word(60, 0), Opaque::NoData),
        (byte(command + 31, 0), Opaque::NoData),
    ];
    for ((offset, value), reason) in cases {
        let mut bytes = made.bytes.clone();
        bytes[offset..offset + value.len()].copy_from_slice(&value);
        assert_eq!(parse(&bytes), Err(reason), "{offset}: {value:?}");
    }
}

/// The same bytes for the command's extension and for information about it.
#[test]
fn extensions_do_not_overlap() {
    let mut made = extended(Kind::Cdb32, true);
    let io_info = made.command + 32;
    put32(&mut made.bytes, io_info, 0x80);
    put32(&mut made.bytes, 124, io_info as u32);
    assert_eq!(parse(&made.bytes), Err(Opaque::Offsets));
    // A command as long as it says runs into what follows, or out of the block.
    let mut made = extended(Kind::Var(16), true);
    for length in [17, 48, 49, u32::MAX] {
        put32(&mut made.bytes, made.command + 12, length);
        assert_eq!(parse(&made.bytes), Err(Opaque::Offsets), "{length}");
    }
}

#[test]
fn every_form_of_read_and_write() {
    // Opcode, length, where the low byte of the block count is.
    for (opcode, size, count, write) in [
        (0x08, 6, 4, false),
        (0x0A, 6, 4, true),
        (0x28, 10, 8, false),
        (0x2A, 10, 8, true),
        (0xA8, 12, 9, false),
        (0xAA, 12, 9, true),
        (0x88, 16, 13, false),
        (0x8A, 16, 13, true),
    ] {
        let direction = if write {
            flags::DATA_OUT
        } else {
            flags::DATA_IN
        };
        let mut bytes = legacy();
        bytes[72..].fill(0);
        bytes[72] = opcode;
        bytes[72 + count] = 8;
        put32(&mut bytes, 12, READ_FLAGS & !flags::DATA_IN | direction);
        put32(&mut bytes, 16, 8 * 4096);
        for stated in 0..=17 {
            bytes[10] = stated;
            let parsed = parse(&bytes);
            if stated < size || stated > 16 {
                assert_eq!(parsed, Err(Opaque::Command), "{opcode:#x} {stated}");
            } else {
                let block = parsed.expect("a read or write");
                check(&bytes, &block);
                assert_eq!(block.command.size.length(), size);
                assert_eq!(block.command.blocks, 8);
                assert_eq!(block.sector(), Some(4096));
                assert_eq!(block.places.cdb_length, usize::from(stated));
            }
        }
    }
}

#[test]
fn sectors() {
    let block = parse(&legacy()).expect("a read");
    for (transfer_length, blocks, sector) in [
        (4096, 8, Some(512)),
        (4096, 1, Some(4096)),
        (65536, 1, Some(65536)),
        (131_072, 1, None),
        (256, 1, None),
        (1, 1, None),
        (520, 1, None),
        (4160, 8, None),
        (4097, 8, None),
        (4095, 8, None),
        (u32::MAX, u32::MAX, None),
        (u32::MAX, 1, None),
    ] {
        let mut block = block;
        block.transfer_length = transfer_length;
        block.command.blocks = blocks;
        assert_eq!(block.sector(), sector, "{transfer_length} {blocks}");
    }
}

#[test]
fn serial_unless_the_sender_allows_otherwise() {
    let read = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = legacy();
        change(&mut bytes);
        parse(&bytes).expect("a read")
    };
    assert!(!read(&|_| {}).is_serial());
    for missing in [flags::NO_QUEUE_FREEZE, flags::QUEUE_ACTION_ENABLE] {
        assert!(read(&|bytes| put32(bytes, 12, READ_FLAGS & !missing)).is_serial());
    }
    assert!(read(&|bytes| put(bytes, 12, with(flags::SEQUENTIAL_REQUIRED))).is_serial());
    for action in (0..=u8::MAX).filter(|&action| action != SIMPLE) {
        let block = read(&|bytes| bytes[9] = action);
        assert_eq!((block.tag, block.is_serial()), (Tag::Other, true));
    }
    let mut made = extended(Kind::Cdb16, false);
    for attribute in [0_u16, 0x21, 0x22, 0x120] {
        put(&mut made.bytes, 38, attribute.to_le_bytes());
        assert!(
            parse(&made.bytes).expect("a read").is_serial(),
            "{attribute:#x}"
        );
    }
}

/// Bit by bit: what the port driver keeps there does not go into a copy, all else does.
#[test]
fn flags_of_a_piece() {
    let block = parse(&legacy()).expect("a read");
    let gone = [10, 16, 17, 18, 21, 22, 24, 25, 26, 27];
    for bit in 0..32 {
        let mut block = block;
        block.flags = 1 << bit;
        let kept = if gone.contains(&bit) { 0 } else { 1 << bit };
        assert_eq!(block.child_flags(), kept, "bit {bit}");
    }
}

/// Addresses are bytes like any others: nothing depends on them.
#[test]
fn addresses_are_not_looked_at() {
    let mut bytes = legacy();
    let expected = parse(&bytes);
    // DataBuffer, SenseInfoBuffer, OriginalRequest, SrbExtension.
    for at in [24, 32, 48, 56] {
        put(&mut bytes, at, [0xA5; 8]);
    }
    assert_eq!(parse(&bytes), expected);

    let mut made = extended(Kind::Cdb16, true);
    let expected = parse(&made.bytes);
    // DataBuffer, OriginalRequest, three contexts, SenseInfoBuffer.
    for at in [64, 80, 88, 96, 104, made.command + 16] {
        put(&mut made.bytes, at, [0xA5; 8]);
    }
    assert_eq!(parse(&made.bytes), expected);
}
