//! What means something else when it is cut in two, and what is not understood in every field, goes
//! down as it came, however large it is: the adapter judges it.

mod common;

use common::block::{Block, Part, flag, srb_status, u64_at};
use common::post::{Returned, post};
use common::{BOTH, adapter, run, run_unchecked, srb_pieces_of, world};
use ntsim::port::{Direction, OnViolation};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Shape, Stack, World};

const PIECE: usize = 4096;
const LENGTH: usize = 8 * PIECE;
const BLOCKS: u32 = (LENGTH / 512) as u32;

/// An adapter on which a request of `LENGTH` bytes is far too large, but that tries.
fn small() -> World {
    let hba = adapter(PIECE, 2).on_violation(OnViolation::Record);
    world().hba(hba).shape(Shape::Srb)
}

/// Sends an oversize block and checks that the port got this very request, unchanged.
#[track_caller]
fn goes_down_as_it_came(stack: &Stack, block: &Block, buffer: &Buffer, case: &str) -> Returned {
    let (returned, arrived) = goes_down(stack, block, buffer, case);
    assert_eq!(arrived, returned.sent, "{case}: in every byte");
    returned
}

/// The same for a block that the port can't make sense of either.
#[track_caller]
fn goes_down_unread(stack: &Stack, block: &Block, buffer: &Buffer, case: &str) {
    let (returned, arrived) = goes_down(stack, block, buffer, case);
    if arrived.is_empty() {
        assert!(!returned.done.succeeded(), "{case}: the port refuses it");
        assert_eq!(returned.changed(), [0; 0], "{case}: untouched");
    } else {
        assert_eq!(arrived, returned.sent, "{case}: in every byte");
    }
}

/// Sends a block; gives what came back and the bytes of the block as they arrived.
#[track_caller]
fn goes_down(stack: &Stack, block: &Block, buffer: &Buffer, case: &str) -> (Returned, Vec<u8>) {
    stack.port().forget_records();
    let sent = post(block).buffer(buffer).others([0, 0, 0x77]).send(stack);
    let (irp, mdl, address) = (sent.irp(), sent.mdl(), sent.address());
    let returned = sent.wait();
    let mut records = stack.port().records();
    assert_eq!(
        records.len(),
        1,
        "{case}: one request, no pieces: {records:#?}"
    );
    let record = records.remove(0);
    assert_eq!(record.irp, irp, "{case}: the sender's own IRP");
    assert_eq!(record.mdl, mdl, "{case}: with its own MDL");
    assert!(!record.filter_routine, "{case}: nobody waits for it");
    let capture = record.capture.expect("captured");
    assert_eq!(
        capture.parameters[0], address as u64,
        "{case}: its own block"
    );
    assert_eq!(capture.parameters[3], 0x77, "{case}: all parameters");
    (returned, capture.srb)
}

/// Both formats.
fn formats(cdb: &[u8]) -> [Block; 2] {
    [false, true].map(|extended| Block::of(extended, cdb))
}

/// Runs a scenario with one large buffer, recording everything.
fn with_buffer(scenario: impl FnOnce(&Stack, &Buffer) + Send) {
    let ((), report) = run_unchecked(small(), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(LENGTH, 0);
        scenario(stack, &buffer);
    });
    common::assert_nothing_allocated(&report);
    assert_eq!(report.port.completed, report.port.arrived);
}

