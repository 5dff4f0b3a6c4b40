//! A piece of a request that came as an SRB is an exact clone of it: the port sees the sender's block
//! in every byte except in the few fields that a piece must have of its own, on the first attempt and
//! on every later one, and the sender's block is not touched while pieces of it are below.

mod common;

use common::block::{
    Block, HEAD_OF_QUEUE, ORDERED, Part, SIMPLE, flag, srb_status, u8_at, u32_at, u64_at,
};
use common::post::{Posted, Returned, SENSE_ROOM, UNTOUCHED, post};
use common::{BOTH, Random, check, noise, on_disk, run, srb_pieces_of};
use ntsim::abi::{IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO};
use ntsim::port::{Completion, Direction, Fault, Kind, PortRecord, read_write};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Stack};

/// What says in `Irp->Flags` that the memory manager waits for the data.
const PAGING: u32 = IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;

const PIECE: usize = 2048;
const BLOCKS: u32 = 4;

/// Every place of the command that a block can have.
const LAYOUTS: &[&[Part]] = &[
    &Part::CLASS,
    &[Part::Address, Part::Cdb16, Part::IoInfo],
    &[Part::IoInfo, Part::Address, Part::Cdb16],
    &[Part::Cdb16, Part::Address],
    &[Part::Cdb16],
    &[Part::Address, Part::Cdb32],
    &[Part::IoInfo, Part::Cdb32, Part::Address],
    &[Part::Address, Part::CdbVar(16)],
    &[Part::CdbVar(16), Part::IoInfo, Part::Address],
];

/// Blocks of both formats and every layout.
fn layouts(cdb: &[u8]) -> Vec<Block> {
    let extended = LAYOUTS.iter().map(|parts| {
        let mut block = Block::extended(cdb, parts);
        // The room of this extension is as long as its command is.
        if parts.contains(&Part::CdbVar(16)) {
            block.set(block.at.cdb_length, 16_u32.to_le_bytes());
        }
        block
    });
    // The table of extensions need not be in the order of memory.
    let mut turned = Block::extended(cdb, &[Part::Address, Part::Cdb16, Part::IoInfo]);
    let (first, second) = (u32_at(&turned.bytes, 120), u32_at(&turned.bytes, 124));
    turned.set(120, second.to_le_bytes());
    turned.set(124, first.to_le_bytes());
    [Block::legacy(cdb), turned]
        .into_iter()
        .chain(extended)
        .collect()
}

/// A READ or WRITE with every bit set at random that the device is to see and a
/// splitter has no business with.
fn draw_cdb(
    random: &mut Random,
    direction: Direction,
    form: usize,
    lba: u64,
    blocks: u32,
) -> Vec<u8> {
    let mut cdb = read_write_cdb(direction, lba, blocks, form);
    let last = form - 1;
    // Control: vendor bits, NACA.
    cdb[last] = random.next() as u8;
    if form > 6 {
        // DPO, FUA and the reserved bits of that byte; RDPROTECT stays 0.
        cdb[1] |= random.next() as u8 & 0x1F;
        // Group number with its reserved bits.
        let group = match form {
            10 => 6,
            12 => 10,
            _ => 14,
        };
        cdb[group] = random.next() as u8;
    }
    cdb
}

/// Fills in what senders may set as they like.
fn draw_fields(random: &mut Random, mut block: Block) -> Block {
    let at = block.at;
    block.set(at.timeout, (random.next() as u32).to_le_bytes());
    if at.port_context.is_some() {
        for reserved in [4, 28, 48] {
            block.set(reserved, (random.next() as u32).to_le_bytes());
        }
        // RequestTag, RequestPriority, ClassContext, what else is nobody's.
        block.set(32, (random.next() as u32).to_le_bytes());
        block.set(36, (random.next() as u16).to_le_bytes());
        for pointer in [72, 88, 96] {
            block.set(pointer, label(random).to_le_bytes());
        }
        block.set(at.system_status, (random.next() as u32).to_le_bytes());
    } else {
        // PathId, TargetId, Lun, QueueTag, sort key, Reserved.
        block.set(5, (random.next() as u32).to_le_bytes());
        block.set(at.system_status, (random.next() as u32).to_le_bytes());
        block.set(68, (random.next() as u32).to_le_bytes());
    }
    block.set(at.client, label(random).to_le_bytes());
    block.set(at.srb_status, [random.next() as u8]);
    block.set(at.scsi_status, [random.next() as u8]);
    if let Some(place) = at.rw_length {
        for word in [place - 8, place - 4, place + 4, place + 8, place + 12] {
            block.set(word, (random.next() as u32).to_le_bytes());
        }
    }
    // What a driver above may have left on, and what no child may have.
    let extra = random.next() as u32 & (flag::NOT_FOR_CHILDREN | 0xF010_020C);
    block.flags(|flags| flags | extra & !flag::FREE_SENSE_BUFFER)
}

