//! Corners of the SRB shape: adapters that leave no legal split, buffers that the adapter's alignment
//! forbids, senders at DISPATCH_LEVEL, thousands of pieces that complete inside the dispatch routine,
//! and a device that is stopped and started again.

mod common;

use common::block::{Block, srb_status};
use common::post::{Returned, post};
use common::{
    BOTH, Exchange, adapter, assert_told_once, check, logged, run, run_unchecked, srb_pieces_of,
    world,
};
use ntsim::abi::{
    SRB_FUNCTION_RESET_BUS, SRB_FUNCTION_RESET_LOGICAL_UNIT, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_IO_TIMEOUT,
};
use ntsim::port::{Completion, Disk, Fault, Hba, Kind, OnViolation};
use ntsim::world::read_write_cdb;
use ntsim::{Shape, Stack, World, ke};

/// Sends all of an exchange as one SRB of this format.
fn send(stack: &Stack, exchange: &Exchange, lba: u64, extended: bool) -> Returned {
    let blocks = (exchange.buffer().len() / 512) as u32;
    let cdb = read_write_cdb(exchange.direction(), lba, blocks, 16);
    let block = Block::of(extended, &cdb);
    post(&block).buffer(exchange.buffer()).send(stack).wait()
}

/// All of it moved.
#[track_caller]
fn assert_whole(stack: &Stack, exchange: &Exchange, returned: &Returned) {
    assert_told_once(&returned.done);
    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
    assert_eq!(returned.length() as usize, exchange.buffer().len());
    assert!(exchange.is_complete(stack), "every byte in its place");
}

fn one_page() -> World {
    let hba = Hba::profile("one-page").on_violation(OnViolation::Record);
    world().shape(Shape::Srb).hba(hba)
}

#[test]
fn no_legal_split_because_the_adapter_says_so() {
    // A sector that crosses a page, on an adapter of one page: Windows sends a page at a time anyway.
    let ((), report) = run_unchecked(one_page(), |stack| {
        for direction in BOTH {
            for extended in [false, true] {
                for (length, pieces) in [(512, 1), (4096, 1), (0x1_0000, 16)] {
                    stack.port().forget_records();
                    let exchange = Exchange::new(stack, direction, 0, length, 256, 1);
                    assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
                    let records = stack.port().transfers();
                    check((length, extended), &records.len(), &pieces);
                    // In one piece it is the sender's own request.
                    if pieces == 1 {
                        assert!(!records[0].filter_routine);
                    }
                }
                // What has a legal split gets it.
                stack.port().forget_records();
                let exchange = Exchange::new(stack, direction, 0, 0x1_0000, 512, 2);
                assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
                let records = stack.port().transfers();
                assert!(records.iter().all(|record| record.span_pages == 1));
            }
        }
    });
    assert_eq!(
        logged(&report, "leave no legal split").len(),
        1,
        "said once"
    );
}

#[test]
fn no_legal_split_because_a_setting_says_so() {
    run(one_page().setting("MaximumPhysicalPages", 1), |stack| {
        for direction in BOTH {
            for extended in [false, true] {
                for length in [4096, 0x1_0000] {
                    let exchange = Exchange::new(stack, direction, 0, length, 256, 3);
                    let returned = send(stack, &exchange, 0, extended);
                    assert_told_once(&returned.done);
                    assert_eq!(returned.raw_srb_status(), srb_status::INVALID_REQUEST);
                    assert_eq!(returned.done.status, STATUS_INVALID_DEVICE_REQUEST);
                    assert_eq!(returned.length(), 0);
                }
            }
        }
        assert_eq!(stack.port().transfers().len(), 0, "nothing was sent");
    });
}

