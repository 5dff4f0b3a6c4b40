//! A large SRB that contradicts itself is refused at once, in the words of a port driver, before
//! anything is sent: the next request is served as if nothing had been.

mod common;

use common::block::{Block, srb_status};
use common::post::{UNTOUCHED, post};
use common::{BOTH, check, run, srb_pieces_of};
use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::Direction;
use ntsim::world::{Mdl, Scsi, read_write_cdb};
use ntsim::{Buffer, Stack};

const PIECE: usize = 4096;
const LENGTH: usize = 8 * PIECE;
const BLOCKS: u32 = (LENGTH / 512) as u32;

/// Sends an oversize request that cannot be right: refused at once, nothing sent, the next one works.
#[track_caller]
fn is_refused(stack: &Stack, request: Scsi<'_>, case: &str) {
    let before = stack.port().counts().arrived;
    let sent = request.send();
    assert_eq!(
        sent.returned(),
        STATUS_INVALID_DEVICE_REQUEST,
        "{case}: at once"
    );
    let done = sent.wait();
    assert_eq!(done.irp.status, STATUS_INVALID_DEVICE_REQUEST, "{case}");
    assert!(!done.irp.pending_returned, "{case}");
    assert_eq!(done.irp.completions, 1, "{case}");
    assert_eq!(done.irp.information, 0, "{case}");
    assert_eq!(done.srb_status, srb_status::INVALID_REQUEST, "{case}");
    assert!(!done.frozen, "{case}");
    assert_eq!(done.sense, None, "{case}");
    assert_eq!(done.data_length, 0, "{case}: nothing moved");
    assert_eq!(
        stack.port().counts().arrived,
        before,
        "{case}: nothing was sent"
    );
}

/// A large READ or WRITE over all of `buffer`.
fn large<'s>(stack: &'s Stack, direction: Direction, buffer: &Buffer, extended: bool) -> Scsi<'s> {
    let cdb = read_write_cdb(direction, 64, BLOCKS, 10);
    stack.scsi(&cdb).buffer(buffer).extended(extended)
}

/// Both directions in both formats, on an honest adapter.
fn each(scenario: impl Fn(&Stack, Direction, bool, &Buffer) + Sync) {
    run(srb_pieces_of(PIECE), |stack| {
        let buffer = stack.buffer(LENGTH, 0);
        for direction in BOTH {
            for extended in [false, true] {
                scenario(stack, direction, extended, &buffer);
                let done = large(stack, direction, &buffer, extended).send().wait();
                check(extended, &done.srb_status, &srb_status::SUCCESS);
            }
        }
    });
}

#[test]
fn data_outside_its_mdl() {
    each(|stack, direction, extended, buffer| {
        for shift in [
            1,
            512,
            4096,
            LENGTH as i64,
            1 << 40,
            -1,
            -512,
            -4096,
            -(1 << 40),
        ] {
            let request = large(stack, direction, buffer, extended).data_shift(shift);
            is_refused(stack, request, &format!("shifted by {shift}"));
        }
        for length in [512, LENGTH as u32 - 1, LENGTH as u32 - 512] {
            let request = large(stack, direction, buffer, extended).mdl(Mdl::Length(length));
            is_refused(stack, request, &format!("an MDL of {length} bytes"));
        }
    });
}

#[test]
fn no_mdl_and_a_chain_of_mdls() {
    each(|stack, direction, extended, buffer| {
        let request = large(stack, direction, buffer, extended).mdl(Mdl::None);
        is_refused(stack, request, "no MDL");
        for cuts in [
            vec![4096],
            vec![512],
            vec![4096, 8192],
            vec![LENGTH as u32 - 512],
        ] {
            let case = format!("a chain, cut at {cuts:?}");
            let request = large(stack, direction, buffer, extended).mdl(Mdl::Chain(cuts));
            is_refused(stack, request, &case);
        }
    });
}

#[test]
fn a_command_that_disagrees_with_the_length() {
    each(|stack, direction, extended, buffer| {
        for blocks in [BLOCKS - 1, BLOCKS + 1, BLOCKS * 2, 3, 7, 0xFFFF] {
            let cdb = read_write_cdb(direction, 64, blocks, 10);
            let request = stack.scsi(&cdb).buffer(buffer).extended(extended);
            is_refused(stack, request, &format!("{blocks} blocks"));
        }
        // Sectors of 256 bytes and of 528: no disk of ours has those.
        for blocks in [BLOCKS * 2, (LENGTH / 528) as u32] {
            let cdb = read_write_cdb(direction, 64, blocks, 16);
            let request = stack.scsi(&cdb).buffer(buffer).extended(extended);
            let odd = request.length(if blocks == BLOCKS * 2 {
                LENGTH as u32
            } else {
                528 * blocks
            });
            is_refused(stack, odd, "an impossible sector");
        }
        for length in [LENGTH as u32 - 1, LENGTH as u32 - 256] {
            let request = large(stack, direction, buffer, extended).length(length);
            is_refused(stack, request, &format!("{length} bytes"));
        }
    });
}

#[test]
fn blocks_beyond_what_the_command_can_count() {
    // The whole request is what its sender made it, but the last pieces could not be named.
    each(|stack, direction, extended, buffer| {
        for (form, last) in [
            (6, 0x1F_FFFF_u64),
            (10, 0xFFFF_FFFF),
            (12, 0xFFFF_FFFF),
            (16, u64::MAX),
        ] {
            let mut cdb = read_write_cdb(direction, 0, BLOCKS, form);
            let lba = last - 3;
            match form {
                6 => cdb[1..4].copy_from_slice(&(lba as u32).to_be_bytes()[1..]),
                10 | 12 => cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes()),
                _ => cdb[2..10].copy_from_slice(&lba.to_be_bytes()),
            }
            let request = stack.scsi(&cdb).buffer(buffer).extended(extended);
            is_refused(stack, request, &format!("{form} bytes"));
        }
    });
}

#[test]
fn a_refusal_leaves_the_senders_block_alone() {
    run(srb_pieces_of(PIECE), |stack| {
        let buffer = stack.buffer(LENGTH, 0);
        for extended in [false, true] {
            let cdb = read_write_cdb(Direction::Read, 64, BLOCKS - 1, 10);
            let block = Block::of(extended, &cdb);
            let at = block.at;
            let sent = post(&block).buffer(&buffer).send(stack);
            assert_eq!(sent.returned(), STATUS_INVALID_DEVICE_REQUEST);
            let returned = sent.wait();
            for place in returned.changed() {
                let results = [at.srb_status..at.srb_status + 1, at.length..at.length + 4];
                assert!(
                    results.iter().any(|range| range.contains(&place)),
                    "byte {place}"
                );
            }
            assert!(returned.sense.iter().all(|&byte| byte == UNTOUCHED));
        }
    });
}