/// An address that nobody may follow, and that is none of the simulated port's own.
fn label(random: &mut Random) -> u64 {
    0xFFFF_B000_0000_0000 | random.next() >> 24
}

/// What the block of the piece `number` must be, given the parent's as it was sent. The child's own
/// addresses are taken from what arrived, after a look at them.
fn expected(block: &Block, parent: &Posted, number: u32, arrived: &PortRecord) -> Vec<u8> {
    let at = block.at;
    let child = &arrived.capture.as_ref().expect("captured").srb;
    let cdb = &parent.sent[at.cdb..];
    let whole = read_write(cdb).expect("a READ or WRITE");
    let lba = whole.lba + u64::from(number * BLOCKS);
    let length = PIECE as u32;
    let mut wanted = Block {
        bytes: parent.sent.clone(),
        at,
    };
    wanted.set(at.srb_status, [0]);
    wanted.set(at.scsi_status, [0]);
    let data = u64_at(&parent.sent, at.data_buffer) + u64::from(number) * PIECE as u64;
    wanted.set(at.data_buffer, data.to_le_bytes());
    wanted.set(at.length, length.to_le_bytes());
    wanted.set(at.original_request, (arrived.irp as u64).to_le_bytes());
    wanted.set(at.next, [0; 8]);
    let system_status = if block.is_extended() {
        0
    } else {
        // The same place is the sort key on the way down.
        u32::try_from(lba).unwrap_or(u32::MAX)
    };
    wanted.set(at.system_status, system_status.to_le_bytes());
    if let Some(place) = at.port_context {
        wanted.set(place, [0; 8]);
    }
    if let Some(place) = at.rw_length
        && u32_at(&parent.sent, place) == u32_at(&parent.sent, at.length)
    {
        wanted.set(place, length.to_le_bytes());
    }
    wanted = wanted.flags(|flags| flags & !flag::NOT_FOR_CHILDREN);
    rewrite(&mut wanted.bytes[at.cdb..], lba, BLOCKS);
    // A sense buffer of its own, of any size that holds fixed sense data.
    let (sense, room) = (
        u64_at(child, at.sense_pointer),
        u8_at(child, at.sense_length),
    );
    assert!(room >= 18, "room for sense data: {room}");
    assert_ne!(sense, 0);
    assert_ne!(sense, parent.sense_address() as u64, "not the parent's");
    wanted.set(at.sense_pointer, sense.to_le_bytes());
    wanted.set(at.sense_length, [room]);
    wanted.bytes
}

/// Block number and count, where the standard has them; no other bit changes.
fn rewrite(cdb: &mut [u8], lba: u64, blocks: u32) {
    match cdb[0] {
        0x08 | 0x0A => {
            cdb[1] = cdb[1] & 0xE0 | (lba >> 16) as u8;
            cdb[2..4].copy_from_slice(&(lba as u16).to_be_bytes());
            cdb[4] = blocks as u8;
        }
        0x28 | 0x2A => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
        }
        0xA8 | 0xAA => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[6..10].copy_from_slice(&blocks.to_be_bytes());
        }
        _ => {
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
    }
}

/// Compares byte by byte, with a message that names the places.
#[track_caller]
fn assert_same(found: &[u8], wanted: &[u8], case: &str) {
    assert_eq!(found.len(), wanted.len(), "{case}: as long as the parent's");
    let places: Vec<_> = found
        .iter()
        .zip(wanted)
        .enumerate()
        .filter(|(_, (found, wanted))| found != wanted)
        .map(|(place, (found, wanted))| format!("{place}: {found:#04x} for {wanted:#04x}"))
        .collect();
    assert!(places.is_empty(), "{case}: {places:?}");
}

