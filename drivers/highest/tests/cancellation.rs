//! A cancelled request ends between two portions: the one on its way is waited for, no other is sent,
//! and nothing stays locked.

mod common;

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, assert_failure, assert_success, lower, moves, portions,
    portions_of, run,
};
use ntsim::abi::{STATUS_CANCELLED, STATUS_DEVICE_HARDWARE_ERROR};
use ntsim::port::{Direction, Kind};
use ntsim::world::Sending;
use ntsim::{Process, Stack};

const COUNT: usize = 5;
const PAGES: usize = 2;
const PORTION: usize = PAGES * PAGE;

/// Starts a request of `COUNT` portions and lets `completed` of them move; another one is on its way
/// then.
fn in_the_middle(
    carriage: u32,
    direction: Direction,
    completed: usize,
    then: impl FnOnce(&Stack, &Process, &Exchange, Sending) + Send,
) {
    run(portions_of(PAGES, carriage), |stack| {
        stack.watch(lower(stack));
        stack.port().hold(true);
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, direction, 0, COUNT * PORTION, 0);
        let sending = exchange.transfer(stack).spawn("program");
        for _ in 0..completed {
            stack.idle();
            assert!(stack.port().complete_next(0));
        }
        stack.idle();
        assert_eq!(process.locked_pages(), PAGES, "one portion is on its way");
        then(stack, &process, &exchange, sending);
        assert_eq!(process.locked_pages(), 0);
        stack.port().hold(false);
        moves(stack, &exchange);
    });
}

#[test]
fn at_every_portion() {
    for carriage in CARRIAGES {
        for direction in BOTH {
            for completed in 0..COUNT {
                in_the_middle(
                    carriage,
                    direction,
                    completed,
                    |stack, process, exchange, sending| {
                        // There is no cancel routine: the driver looks, between two portions.
                        assert!(!sending.cancel());
                        stack.idle();
                        assert!(!sending.is_done(), "the portion on its way is waited for");
                        assert_eq!(process.locked_pages(), PAGES);
                        assert!(stack.port().complete_next(0));
                        let done = sending.wait();
                        let moved = (completed + 1) * PORTION;
                        if completed + 1 == COUNT {
                            assert_success(&done, moved);
                        } else {
                            assert_failure(&done, STATUS_CANCELLED);
                        }
                        assert_eq!(portions(stack).len(), completed + 1);
                        assert!(exchange.has_moved(stack, 0..moved));
                        assert!(exchange.is_as_before(stack, moved..COUNT * PORTION));
                    },
                );
            }
        }
    }
}

#[test]
fn an_error_outranks_it() {
    for carriage in CARRIAGES {
        in_the_middle(carriage, Direction::Read, 1, |stack, _, _, sending| {
            sending.cancel();
            assert!(stack.port().complete_with(0, Kind::HardwareError));
            let done = sending.wait();
            assert_failure(&done, STATUS_DEVICE_HARDWARE_ERROR);
        });
    }
}

#[test]
fn before_it_is_sent() {
    run(portions_of(PAGES, 0), |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, Direction::Write, 0, COUNT * PORTION, 0);
        // The thread has not had its turn yet.
        let sending = exchange.transfer(stack).spawn("program");
        sending.cancel();
        assert_failure(&sending.wait(), STATUS_CANCELLED);
        assert!(portions(stack).is_empty());
        assert_eq!(stack.machine().lock_counts().ranges, 0);
    });
}