/// Commands that move data and are no READ or WRITE of 6, 10, 12 or 16 bytes, or are one with a
/// meaning of its own [SBC-4, SPC-5, ZBC]: operation code, second byte, length.
const COMMANDS: &[(&str, u8, u8, usize)] = &[
    ("WRITE ATOMIC (16)", 0x9C, 0, 16),
    ("COMPARE AND WRITE", 0x89, 0, 16),
    ("WRITE AND VERIFY (10)", 0x2E, 0, 10),
    ("WRITE AND VERIFY (12)", 0xAE, 0, 12),
    ("WRITE AND VERIFY (16)", 0x8E, 0, 16),
    ("VERIFY (10)", 0x2F, 2, 10),
    ("VERIFY (12)", 0xAF, 2, 12),
    ("VERIFY (16)", 0x8F, 2, 16),
    ("WRITE SAME (10)", 0x41, 0, 10),
    ("WRITE SAME (16)", 0x93, 0, 16),
    ("UNMAP", 0x42, 0, 10),
    ("ORWRITE (16)", 0x8B, 0, 16),
    ("XDWRITEREAD (10)", 0x53, 0, 10),
    ("READ LONG (10)", 0x3E, 0, 10),
    ("WRITE LONG (10)", 0x3F, 0, 10),
    ("READ BUFFER (10)", 0x3C, 2, 10),
    ("WRITE BUFFER", 0x3B, 5, 10),
    ("READ DEFECT DATA (12)", 0xB7, 0, 12),
    ("PERSISTENT RESERVE IN", 0x5E, 0, 10),
    ("PERSISTENT RESERVE OUT", 0x5F, 0, 10),
    ("EXTENDED COPY", 0x83, 0, 16),
    ("POPULATE TOKEN", 0x83, 0x10, 16),
    ("WRITE USING TOKEN", 0x83, 0x11, 16),
    ("RECEIVE COPY RESULTS", 0x84, 0, 16),
    ("SECURITY PROTOCOL IN", 0xA2, 0, 12),
    ("SECURITY PROTOCOL OUT", 0xB5, 0, 12),
    ("ATA PASS-THROUGH (12)", 0xA1, 0x0C, 12),
    ("ATA PASS-THROUGH (16)", 0x85, 0x0C, 16),
    ("REPORT ZONES", 0x95, 0, 16),
    ("vendor, group 6", 0xC0, 0, 10),
    ("vendor, group 7", 0xFF, 0, 10),
];

/// A command with block number and count where those of READ and WRITE are.
fn command(opcode: u8, second: u8, length: usize) -> Vec<u8> {
    let mut cdb = read_write_cdb(Direction::Read, 64, BLOCKS, length);
    (cdb[0], cdb[1]) = (opcode, second);
    cdb
}

#[test]
fn commands_that_are_no_plain_read_or_write() {
    with_buffer(|stack, buffer| {
        for &(name, opcode, second, length) in COMMANDS {
            for block in formats(&command(opcode, second, length)) {
                for way in [
                    flag::DATA_IN,
                    flag::DATA_OUT,
                    flag::DATA_IN | flag::DATA_OUT,
                ] {
                    let block = block.clone().flags(|flags| flags | way);
                    goes_down_as_it_came(stack, &block, buffer, name);
                }
            }
        }
    });
}

#[test]
fn every_operation_code_but_eight() {
    const SPLIT: [u8; 8] = [0x08, 0x0A, 0x28, 0x2A, 0x88, 0x8A, 0xA8, 0xAA];
    with_buffer(|stack, buffer| {
        for opcode in (0..=u8::MAX).filter(|opcode| !SPLIT.contains(opcode)) {
            let mut cdb = [0; 16];
            cdb[0] = opcode;
            cdb[5] = 64;
            cdb[13] = BLOCKS as u8;
            for block in formats(&cdb) {
                // Whatever the port answers it answers to the sender's own request.
                let block = block.flags(|flags| flags | flag::DATA_IN);
                goes_down_as_it_came(stack, &block, buffer, &format!("{opcode:#04x}"));
            }
        }
    });
}