/// What the sender may find changed in its block when the request is done.
#[track_caller]
fn assert_only_results_changed(block: &Block, returned: &Returned) {
    let at = block.at;
    let results = [
        at.srb_status..at.srb_status + 1,
        at.scsi_status..at.scsi_status + 1,
        at.length..at.length + 4,
    ];
    let system = at.system_status..at.system_status + 4;
    for place in returned.changed() {
        let allowed = results.iter().any(|range| range.contains(&place))
            || block.is_extended() && system.contains(&place);
        assert!(allowed, "byte {place} of the parent's block changed");
    }
    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
    assert_eq!(returned.scsi_status(), 0);
    assert_eq!(returned.sense, [UNTOUCHED; SENSE_ROOM]);
}

/// Sends one request of four pieces and checks each block that arrives for it: every attempt.
fn clones_of(stack: &Stack, block: &Block, buffer: &Buffer, attempts: usize, case: &str) {
    stack.port().forget_records();
    let parent = post(block).buffer(buffer).sense_room(100).send(stack);
    let whole = read_write(&parent.sent[block.at.cdb..]).expect("a READ or WRITE");
    while !parent.is_done() {
        stack.port().complete_next(0);
        stack.idle();
    }
    let records = stack.port().transfers();
    assert_eq!(records.len(), 4 + attempts - 1, "{case}");
    for record in &records {
        let number = (record.lba - whole.lba) as u32 / BLOCKS;
        let wanted = expected(block, &parent, number, record);
        let found = &record.capture.as_ref().expect("captured").srb;
        assert_same(found, &wanted, &format!("{case}, piece {number}"));
        assert_ne!(record.irp, parent.irp(), "the parent itself is never sent");
        assert_ne!(record.srb, parent.address(), "nor is its block");
    }
    let returned = parent.wait();
    assert_eq!(returned.length() as usize, buffer.len(), "{case}");
    assert_only_results_changed(block, &returned);
}

#[test]
fn in_both_formats_and_every_layout() {
    for direction in BOTH {
        run(srb_pieces_of(PIECE), |stack| {
            stack.port().capture(true);
            let buffer = stack.buffer(4 * PIECE, 0);
            let mut random = Random::new(1);
            for form in [6, 10, 12, 16] {
                for round in 0..8 {
                    let cdb = draw_cdb(&mut random, direction, form, 64, 4 * BLOCKS);
                    for (layout, plain) in layouts(&cdb).into_iter().enumerate() {
                        let mut block = draw_fields(&mut random, plain);
                        if let Some(place) = block.at.rw_length {
                            let length = random.choose(&[0, 512, 4 * PIECE as u32]);
                            block.set(place, length.to_le_bytes());
                        }
                        let case = format!("READ/WRITE({form}), layout {layout}, round {round}");
                        clones_of(stack, &block, &buffer, 1, &case);
                    }
                }
            }
        });
    }
}

#[test]
fn on_every_attempt() {
    // The port overwrites address, tag and contexts of what it gets. Nothing of that is left on the
    // next attempt.
    for kind in [Kind::Busy, Kind::BusReset, Kind::UnitAttention] {
        let world = srb_pieces_of(PIECE).setting("MaxRetries", 3);
        run(world, |stack| {
            stack.port().capture(true);
            let buffer = stack.buffer(4 * PIECE, 0);
            let mut random = Random::new(2);
            let cdb = draw_cdb(&mut random, Direction::Write, 10, 64, 4 * BLOCKS);
            for (layout, plain) in layouts(&cdb).into_iter().enumerate() {
                let block = draw_fields(&mut random, plain);
                let lba = 64 + u64::from(BLOCKS);
                stack.port().clear_faults();
                stack.port().fault(Fault::new(kind).at_lba(lba).times(3));
                let case = format!("{kind:?}, layout {layout}");
                clones_of(stack, &block, &buffer, 4, &case);
            }
        });
    }
}

#[test]
fn on_every_rung_of_the_resource_ladder() {
    run(srb_pieces_of(PIECE), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        for block in layouts(&read_write_cdb(Direction::Read, 64, 4 * BLOCKS, 16)) {
            stack.port().forget_records();
            stack.port().clear_faults();
            stack
                .port()
                .fault(Fault::new(Kind::NoResourcesSrb).at_lba(64 + 4).times(2));
            let parent = post(&block).buffer(&buffer).send(stack);
            stack.idle();
            let at = block.at;
            let base = u64_at(&parent.sent, at.data_buffer);
            for record in stack.port().transfers() {
                let child = &record.capture.as_ref().expect("captured").srb;
                let offset = (record.lba - 64) * 512;
                assert_eq!(u64_at(child, at.data_buffer), base + offset);
                assert_eq!(u32_at(child, at.length), record.blocks * 512);
                assert_eq!(u64_at(child, at.client), u64_at(&parent.sent, at.client));
                assert_eq!(u64_at(child, at.original_request), record.irp as u64);
            }
            let returned = parent.wait();
            assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
            assert_eq!(returned.length() as usize, 4 * PIECE);
        }
    });
}

