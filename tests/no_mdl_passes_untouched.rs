//! A filter is called in any process and at any IRQL up to DISPATCH_LEVEL, where a user's address means
//! nothing: READ and WRITE without an MDL, however long, go on to the driver below as they came. Their
//! buffer is neither looked at nor locked.

mod common;

use common::{
    BOTH, Exchange, PAGE, adapter, assert_nothing_allocated, assert_told_once, check, moves, run,
    world,
};
use ntsim::abi::{
    PDEVICE_OBJECT, SL_WRITE_THROUGH, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
};
use ntsim::port::Direction;
use ntsim::world::{Arrival, StackKind};
use ntsim::{Shape, Stack, World, ntddk};

const PIECE: usize = 0x4000;

fn relay() -> World {
    world().stack(StackKind::Relay).hba(adapter(PIECE, 5))
}

/// The one READ or WRITE that arrived at a device since `before` arrivals.
fn arrival(stack: &Stack, device: PDEVICE_OBJECT, before: usize) -> Arrival {
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

/// The device below the driver's, which is on top.
fn lower(stack: &Stack) -> PDEVICE_OBJECT {
    // SAFETY: the devices of a started stack are alive; the reference is given back at once, for the
    // driver's attachment keeps the device.
    unsafe {
        let lower = ntddk::IoGetLowerDeviceObject(stack.top());
        ntddk::ObfDereferenceObject(lower.cast());
        lower
    }
}

#[test]
fn above_a_port_driver_too_whatever_the_shape() {
    for shape in [Shape::Class, Shape::Srb] {
        let world = world().hba(adapter(PIECE, 5)).shape(shape);
        let ((), report) = run(world, |stack| {
            stack.watch(stack.top());
            stack.watch(lower(stack));
            for direction in BOTH {
                // Not even the length is looked at.
                for length in [512, 700, PIECE, 8 * PIECE] {
                    let buffer = stack.buffer(length, 0);
                    let request = common::transfer(stack, direction, 0x1_0000, &buffer);
                    let done = request.no_mdl().key(3).send().wait();
                    // A port driver's own answer: it speaks request blocks.
                    check(shape, &done.status, &STATUS_INVALID_DEVICE_REQUEST);
                }
            }
            let (came, went) = (stack.arrivals(stack.top()), stack.arrivals(lower(stack)));
            assert_eq!((came.len(), went.len()), (8, 8));
            for (came, went) in came.iter().zip(&went) {
                check(shape, &went.irp, &came.irp);
                check(shape, &(went.major, went.key), &(came.major, came.key));
                check(shape, &went.parameters, &came.parameters);
                check(shape, &went.routine_of, &None);
            }
            assert!(
                stack.port().transfers().is_empty(),
                "nothing was made of it"
            );
            if shape == Shape::Class {
                let next = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 1);
                moves(stack, &next);
            }
        });
        assert_nothing_allocated(&report);
    }
}