#[test]
fn a_buffer_that_breaks_the_adapters_alignment_is_cut_at_sectors() {
    let hba = adapter(16384, 5)
        .alignment_mask(1023)
        .on_violation(OnViolation::Record);
    run_unchecked(world().shape(Shape::Srb).hba(hba), |stack| {
        for direction in BOTH {
            for extended in [false, true] {
                for length in [512, 0x1_0000] {
                    let exchange = Exchange::new(stack, direction, 0, length, 512, 4);
                    assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
                }
            }
        }
        for record in stack.port().transfers() {
            assert!(record.bytes <= 16384 && record.span_pages <= 5);
        }
    });
}

#[test]
fn sent_at_dispatch_level() {
    // A class driver starts requests from its DPC.
    for completion in [Completion::Inline, Completion::Later(1..300)] {
        let hba = adapter(4096, 2).completion(completion).maps_mdl(true);
        let world = srb_pieces_of(4096).hba(hba).setting("Pieces", 2);
        run(world, |stack| {
            for extended in [false, true] {
                let exchanges: Vec<Exchange> = (0..4_u64)
                    .map(|number| Exchange::new(stack, BOTH[1], number << 20, 0x8000, 512, number))
                    .collect();
                let sent: Vec<_> = ke::raise_to_dispatch(|| {
                    let posts = exchanges.iter().enumerate().map(|(number, exchange)| {
                        let cdb = read_write_cdb(BOTH[1], (number as u64) << 11, 64, 10);
                        let block = Block::of(extended, &cdb);
                        post(&block).buffer(exchange.buffer()).send(stack)
                    });
                    posts.collect()
                });
                for (sent, exchange) in sent.into_iter().zip(&exchanges) {
                    assert_whole(stack, exchange, &sent.wait());
                }
            }
        });
    }
}

/// The most stack that a request of so many pieces uses, in bytes.
fn depth(stack: &Stack, pieces: usize, extended: bool) -> usize {
    let buffer = stack.buffer_pattern(pieces * 512, 0, PERIOD);
    let cdb = read_write_cdb(BOTH[0], 0, pieces as u32, 16);
    let block = Block::of(extended, &cdb);
    stack.machine().reset_stack_high_water();
    let returned = post(&block).buffer(&buffer).send(stack).wait();
    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
    assert_eq!(returned.length() as usize, pieces * 512);
    assert!(buffer.matches_pattern(0), "every byte arrived");
    stack.machine().stack_high_water()
}

#[test]
#[cfg_attr(miri, ignore = "too many bytes to look at each")]
fn ten_thousand_pieces_that_complete_at_once_need_no_more_stack_than_a_thousand() {
    for always_pending in [true, false] {
        let hba = adapter(512, 2).always_pending(always_pending);
        let world = world().shape(Shape::Srb).hba(hba);
        run(world.disk(Disk::pattern(1 << 20, 512, PERIOD)), |stack| {
            stack.port().keep_records(0);
            for extended in [false, true] {
                let few = depth(stack, 1_000, extended);
                let many = depth(stack, 10_000, extended);
                assert!(few > 0, "the stack is measured");
                assert!(many <= few + 256, "{many} bytes, {few} bytes");
            }
        });
    }
}

#[test]
fn stopped_and_started_again() {
    run(srb_pieces_of(4096), |stack| {
        for round in 0..3 {
            for extended in [false, true] {
                let exchange = Exchange::new(stack, BOTH[1], 0, 0x8000, 512, round);
                assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
            }
            stack.stop().expect("it may be stopped");
            stack.start().expect("and started");
        }
    });
}