#[test]
fn commands_of_32_bytes() {
    // READ (32), WRITE (32), WRITE ATOMIC (32): variable length, service actions 9, B and F.
    with_buffer(|stack, buffer| {
        for action in [0x09, 0x0B, 0x0F] {
            let mut cdb = [0; 32];
            cdb[0] = 0x7F;
            cdb[7] = 24;
            cdb[9] = action;
            cdb[19] = 64;
            cdb[31] = BLOCKS as u8;
            for parts in [
                [Part::Address, Part::Cdb32],
                [Part::Address, Part::CdbVar(32)],
            ] {
                let block = Block::extended(&cdb, &parts).flags(|flags| flags | flag::DATA_IN);
                goes_down_as_it_came(stack, &block, buffer, "32 bytes");
            }
        }
    });
}

#[test]
fn protection_information() {
    with_buffer(|stack, buffer| {
        for direction in BOTH {
            for form in [10, 12, 16] {
                for protect in 1..8 {
                    let mut cdb = read_write_cdb(direction, 64, BLOCKS, form);
                    cdb[1] |= protect << 5;
                    for block in formats(&cdb) {
                        let case = format!("{direction:?}({form}), protection {protect}");
                        goes_down_as_it_came(stack, &block, buffer, &case);
                    }
                }
            }
        }
    });
}

#[test]
fn requests_that_run_past_a_stopped_queue() {
    with_buffer(|stack, buffer| {
        for bypass in [
            flag::BYPASS_LOCKED_QUEUE,
            flag::BYPASS_FROZEN_QUEUE,
            flag::D3_PROCESSING,
            flag::BYPASS_LOCKED_QUEUE | flag::D3_PROCESSING,
        ] {
            for direction in BOTH {
                for block in formats(&read_write_cdb(direction, 64, BLOCKS, 10)) {
                    let block = block.flags(|flags| flags | bypass);
                    goes_down_as_it_came(stack, &block, buffer, &format!("{bypass:#x}"));
                }
            }
        }
    });
}

#[test]
fn linked_requests() {
    with_buffer(|stack, buffer| {
        for direction in BOTH {
            for block in formats(&read_write_cdb(direction, 64, BLOCKS, 10)) {
                let next = block.at.next;
                let block = block.with(next, 0xFFFF_B000_0000_1000_u64.to_le_bytes());
                let returned = goes_down_as_it_came(stack, &block, buffer, "linked");
                assert_eq!(u64_at(&returned.block, next), 0xFFFF_B000_0000_1000);
            }
        }
    });
}

#[test]
fn blocks_of_more_than_256_bytes_and_of_parts_that_nobody_knows() {
    with_buffer(|stack, buffer| {
        for direction in BOTH {
            let cdb = read_write_cdb(direction, 64, BLOCKS, 10);
            for parts in [
                &[Part::Address, Part::Cdb16, Part::Unknown(64)][..],
                &[Part::Address, Part::Cdb16, Part::Unknown(200)],
                &[Part::Unknown(8), Part::Cdb16, Part::IoInfo, Part::Address],
                &[Part::Address, Part::CdbVar(96), Part::IoInfo],
                &[Part::Address, Part::CdbVar(500)],
                &[Part::Address, Part::Cdb16, Part::Cdb16],
                &[Part::Address, Part::Cdb16, Part::Cdb32],
                &[Part::Address, Part::Cdb16, Part::IoInfo, Part::IoInfo],
            ] {
                let block = Block::extended(&cdb, parts);
                goes_down_as_it_came(stack, &block, buffer, &format!("{parts:?}"));
            }
            let block = of_length(&cdb, 264);
            goes_down_as_it_came(stack, &block, buffer, "264 bytes");
        }
    });
}

/// A block with nothing but zeroes behind its last extension.
fn of_length(cdb: &[u8], length: usize) -> Block {
    let mut block = Block::extended(cdb, &Part::CLASS);
    block.bytes.resize(length, 0);
    block.with(16, (length as u32).to_le_bytes())
}

