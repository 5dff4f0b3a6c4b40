//! A short last piece counts for what it moved; a short piece before the end leaves a hole, and a
//! request with a hole is no success.

mod common;

use common::{
    BOTH, Exchange, assert_failure, assert_success, check, complete_in_order, every_order,
    pieces_of, run,
};
use ntsim::abi::STATUS_IO_DEVICE_ERROR;
use ntsim::port::{Direction, Fault, Kind};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;

#[test]
fn first_middle_and_last_by_every_number_of_bytes() {
    for direction in BOTH {
        run(pieces_of(PIECE), |stack| {
            for count in 1..=5_usize {
                for short in 0..count {
                    for moved in (0..PIECE).step_by(512) {
                        let at = short as u64 * BLOCKS;
                        let fault = Fault::new(Kind::Short).at_lba(at).bytes(moved as u32);
                        stack.port().clear_faults();
                        stack.port().fault(fault);
                        let exchange = Exchange::new(stack, direction, 0, count * PIECE, 0, 1);
                        let done = exchange.transfer(stack).send().wait();
                        let reached = short * PIECE + moved;
                        if short + 1 == count {
                            assert_success(&done, reached);
                            let case = (direction, count, moved);
                            check(case, &exchange.moved(stack, 0..reached), &reached);
                            check(case, &exchange.moved(stack, reached..count * PIECE), &0);
                        } else {
                            assert_failure(&done, STATUS_IO_DEVICE_ERROR);
                        }
                    }
                }
            }
        });
    }
}

#[test]
fn whatever_the_order_of_completion() {
    let world = pieces_of(PIECE).setting("Window", 4);
    run(world, |stack| {
        for order in every_order(4) {
            for short in 0..4 {
                stack.port().clear_faults();
                stack.port().hold(true);
                let fault = Fault::new(Kind::Short)
                    .at_lba(short as u64 * BLOCKS)
                    .bytes(512);
                stack.port().fault(fault);
                let exchange = Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 2);
                let pending = exchange.transfer(stack).send();
                complete_in_order(stack, &order, 0, BLOCKS, |_| None);
                let done = pending.wait();
                if short == 3 {
                    assert_success(&done, 3 * PIECE + 512);
                } else {
                    assert_failure(&done, STATUS_IO_DEVICE_ERROR);
                }
            }
        }
    });
}

#[test]
fn a_short_end_does_not_excuse_a_hole() {
    run(pieces_of(PIECE), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::Short).at_lba(0).bytes(3584));
        stack
            .port()
            .fault(Fault::new(Kind::Short).at_lba(BLOCKS).bytes(3584));
        let exchange = Exchange::new(stack, Direction::Write, 0, 2 * PIECE, 0, 3);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_IO_DEVICE_ERROR);
    });
}

#[test]
fn an_error_outranks_a_hole() {
    use ntsim::abi::STATUS_DEVICE_DATA_ERROR;
    let world = pieces_of(PIECE).setting("Window", 3);
    run(world, |stack| {
        for order in every_order(3) {
            stack.port().clear_faults();
            stack.port().hold(true);
            stack.port().fault(Fault::new(Kind::Short).at_lba(0));
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(2 * BLOCKS));
            let exchange = Exchange::new(stack, Direction::Read, 0, 3 * PIECE, 0, 4);
            let pending = exchange.transfer(stack).send();
            complete_in_order(stack, &order, 0, BLOCKS, |_| None);
            assert_failure(&pending.wait(), STATUS_DEVICE_DATA_ERROR);
        }
    });
}

#[test]
fn a_hole_stops_the_rest() {
    // Inline, so that the hole is known before the next piece is due.
    run(pieces_of(PIECE), |stack| {
        stack.port().fault(Fault::new(Kind::Short).at_lba(BLOCKS));
        let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 5);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_IO_DEVICE_ERROR);
        assert_eq!(stack.port().transfers().len(), 2);
    });
}

#[test]
fn a_short_step_of_the_resource_ladder_is_a_hole_too() {
    run(pieces_of(PIECE), |stack| {
        // The second piece is cut in half for want of resources, and its first half comes back short.
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesSrb).at_lba(BLOCKS));
        stack
            .port()
            .fault(Fault::new(Kind::Short).at_lba(BLOCKS).bytes(512));
        let exchange = Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 6);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_IO_DEVICE_ERROR);
    });
    run(pieces_of(PIECE), |stack| {
        // The same with its second half: that one is the end of the request.
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesSrb).at_lba(BLOCKS));
        let last = Fault::new(Kind::Short).at_lba(BLOCKS + 4).bytes(512);
        stack.port().fault(last);
        let exchange = Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 7);
        let done = exchange.transfer(stack).send().wait();
        assert_success(&done, PIECE + 2048 + 512);
    });
}