#[test]
fn the_parents_block_is_not_touched_before_the_end() {
    run(srb_pieces_of(PIECE).setting("Window", 2), |stack| {
        let buffer = stack.buffer(4 * PIECE, 0);
        let mut random = Random::new(3);
        for direction in BOTH {
            for plain in layouts(&read_write_cdb(direction, 0, 4 * BLOCKS, 10)) {
                let block = draw_fields(&mut random, plain);
                stack.port().hold(true);
                let parent = post(&block).buffer(&buffer).send(stack);
                for held in [2, 2, 2, 1] {
                    check(held, &stack.port().held().len(), &held);
                    assert_same(&parent.now(), &parent.sent, "while pieces are below");
                    assert_eq!(parent.sense_now(), [UNTOUCHED; SENSE_ROOM]);
                    assert!(!parent.is_done());
                    stack.port().complete_next(0);
                }
                assert!(parent.is_done());
                assert_only_results_changed(&block, &parent.wait());
            }
        }
    });
}

#[test]
fn pieces_in_flight_share_nothing() {
    run(srb_pieces_of(PIECE).setting("Window", 4), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        for block in layouts(&read_write_cdb(Direction::Read, 0, 4 * BLOCKS, 10)) {
            stack.port().forget_records();
            stack.port().hold(true);
            let parent = post(&block).buffer(&buffer).send(stack);
            stack.port().complete_all();
            let records = stack.port().transfers();
            let senses: Vec<u64> = records
                .iter()
                .map(|record| {
                    let child = &record.capture.as_ref().expect("captured").srb;
                    u64_at(child, block.at.sense_pointer)
                })
                .collect();
            for (number, record) in records.iter().enumerate() {
                for (other, sense) in records[..number].iter().zip(&senses) {
                    assert_ne!(record.srb, other.srb);
                    assert_ne!(record.irp, other.irp);
                    assert_ne!(record.mdl, other.mdl);
                    assert!(sense.abs_diff(senses[number]) >= 18);
                }
            }
            assert_eq!(parent.wait().raw_srb_status(), srb_status::SUCCESS);
        }
    });
}

#[test]
fn its_irp_says_what_the_parents_says() {
    run(srb_pieces_of(PIECE).setting("Pieces", 2), |stack| {
        let buffer = stack.buffer(4 * PIECE, 0);
        let mut random = Random::new(4);
        for round in 0..60 {
            let cdb = read_write_cdb(random.choose(&BOTH), 0, 4 * BLOCKS, 10);
            let block = Block::of(round % 2 == 0, &cdb);
            let stack_flags = random.next() as u8;
            let hint = random.below(5) as i32;
            let purpose = random.next() as u32 & PAGING;
            stack.port().forget_records();
            let parent = post(&block)
                .buffer(&buffer)
                .stack_flags(stack_flags)
                .irp_flags(purpose)
                .priority(hint)
                .send(stack);
            for record in stack.port().transfers() {
                check(round, &record.major, &15);
                check(round, &record.minor, &0);
                check(round, &record.stack_flags, &stack_flags);
                check(round, &record.priority, &(hint as u32));
                assert_eq!(record.mdls, 1, "one partial MDL");
                check(round, &(record.irp_flags & PAGING), &purpose);
            }
            assert_eq!(parent.wait().raw_srb_status(), srb_status::SUCCESS);
        }
    });
}

#[test]
fn control_codes_that_drivers_leave_beside_an_srb_change_nothing() {
    // IOCTL_SCSI_EXECUTE_IN, _OUT and _NONE (scsi.h), as cdrom.sys sets them; classpnp sets nothing.
    const EXECUTE: [usize; 4] = [0, 0x001B_0011, 0x001B_0012, 0x001B_0013];
    run(srb_pieces_of(PIECE), |stack| {
        let buffer = stack.buffer(4 * PIECE, 0);
        for code in EXECUTE {
            for extended in [false, true] {
                stack.port().forget_records();
                let block = Block::of(
                    extended,
                    &read_write_cdb(Direction::Read, 0, 4 * BLOCKS, 10),
                );
                let parent = post(&block)
                    .buffer(&buffer)
                    .others([0, code, 0])
                    .send(stack);
                assert_eq!(parent.wait().raw_srb_status(), srb_status::SUCCESS);
                check(code, &stack.port().transfers().len(), &4);
            }
        }
    });
}

