//! The shapes beneath and above a class driver, small enough to run under Miri: request blocks of
//! both formats cloned and told how they ended, and replies rewritten on their way up.
//!
//! `cargo +nightly miri test --test miri_srb_scenarios miri_`

mod common;

use common::{driver, run, run_unchecked, world};
use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::{Direction, Disk, Fault, Kind};
use ntsim::world::{Shape, StackKind, read_write_cdb};
use ntsim::{Stack, World};

/// Few bytes: Miri looks at each.
const PIECE: usize = 1024;
const BLOCKS: u64 = 2;

/// `IOCTL_STORAGE_QUERY_PROPERTY` and `IOCTL_SCSI_GET_CAPABILITIES`.
const QUERY_PROPERTY: u32 = 0x002D_1400;
const GET_CAPABILITIES: u32 = 0x0004_1010;

fn beneath() -> World {
    small(world()).shape(Shape::Srb)
}

fn small(world: World) -> World {
    world
        .hba(common::adapter(PIECE, 2))
        .disk(Disk::memory(1 << 10, 512))
        .setting("Pieces", 3)
        .setting("Window", 2)
}

/// Sends a READ or WRITE of `pieces` pieces in either format, and how it ended.
fn send(stack: &Stack, write: bool, pieces: usize, extended: bool) -> ntsim::world::ScsiDone {
    let direction = if write {
        Direction::Write
    } else {
        Direction::Read
    };
    let blocks = pieces as u32 * BLOCKS as u32;
    let buffer = stack.buffer(pieces * PIECE, 512);
    buffer.fill(0x5A);
    stack
        .scsi(&read_write_cdb(direction, 4, blocks, 10))
        .extended(extended)
        .buffer(&buffer)
        .sense_room(18)
        .send()
        .wait()
}

#[test]
fn miri_request_blocks_of_both_formats() {
    run(beneath(), |stack| {
        for extended in [false, true] {
            for write in [true, false] {
                let done = send(stack, write, 4, extended);
                assert_eq!((done.srb_status, done.data_length as usize), (1, 4 * PIECE));
            }
        }
        assert_eq!(stack.port().counts().writes, 8);
    });
}

#[test]
fn miri_a_failed_piece_of_a_request_block() {
    run(beneath(), |stack| {
        for extended in [false, true] {
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(4 + BLOCKS));
            let done = send(stack, false, 3, extended);
            let sense = done.sense.expect("the piece's sense data");
            assert_eq!((done.srb_status, sense.len(), sense[2] & 0x0F), (4, 18, 3));
        }
    });
}

#[test]
fn miri_a_request_block_that_contradicts_itself() {
    run(beneath(), |stack| {
        for extended in [false, true] {
            let buffer = stack.buffer(4 * PIECE, 0);
            let done = stack
                .scsi(&read_write_cdb(Direction::Read, 0, 7, 10))
                .extended(extended)
                .buffer(&buffer)
                .send()
                .wait();
            assert_eq!(done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
            assert_eq!((done.srb_status, done.data_length), (6, 0));
        }
        assert_eq!(stack.port().counts().reads, 0);
    });
}

#[test]
fn miri_request_blocks_that_wait_and_are_cancelled() {
    run(beneath(), |stack| {
        stack.port().hold(true);
        let buffer = stack.buffer(3 * PIECE, 0);
        let command = read_write_cdb(Direction::Read, 0, 3 * BLOCKS as u32, 10);
        let requests: Vec<_> = (0..4)
            .map(|_| stack.scsi(&command).buffer(&buffer).send())
            .collect();
        assert!(requests.last().expect("four of them").cancel());
        stack.port().hold(false);
        stack.port().complete_all();
        let ends: Vec<_> = requests
            .into_iter()
            .map(|request| request.wait().srb_status)
            .collect();
        assert_eq!(ends, [1, 1, 1, 2]);
    });
}

#[test]
fn miri_replies_with_the_effective_limits() {
    let world = beneath()
        .hba(common::adapter(1 << 20, 257))
        .setting("MaximumTransferLength", 0x1_0000);
    run(world, |stack| {
        let descriptor = stack.ioctl(QUERY_PROPERTY, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 32);
        let reply = descriptor.send().wait().output;
        assert_eq!(reply[8..16], [0, 0, 1, 0, 17, 0, 0, 0]);
        let reply = stack.ioctl(GET_CAPABILITIES, &[], 24).send().wait().output;
        assert_eq!(reply[4..12], [0, 0, 1, 0, 17, 0, 0, 0]);
    });
}

#[test]
fn miri_beneath_and_above_the_class_driver() {
    for kind in [StackKind::Disk, StackKind::Relay] {
        let world = World::new(driver()).stack(kind);
        let world = small(world)
            .hba(common::adapter(8192, 3))
            .setting("MaximumTransferLength", PIECE as u32);
        let world = world.setting("Advertise", 0);
        run_unchecked(world, |stack| {
            let buffer = stack.buffer(4 * PIECE, 512);
            buffer.fill(0xA5);
            assert!(stack.write(0, &buffer).send().wait().succeeded());
            assert!(stack.read(0, &buffer).send().wait().succeeded());
            assert_eq!(stack.port().counts().writes, 4);
            assert!(buffer.bytes().iter().all(|&byte| byte == 0xA5));
        });
    }
}
