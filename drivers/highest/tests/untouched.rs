//! A request that brings an MDL goes down as it came; one that asks for nothing gets nothing; one that
//! no disk can serve is refused.

mod common;

use common::{
    BOTH, Exchange, PAGE, SECTOR, assert_failure, assert_refused, assert_success, lower, portions,
    run, world,
};
use ntsim::abi::{
    IRP_NOCACHE, IRP_PAGING_IO, SL_WRITE_THROUGH, STATUS_DELETE_PENDING, STATUS_INVALID_PARAMETER,
};
use ntsim::port::{Direction, Disk};
use ntsim::{Stack, World};

/// A disk that takes READ and WRITE with an MDL from a neighbour that is no program.
fn with_mdl(stack: &Stack, direction: Direction) -> ntsim::world::Transfer<'_> {
    let buffer = stack.buffer(40 * PAGE, SECTOR);
    let transfer = match direction {
        Direction::Read => stack.read(8192, &buffer),
        Direction::Write => stack.write(8192, &buffer),
    };
    transfer
        .flags(SL_WRITE_THROUGH)
        .key(7)
        .irp_flags(IRP_NOCACHE | IRP_PAGING_IO)
        .priority(3)
}

#[test]
fn a_request_with_an_mdl() {
    for direction in BOTH {
        run(world(), |stack| {
            stack.watch(lower(stack));
            stack.watch(stack.top());
            let done = with_mdl(stack, direction).send().wait();
            assert_eq!((done.status, done.information), (0, 40 * PAGE as u64));
            let [came] = &stack.arrivals(stack.top())[..] else {
                panic!("one request came");
            };
            let [went] = &portions(stack)[..] else {
                panic!("one request went");
            };
            assert_eq!(went.irp, came.irp);
            assert_eq!(went.mdl, came.mdl);
            assert_eq!(went.major, came.major);
            assert_eq!(went.parameters, came.parameters);
            assert_eq!(went.stack_flags, came.stack_flags);
            assert_eq!(went.irp_flags, came.irp_flags);
            assert_eq!(went.priority, came.priority);
            assert_eq!(went.thread, came.thread);
            assert_eq!(went.routine_of, None, "the driver has added no routine");
        });
    }
}

#[test]
fn a_request_with_an_mdl_in_any_context() {
    run(world(), |stack| {
        for direction in BOTH {
            // The sender is no program, and the thread that the IRP names is nobody's.
            let done = with_mdl(stack, direction).user_mode().send().wait();
            assert!(done.succeeded(), "{done:?}");
        }
        assert_eq!(stack.machine().lock_counts().ranges, 0);
    });
}

#[test]
fn nothing_asked_for() {
    run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGE, 0);
        for request in [stack.user_read(0, &buffer), stack.user_write(0, &buffer)] {
            assert_success(&request.length(0).send().wait(), 0);
        }
        assert_eq!(stack.machine().lock_counts().ranges, 0);
        assert_eq!(stack.port().transfers().len(), 0);
    });
}

fn refuses(world: World, length: u32, offset: u64) {
    run(world, |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 16 * PAGE, 0);
        for direction in BOTH {
            let request = match direction {
                Direction::Read => stack.user_read(offset, &buffer),
                Direction::Write => stack.user_write(offset, &buffer),
            };
            assert_refused(stack, STATUS_INVALID_PARAMETER, request.length(length));
        }
    });
}

#[test]
fn parts_of_sectors() {
    for (length, offset) in [
        (1, 0),
        (511, 0),
        (513, 0),
        (65_535, 0),
        (512, 1),
        (512, 511),
    ] {
        refuses(world(), length, offset);
    }
    for (length, offset) in [(512, 0), (4608, 0), (4096, 512)] {
        refuses(world().disk(Disk::memory(1 << 12, 4096)), length, offset);
    }
}

#[test]
fn places_that_cannot_be_on_a_disk() {
    for offset in [
        u64::MAX - 511,
        1 << 63,
        i64::MAX as u64 - 511,
        i64::MAX as u64 - 4095,
    ] {
        refuses(world(), 8192, offset);
    }
}

#[test]
fn after_the_disk_has_gone() {
    run(world(), |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, Direction::Read, 0, 8 * PAGE, 0);
        stack.surprise_remove().expect("nobody may refuse");
        let before = stack.machine().lock_counts().ranges;
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_DELETE_PENDING);
        assert_eq!(stack.machine().lock_counts().ranges, before);
    });
}