#[test]
fn a_block_of_exactly_256_bytes_is_split() {
    run(srb_pieces_of(PIECE), |stack| {
        let buffer = stack.buffer(LENGTH, 0);
        let block = of_length(&read_write_cdb(Direction::Read, 64, BLOCKS, 10), 256);
        let returned = post(&block).buffer(&buffer).send(stack).wait();
        assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
        assert_eq!(stack.port().transfers().len(), LENGTH / PIECE);
    });
}

#[test]
fn extensions_that_lie_outside_the_block() {
    with_buffer(|stack, buffer| {
        let cdb = read_write_cdb(Direction::Read, 64, BLOCKS, 10);
        let whole = Block::extended(&cdb, &Part::CLASS);
        let end = whole.bytes.len() as u32;
        for (what, at, value) in [
            ("extension behind the end", 120, end),
            (
                "extension that begins inside and ends outside",
                120,
                end - 16,
            ),
            ("extension in the header", 120, 64),
            (
                "extension at an odd place",
                120,
                whole.at.command as u32 + 4,
            ),
            ("extension far away", 120, u32::MAX),
            ("extension at 0", 120, 0),
            ("address behind the end", 52, end),
            ("address far away", 52, u32::MAX - 3),
            ("more extensions than fit", 56, 1000),
            ("no extension", 56, 0),
            ("a wrong signature", 8, 0x1234_5678),
            ("another version", 12, 2),
            ("shorter than its header", 16, 100),
        ] {
            let block = whole.clone().with(at, value.to_le_bytes());
            goes_down_unread(stack, &block, buffer, what);
        }
    });
}

#[test]
fn blocks_that_are_no_read_or_write_although_their_command_looks_like_one() {
    with_buffer(|stack, buffer| {
        for direction in BOTH {
            for form in [6, 10, 12, 16] {
                for block in formats(&read_write_cdb(direction, 64, BLOCKS, form)) {
                    let at = block.at;
                    // Cut short.
                    let short = block.clone().with(at.cdb_length, [form as u8 - 1]);
                    goes_down_as_it_came(stack, &short, buffer, "CdbLength too short");
                    let none = block.clone().with(at.cdb_length, [0]);
                    goes_down_as_it_came(stack, &none, buffer, "no CdbLength");
                    // The direction of the flags is not that of the command.
                    for way in [0, flag::DATA_IN | flag::DATA_OUT, other_way(direction)] {
                        let both = flag::DATA_IN | flag::DATA_OUT;
                        let odd = block.clone().flags(|flags| flags & !both | way);
                        goes_down_as_it_came(stack, &odd, buffer, "another direction");
                    }
                    // Another function, whose command means nothing.
                    let other = block.clone().function(0x17);
                    goes_down_as_it_came(stack, &other, buffer, "WMI");
                }
            }
        }
        for block in formats(&read_write_cdb(Direction::Read, 64, 0, 10)) {
            goes_down_as_it_came(stack, &block, buffer, "no blocks");
        }
        for length in [0_u16, 64, 87, 89, 96] {
            let block = Block::legacy(&read_write_cdb(Direction::Read, 64, BLOCKS, 10));
            let block = block.with(0, length.to_le_bytes());
            goes_down_unread(stack, &block, buffer, "Length is another structure's");
        }
    });
}

fn other_way(direction: Direction) -> u32 {
    match direction {
        Direction::Read => flag::DATA_OUT,
        Direction::Write => flag::DATA_IN,
    }
}

#[test]
fn what_fits_is_nobodys_business_however_odd() {
    let ((), report) = run_unchecked(small(), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(PIECE, 0);
        for direction in BOTH {
            for form in [6, 10, 12, 16] {
                for (block, lba) in [(8, 64), (3, 64), (8, 0x1F_FFF0)] {
                    // Blocks and bytes that disagree, addresses beyond the medium.
                    for block in formats(&read_write_cdb(direction, lba, block, form)) {
                        goes_down_as_it_came(stack, &block, &buffer, "it fits");
                    }
                }
            }
        }
    });
    common::assert_nothing_allocated(&report);
}
