//! A failed piece fails the request, with the status of the failing piece that lies first on the
//! disk, whatever order the pieces come back in; and nothing more is sent.

mod common;

use common::{
    BOTH, Exchange, FINAL, RETRYABLE, assert_failure, assert_success, check, complete_in_order,
    every_order, moves, pieces_of, run, status_of,
};
use ntsim::Stack;
use ntsim::abi::{STATUS_DEVICE_NOT_CONNECTED, STATUS_NO_SUCH_DEVICE, STATUS_VERIFY_REQUIRED};
use ntsim::port::{Direction, Fault, Kind};

/// Bytes of a piece in this file.
const PIECE: usize = 8192;
/// Blocks of a piece.
const BLOCKS: u64 = 16;

/// Sends a request of `count` pieces to an adapter that holds them, and completes them in `order`
/// with the ends that `end` says; the pieces that reached the adapter.
#[track_caller]
fn by_hand(
    stack: &Stack,
    direction: Direction,
    count: usize,
    order: &[usize],
    end: impl Fn(usize) -> Option<Kind>,
) -> ntsim::Done {
    stack.port().hold(true);
    let exchange = Exchange::new(stack, direction, 0, count * PIECE, 0, 1);
    let pending = exchange.transfer(stack).send();
    assert_eq!(
        stack.port().held().len(),
        count,
        "all of them fit the window"
    );
    complete_in_order(stack, order, 0, BLOCKS, &end);
    let done = pending.wait();
    if done.succeeded() {
        assert!(exchange.is_complete(stack));
    }
    done
}

#[test]
fn any_one_piece_with_any_error() {
    for direction in BOTH {
        let world = pieces_of(PIECE).setting("MaxRetries", 0);
        run(world, |stack| {
            for count in 1..=6_usize {
                for position in 0..count {
                    for kind in FINAL.into_iter().chain(RETRYABLE) {
                        let bad = position as u64 * BLOCKS;
                        stack.port().clear_faults();
                        stack.port().fault(Fault::new(kind).at_lba(bad));
                        let exchange = Exchange::new(stack, direction, 0, count * PIECE, 0, 2);
                        let done = exchange.transfer(stack).send().wait();
                        assert_failure(&done, status_of(kind));
                    }
                }
            }
            stack.port().clear_faults();
            moves(stack, &Exchange::new(stack, direction, 0, 6 * PIECE, 0, 3));
        });
    }
}

#[test]
fn the_pieces_before_it_have_moved_and_none_behind_it_is_sent() {
    // Completed inline, so the failure is known before the next piece would be sent.
    run(pieces_of(PIECE), |stack| {
        for position in 0..6_usize {
            stack.port().clear_faults();
            stack.port().forget_records();
            let bad = position as u64 * BLOCKS;
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(bad));
            let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 4);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, status_of(Kind::MediumError));
            check(position, &stack.port().transfers().len(), &(position + 1));
            let moved = exchange.moved(stack, 0..position * PIECE);
            check(position, &moved, &(position * PIECE));
            check(
                position,
                &exchange.moved(stack, position * PIECE..6 * PIECE),
                &0,
            );
        }
    });
}

#[test]
fn in_every_order_of_completion() {
    for direction in BOTH {
        let world = pieces_of(PIECE)
            .setting("Window", 4)
            .setting("MaxRetries", 0);
        run(world, |stack| {
            for count in 1..=4 {
                for order in every_order(count) {
                    let done = by_hand(stack, direction, count, &order, |_| None);
                    assert_success(&done, count * PIECE);
                    for bad in 0..count {
                        for kind in [Kind::MediumError, Kind::Busy, Kind::Timeout] {
                            let done = by_hand(stack, direction, count, &order, |piece| {
                                (piece == bad).then_some(kind)
                            });
                            assert_failure(&done, status_of(kind));
                        }
                    }
                }
            }
        });
    }
}

