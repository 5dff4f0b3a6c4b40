//! What no disk can serve is answered at once, with the status that disk.sys has for it, and the
//! controller never hears of it.

mod common;

use common::{BOTH, Exchange, PAGE, SECTOR, assert_failure, run, world};
use ntsim::abi::{STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER};

/// Bytes of the disk.
const CAPACITY: u64 = 1 << 23;

#[test]
fn a_length_or_a_place_that_is_not_whole_sectors() {
    let (operations, _) = run(world(), |stack| {
        let buffer = stack.buffer(4 * PAGE, 0);
        for (offset, length) in [(0, 1), (0, 511), (0, 513), (1, 512), (256, 4096), (511, 1)] {
            for done in [
                stack.read(offset, &buffer).length(length).send().wait(),
                stack.write(offset, &buffer).length(length).send().wait(),
            ] {
                assert_failure(&done, STATUS_INVALID_PARAMETER);
            }
        }
        stack.controller().operations().len()
    });
    assert_eq!(operations, 0);
}

#[test]
fn a_place_beyond_the_end() {
    let (operations, _) = run(world(), |stack| {
        let buffer = stack.buffer(2 * SECTOR, 0);
        let beyond = [
            CAPACITY - 512,
            CAPACITY,
            CAPACITY + 512,
            1 << 62,
            u64::MAX - 511,
            u64::MAX - 1023,
        ];
        for offset in beyond {
            assert_failure(
                &stack.read(offset, &buffer).send().wait(),
                STATUS_INVALID_PARAMETER,
            );
            assert_failure(
                &stack.write(offset, &buffer).send().wait(),
                STATUS_INVALID_PARAMETER,
            );
        }
        stack.controller().operations().len()
    });
    assert_eq!(operations, 0);
}

#[test]
fn the_last_sectors_are_served() {
    run(world(), |stack| {
        for direction in BOTH {
            Exchange::new(stack, direction, CAPACITY - 512, SECTOR, 0).moves(stack);
            Exchange::new(stack, direction, CAPACITY - 0x1_0000, 0x1_0000, 512).moves(stack);
        }
    });
}

#[test]
fn no_bytes_are_moved_at_once() {
    let (operations, _) = run(world(), |stack| {
        let buffer = stack.buffer(PAGE, 0);
        for done in [
            stack.read(0, &buffer).length(0).no_mdl().send().wait(),
            stack.write(512, &buffer).length(0).no_mdl().send().wait(),
        ] {
            common::assert_success(&done, 0);
        }
        stack.controller().operations().len()
    });
    assert_eq!(operations, 0);
}

#[test]
fn a_request_whose_memory_nobody_describes() {
    run(world(), |stack| {
        let buffer = stack.buffer(2 * PAGE, 0);
        let none = stack.read(0, &buffer).no_mdl().send().wait();
        assert_failure(&none, STATUS_INVALID_DEVICE_REQUEST);
        let short = stack
            .write(0, &buffer)
            .mdl_length(PAGE as u32)
            .send()
            .wait();
        assert_failure(&short, STATUS_INVALID_DEVICE_REQUEST);
    });
}

#[test]
fn a_buffer_that_begins_where_the_controller_can_not() {
    run(world(), |stack| {
        for page_offset in [1, 2, 3, 5, 4095] {
            let crooked = stack.buffer(4 * PAGE, page_offset);
            assert_failure(
                &stack.read(0, &crooked).send().wait(),
                STATUS_INVALID_PARAMETER,
            );
        }
        Exchange::new(stack, BOTH[0], 0, 4 * PAGE, 4).moves(stack);
    });
}

#[test]
fn a_sector_across_two_pages_on_a_single_register() {
    // No operation could move it; and of a request that holds such a sector nothing is sent.
    let (operations, _) = run(world().map_registers(1), |stack| {
        let crooked = stack.buffer(4 * PAGE, 256);
        assert_failure(
            &stack.read(0, &crooked).send().wait(),
            STATUS_INVALID_DEVICE_REQUEST,
        );
        let none = stack.controller().operations().len();
        // With whole sectors in each page it is served.
        Exchange::new(stack, BOTH[1], 0, 4 * PAGE, 512).moves(stack);
        none
    });
    assert_eq!(operations, 0);
}