#[test]
fn a_command_longer_than_it_need_be() {
    run(srb_pieces_of(PIECE), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        for form in [6, 10, 12] {
            let mut cdb = read_write_cdb(Direction::Read, 64, 4 * BLOCKS, form);
            cdb.resize(16, 0x5A);
            for block in layouts(&cdb) {
                clones_of(stack, &block, &buffer, 1, &format!("{form} of 16 bytes"));
            }
        }
    });
}

#[test]
fn data_in_the_middle_of_its_mdl() {
    // DataBuffer is an index into the MDL: the data may begin anywhere in it.
    run(srb_pieces_of(PIECE), |stack| {
        stack.port().capture(true);
        for data_at in [0, 512, 1024, 4096, 6144 + 512] {
            for extended in [false, true] {
                stack.port().forget_records();
                let buffer = stack.buffer(4 * PIECE + 8192, 512);
                let data = noise(data_at as u64, 4 * PIECE);
                stack.disk().poke(64 * 512, &data);
                buffer.fill(0xEE);
                let block = Block::of(
                    extended,
                    &read_write_cdb(Direction::Read, 64, 4 * BLOCKS, 10),
                );
                let parent = post(&block)
                    .buffer(&buffer)
                    .data_at(data_at)
                    .length(4 * PIECE as u32)
                    .send(stack);
                assert_eq!(parent.wait().raw_srb_status(), srb_status::SUCCESS);
                let bytes = buffer.bytes();
                assert!(bytes[data_at..data_at + 4 * PIECE] == data);
                assert!(bytes[..data_at].iter().all(|&byte| byte == 0xEE));
                assert!(
                    bytes[data_at + 4 * PIECE..]
                        .iter()
                        .all(|&byte| byte == 0xEE)
                );
                let base = buffer.address_of(data_at).addr() as u64;
                for record in stack.port().transfers() {
                    let child = &record.capture.as_ref().expect("captured").srb;
                    let offset = (record.lba - 64) * 512;
                    assert_eq!(u64_at(child, block.at.data_buffer), base + offset);
                }
            }
        }
    });
}

#[test]
fn the_sender_may_look_like_anybody() {
    // A tag that forbids reordering goes down with every piece, and so does its lack.
    run(srb_pieces_of(PIECE), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        for tag in [SIMPLE, HEAD_OF_QUEUE, ORDERED, 0, 0x2D] {
            for flags in [0, flag::NO_QUEUE_FREEZE, flag::QUEUE_ACTION_ENABLE] {
                for extended in [false, true] {
                    let cdb = read_write_cdb(Direction::Write, 64, 4 * BLOCKS, 10);
                    let block = Block::of(extended, &cdb);
                    let block = block.clone().with(block.at.tag, [tag]);
                    let block = block.flags(|_| flag::DATA_OUT | flags);
                    let case = format!("tag {tag:#x}, flags {flags:#x}");
                    clones_of(stack, &block, &buffer, 1, &case);
                }
            }
        }
    });
}

#[test]
fn whatever_time_the_port_takes() {
    for completion in [Completion::Inline, Completion::Later(1..300)] {
        let hba = common::adapter(PIECE, 2)
            .completion(completion)
            .maps_mdl(true);
        let world = srb_pieces_of(PIECE).hba(hba);
        run(world, |stack| {
            stack.port().capture(true);
            let mut random = Random::new(5);
            for direction in BOTH {
                let buffer = stack.buffer(4 * PIECE, 0);
                let data = noise(6, 4 * PIECE);
                buffer.write(0, &data);
                for plain in layouts(&read_write_cdb(direction, 64, 4 * BLOCKS, 12)) {
                    let block = draw_fields(&mut random, plain);
                    clones_of(stack, &block, &buffer, 1, "a busy port");
                }
                if direction == Direction::Write {
                    assert!(on_disk(stack.disk(), 64 * 512, 4 * PIECE) == data);
                }
            }
        });
    }
}
