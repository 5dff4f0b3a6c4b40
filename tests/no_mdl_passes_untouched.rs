//! A filter is called in any process and at any IRQL up to DISPATCH_LEVEL, where a user's address means
//! nothing: READ and WRITE without an MDL, however long, go on to the class driver as they came. Their
//! buffer is neither looked at nor locked.

mod common;

use common::{BOTH, PAGE, adapter, assert_told_once, run, world};
use ntsim::abi::{SL_WRITE_THROUGH, STATUS_INVALID_PARAMETER};
use ntsim::port::Direction;
use ntsim::world::{Arrival, StackKind};
use ntsim::{Stack, World};

const PIECE: usize = 0x4000;

fn relay() -> World {
    world().stack(StackKind::Relay).hba(adapter(PIECE, 5))
}

/// The one READ or WRITE that arrived at a device since `before` arrivals.
fn arrival(stack: &Stack, device: ntsim::abi::PDEVICE_OBJECT, before: usize) -> Arrival {
    let mut arrivals = stack.arrivals(device).split_off(before);
    assert_eq!(arrivals.len(), 1, "one request arrives");
    arrivals.remove(0)
}

/// What the class driver found, against what the filter did.
#[track_caller]
fn assert_untouched(stack: &Stack, before: (usize, usize)) {
    let came = arrival(stack, stack.top(), before.0);
    let went = arrival(stack, stack.class_device(), before.1);
    assert_eq!(went.routine_of, None, "the filter waits for nothing");
    let of_the_senders = Arrival {
        // KMDF copies the stack location for its remove lock: one less is left.
        location: came.location,
        sender: came.sender.clone(),
        routine_of: came.routine_of.clone(),
        ..went
    };
    assert_eq!(of_the_senders, came);
}

fn watch(stack: &Stack) {
    stack.watch(stack.top());
    stack.watch(stack.class_device());
}

fn seen(stack: &Stack) -> (usize, usize) {
    let count = |device| stack.arrivals(device).len();
    (count(stack.top()), count(stack.class_device()))
}

#[test]
fn whoever_sends_it_and_however_long_it_is() {
    run(relay(), |stack| {
        watch(stack);
        for direction in BOTH {
            for length in [512, PAGE, PIECE, PIECE + 512, 8 * PIECE] {
                let buffer = stack.buffer(length, 512);
                let before = seen(stack);
                let request = common::transfer(stack, direction, 0x1_0000, &buffer);
                let request = request.no_mdl().flags(SL_WRITE_THROUGH).key(3).user_mode();
                let done = request.send().wait();
                assert_told_once(&done);
                // The class driver's own answer: it has no use for an address either.
                assert_eq!(done.status, STATUS_INVALID_PARAMETER);
                assert_untouched(stack, before);
            }
        }
        assert!(stack.port().transfers().is_empty());
    });
}

#[test]
fn a_programs_request_is_neither_locked_nor_looked_at() {
    let ((), report) = run(relay(), |stack| {
        watch(stack);
        let (program, other) = (stack.process("program"), stack.process("other"));
        let buffer = stack.user_buffer(&program, 8 * PIECE, 0);
        let ask = |direction| match direction {
            Direction::Read => stack.user_read(0, &buffer),
            Direction::Write => stack.user_write(0, &buffer),
        };
        for direction in BOTH {
            let requests = [
                ask(direction),
                ask(direction).sent_in(&other),
                ask(direction).sent_in_system(),
                ask(direction).irql(2),
                ask(direction).address(0xFFFF_8000_0000_0000),
                ask(direction).address(usize::MAX),
                ask(direction).address(0),
            ];
            for request in requests {
                let before = seen(stack);
                assert_told_once(&request.send().wait());
                assert_untouched(stack, before);
            }
        }
    });
    assert_eq!(report.locks.ranges, 0);
    assert_eq!(report.locks.raised, 0);
    assert_eq!(report.locks.kernel_ranges, 0);
}