#[test]
fn of_two_errors_the_first_on_the_disk_is_told() {
    let world = pieces_of(PIECE)
        .setting("Window", 4)
        .setting("MaxRetries", 0);
    run(world, |stack| {
        let kinds = [
            (Kind::MediumError, Kind::HardwareError),
            (Kind::HardwareError, Kind::MediumError),
            (Kind::Timeout, Kind::MediumError),
        ];
        for order in every_order(4) {
            for low in 0..4 {
                for high in low + 1..4 {
                    for (first, second) in kinds {
                        let done = by_hand(stack, Direction::Read, 4, &order, |piece| {
                            let second = (piece == high).then_some(second);
                            if piece == low { Some(first) } else { second }
                        });
                        assert_failure(&done, status_of(first));
                    }
                }
            }
        }
    });
}

#[test]
fn a_change_of_medium_and_a_vanished_device_outrank_their_place() {
    let world = pieces_of(PIECE)
        .setting("Window", 3)
        .setting("MaxRetries", 0);
    run(world, |stack| {
        let cases = [
            (
                [Kind::MediumError, Kind::VerifyRequired],
                STATUS_VERIFY_REQUIRED,
            ),
            (
                [Kind::VerifyRequired, Kind::MediumError],
                STATUS_VERIFY_REQUIRED,
            ),
            ([Kind::MediumError, Kind::NoDevice], STATUS_NO_SUCH_DEVICE),
            (
                [Kind::VerifyRequired, Kind::NoDevice],
                STATUS_NO_SUCH_DEVICE,
            ),
            (
                [Kind::NoDevice, Kind::VerifyRequired],
                STATUS_NO_SUCH_DEVICE,
            ),
            (
                [Kind::SelectionTimeout, Kind::NoDevice],
                STATUS_DEVICE_NOT_CONNECTED,
            ),
        ];
        for order in every_order(3) {
            for ([first, last], status) in cases {
                let done = by_hand(stack, Direction::Write, 3, &order, |piece| match piece {
                    0 => Some(first),
                    2 => Some(last),
                    _ => None,
                });
                assert_failure(&done, status);
            }
        }
    });
}

#[test]
fn only_what_was_in_flight_follows_a_failure() {
    const COUNT: usize = 8;
    for window in 1..=4_usize {
        let world = pieces_of(PIECE)
            .setting("Window", window as u32)
            .setting("MaxRetries", 0);
        run(world, |stack| {
            for bad in 0..COUNT {
                for low_first in [true, false] {
                    stack.port().hold(true);
                    stack.port().forget_records();
                    let exchange = Exchange::new(stack, Direction::Write, 0, COUNT * PIECE, 0, 5);
                    let pending = exchange.transfer(stack).send();
                    let before: Vec<usize> = (0..bad).collect();
                    complete_in_order(stack, &before, 0, BLOCKS, |_| None);
                    complete_in_order(stack, &[bad], 0, BLOCKS, |_| Some(Kind::MediumError));
                    while !stack.port().held().is_empty() {
                        let last = stack.port().held().len() - 1;
                        assert!(!pending.is_done(), "pieces of it are in flight");
                        stack.port().complete_next(if low_first { 0 } else { last });
                    }
                    assert_failure(&pending.wait(), status_of(Kind::MediumError));
                    let sent = stack.port().transfers().len();
                    check((window, bad), &sent, &COUNT.min(bad + window));
                }
            }
        });
    }
}

#[test]
fn a_device_that_refuses_a_request_is_heard() {
    // Beyond the end of the disk, and on a write-protected disk.
    use ntsim::abi::{STATUS_MEDIA_WRITE_PROTECTED, STATUS_NONEXISTENT_SECTOR};
    use ntsim::port::Disk;
    let world = pieces_of(PIECE).disk(Disk::memory(48, 512).write_protected(true));
    run(world, |stack| {
        let buffer = stack.buffer(4 * PIECE, 0);
        let beyond = stack.read(0, &buffer).send().wait();
        assert_failure(&beyond, STATUS_NONEXISTENT_SECTOR);
        let buffer = stack.buffer(2 * PIECE, 0);
        let protected = stack.write(0, &buffer).send().wait();
        assert_failure(&protected, STATUS_MEDIA_WRITE_PROTECTED);
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 6),
        );
    });
}
