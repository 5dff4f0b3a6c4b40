//! A device that goes away in the middle of a request waits for the portion on its way, and for
//! nothing else; the request says so, and nothing stays locked.

mod common;

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, assert_failure, assert_success, lower, portions, portions_of,
    run,
};
use ntsim::abi::{STATUS_DELETE_PENDING, STATUS_NO_SUCH_DEVICE};
use ntsim::world::Sending;
use ntsim::{Process, Stack};

const COUNT: usize = 5;
const PAGES: usize = 2;
const PORTION: usize = PAGES * PAGE;

/// Starts a request and lets `completed` of its portions move; another one is on its way then.
fn in_the_middle(
    carriage: u32,
    completed: usize,
    then: impl FnOnce(&Stack, &Process, &Exchange, Sending) + Send,
) {
    run(portions_of(PAGES, carriage), |stack| {
        stack.port().hold(true);
        stack.watch(lower(stack));
        let process = stack.process("program");
        let length = COUNT * PORTION;
        let exchange = Exchange::new(stack, &process, BOTH[1], 0, length, 0);
        let sender = exchange.transfer(stack).spawn("program");
        for _ in 0..completed {
            stack.idle();
            assert!(stack.port().complete_next(0));
        }
        stack.idle();
        assert_eq!(process.locked_pages(), PAGES, "one portion is on its way");
        then(stack, &process, &exchange, sender);
        assert_eq!(process.locked_pages(), 0);
    });
}

#[test]
fn pulled_out() {
    for carriage in CARRIAGES {
        for completed in 0..COUNT {
            in_the_middle(carriage, completed, |stack, _, exchange, sender| {
                stack.surprise_remove().expect("nobody may refuse");
                let done = sender.wait();
                // The portion's own status: the driver below gave it up.
                assert_failure(&done, STATUS_NO_SUCH_DEVICE);
                assert_eq!(
                    portions(stack).len(),
                    completed + 1,
                    "nothing more was sent"
                );
                let moved = completed * PORTION;
                assert!(exchange.has_moved(stack, 0..moved));
                assert!(exchange.is_as_before(stack, moved..COUNT * PORTION));
            });
        }
    }
}

#[test]
fn removed() {
    for carriage in CARRIAGES {
        for completed in 0..COUNT {
            in_the_middle(carriage, completed, |stack, process, exchange, sender| {
                let removing = stack.spawn("PnP manager", |stack| {
                    stack.remove().expect("the device can be removed");
                });
                stack.idle();
                assert_eq!(
                    process.locked_pages(),
                    PAGES,
                    "REMOVE waits for the portion"
                );
                assert!(stack.port().complete_next(0));
                let done = sender.wait();
                removing.join();
                let moved = (completed + 1) * PORTION;
                if completed + 1 == COUNT {
                    assert_success(&done, moved);
                } else {
                    assert_failure(&done, STATUS_DELETE_PENDING);
                }
                assert!(exchange.has_moved(stack, 0..moved));
                assert!(exchange.is_as_before(stack, moved..COUNT * PORTION));
            });
        }
    }
}

#[test]
fn requests_that_come_while_the_device_is_being_removed() {
    for carriage in CARRIAGES {
        in_the_middle(carriage, 1, |stack, process, _, sender| {
            let removing = stack.spawn("PnP manager", |stack| {
                stack.remove().expect("the device can be removed");
            });
            stack.idle();
            let ranges = stack.machine().lock_counts().ranges;
            for direction in BOTH {
                let late = Exchange::new(stack, process, direction, 1 << 20, PORTION, 0);
                let done = late.transfer(stack).send().wait();
                assert_failure(&done, STATUS_DELETE_PENDING);
            }
            assert_eq!(stack.machine().lock_counts().ranges, ranges);
            assert!(stack.port().complete_next(0));
            assert_failure(&sender.wait(), STATUS_DELETE_PENDING);
            removing.join();
        });
    }
}

#[test]
fn stopped_and_started_again() {
    for carriage in CARRIAGES {
        run(portions_of(PAGES, carriage), |stack| {
            let process = stack.process("program");
            for _ in 0..3 {
                let exchange = Exchange::new(stack, &process, BOTH[0], 0, COUNT * PORTION, 0);
                common::moves(stack, &exchange);
                stack.stop().expect("the device can be stopped");
                stack.start().expect("the device can be started");
            }
        });
    }
}