#[test]
fn a_piece_that_hangs_ends_by_the_senders_own_timeout() {
    const SECOND: u64 = 10_000_000;
    for reset in [false, true] {
        for extended in [false, true] {
            let hba = adapter(4096, 2).reset_on_timeout(reset);
            let world = srb_pieces_of(4096).hba(hba).setting("Window", 4);
            run(world, |stack| {
                stack.port().fault(Fault::new(Kind::Hang).at_lba(8));
                let exchange = Exchange::new(stack, BOTH[1], 0, 0x8000, 0, 5);
                let block = Block::of(extended, &read_write_cdb(BOTH[1], 0, 64, 10));
                let timeout = block.at.timeout;
                let block = block.with(timeout, 7_u32.to_le_bytes());
                let before = stack.machine().now();
                let request = post(&block).buffer(exchange.buffer());
                let returned = request.send(stack).wait();
                let waited = stack.machine().now() - before;
                assert_eq!(returned.raw_srb_status(), 0x0B, "COMMAND_TIMEOUT");
                assert_eq!(returned.done.status, STATUS_IO_TIMEOUT);
                assert_eq!(waited / SECOND, 7, "nobody else's timeout");
                assert!(
                    stack
                        .port()
                        .transfers()
                        .iter()
                        .all(|record| record.timeout == 7)
                );
                assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
            });
        }
    }
}

#[test]
fn a_reset_ends_what_is_in_flight_and_nothing_follows() {
    for function in [SRB_FUNCTION_RESET_LOGICAL_UNIT, SRB_FUNCTION_RESET_BUS] {
        for extended in [false, true] {
            run(srb_pieces_of(4096).setting("Window", 3), |stack| {
                stack.port().hold(true);
                let exchange = Exchange::new(stack, BOTH[1], 0, 0x8000, 0, 6);
                let block = Block::of(extended, &read_write_cdb(BOTH[1], 0, 64, 10));
                let sent = post(&block).buffer(exchange.buffer()).send(stack);
                stack.port().complete_next(0);
                stack.srb_function(function).send().wait();
                assert!(sent.is_done(), "the reset ended all of it");
                let returned = sent.wait();
                assert_eq!(returned.raw_srb_status(), 0x0E, "BUS_RESET");
                assert_eq!(returned.length(), 4096, "one piece was back before");
                assert_eq!(stack.port().transfers().len(), 4);
                stack.port().hold(false);
                assert_whole(stack, &exchange, &send(stack, &exchange, 0, extended));
            });
        }
    }
}

/// Host pages behind the pattern of disk and memory.
const PERIOD: usize = 16;

/// A disk of 8 GiB that needs no memory.
fn endless(piece: usize) -> World {
    srb_pieces_of(piece).disk(Disk::pattern(1 << 24, 512, PERIOD))
}

#[test]
#[cfg_attr(miri, ignore = "too many bytes to look at each")]
fn a_gibibyte_in_one_request() {
    const LENGTH: usize = 1 << 30;
    for extended in [false, true] {
        run(endless(1 << 20), |stack| {
            stack.port().track_placement(true);
            let buffer = stack.buffer_pattern(LENGTH, 512, PERIOD);
            let cdb = read_write_cdb(BOTH[0], 0, (LENGTH / 512) as u32, 16);
            let block = Block::of(extended, &cdb);
            let returned = post(&block).buffer(&buffer).send(stack).wait();
            assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
            assert_eq!(returned.length() as usize, LENGTH);
            assert_eq!(
                stack.port().placement(),
                buffer.placement(BOTH[0], 0, LENGTH, 512),
                "every sector in its place, once"
            );
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too many bytes to look at each")]
fn the_longest_length_that_an_srb_can_say() {
    // One sector less than 4 GiB: nothing overflows, and the last piece is the one that is short.
    const LENGTH: u64 = (1 << 32) - 512;
    run(endless(1 << 20).setting("Window", 1), |stack| {
        let buffer = stack.buffer_pattern(LENGTH as usize, 0, PERIOD);
        let blocks = (LENGTH / 512) as u32;
        let block = Block::of(true, &read_write_cdb(BOTH[1], 0, blocks, 16));
        let last = Fault::new(Kind::MediumError).at_lba(u64::from(blocks) - 1);
        stack.port().fault(last);
        let returned = post(&block).buffer(&buffer).send(stack).wait();
        assert_eq!(returned.srb_status(), srb_status::ERROR);
        assert_eq!(u64::from(returned.length()), LENGTH - ((1 << 20) - 512));
        assert_eq!(stack.port().transfers().len(), 4096);
    });
}
