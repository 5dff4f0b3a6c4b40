//! Scenarios small enough to run under Miri: each way through the driver once, with a few portions, on
//! the deterministic clock. Together they reach every unsafe block of the I/O path.
//!
//! `cargo +nightly miri test -p xfersplit-highest --test miri_scenarios miri_`

mod common;

use common::answering::{self, Answer, When, answers};
use common::{
    BOTH, CARRIAGES, Exchange, PAGE, SECTOR, assert_failure, assert_refused, assert_success, moves,
    portions_of, quota, run,
};
use ntsim::World;
use ntsim::abi::{
    STATUS_ACCESS_VIOLATION, STATUS_DEVICE_DATA_ERROR, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
};
use ntsim::machine::AllocationKind;
use ntsim::port::{Direction, Disk, Fault, Kind};

fn small(carriage: u32) -> World {
    portions_of(1, carriage)
        .disk(Disk::memory(1 << 8, 512))
        .setting("Pieces", 2)
        .setting("Window", 2)
}

#[test]
fn miri_portions() {
    for carriage in CARRIAGES {
        run(small(carriage), |stack| {
            let process = stack.process("program");
            for direction in BOTH {
                let length = PAGE + 2 * SECTOR;
                moves(
                    stack,
                    &Exchange::new(stack, &process, direction, 512, length, 7 * SECTOR),
                );
            }
        });
    }
}

#[test]
fn miri_halves_and_another_mdl() {
    let world = small(0)
        .setting("PortionBytes", 2 * PAGE as u32)
        .lock_limits(quota(1));
    run(world, |stack| {
        let process = stack.process("program");
        // No MDL of two pages either, at first.
        let exchange = Exchange::new(stack, &process, Direction::Read, 0, 10 * PAGE, 0);
        stack.machine().fail_allocations(Some(Box::new(|request| {
            request.kind == AllocationKind::Mdl && request.bytes > 48 + 8
        })));
        let pages = process.clone();
        let mut seen = 0;
        stack.port().observe(Some(Box::new(move |_| {
            seen += 1;
            if seen == 8 {
                pages.limit_locked_pages(2);
                ntsim::machine::with(|machine| machine.fail_allocations(None));
            }
        })));
        moves(stack, &exchange);
        stack.port().observe(None);
    });
}

#[test]
fn miri_refusals() {
    run(small(1), |stack| {
        let (program, other) = (stack.process("program"), stack.process("other"));
        let buffer = stack.user_buffer(&program, PAGE, 0);
        let read = || stack.user_read(0, &buffer);
        assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().sent_in(&other));
        assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().no_thread());
        assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().irql(2));
        assert_refused(stack, STATUS_ACCESS_VIOLATION, read().address(usize::MAX));
        assert_success(&read().length(0).send().wait(), 0);
    });
}

#[test]
fn miri_a_hole_and_an_error() {
    for carriage in CARRIAGES {
        run(small(carriage), |stack| {
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, Direction::Read, 0, 2 * PAGE, 0);
            stack.port().fault(Fault::new(Kind::MediumError).at_lba(8));
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, STATUS_DEVICE_DATA_ERROR);
            exchange.buffer().unmap(PAGE..PAGE + 1);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, STATUS_ACCESS_VIOLATION);
        });
    }
}

#[test]
fn miri_an_mdl_passes() {
    run(small(0), |stack| {
        let buffer = stack.buffer(PAGE, 0);
        assert!(stack.read(0, &buffer).send().wait().succeeded());
    });
}

#[test]
fn miri_answers() {
    for carriage in CARRIAGES {
        let world = World::new(answering::driver())
            .function(common::driver())
            .disk(Disk::memory(1 << 8, 512))
            .setting("PortionBytes", PAGE as u32)
            .setting("Carriage", carriage);
        run(world, |stack| {
            let process = stack.process("program");
            let buffer = stack.user_buffer(&process, 3 * PAGE, 0);
            let every = [When::AtOnce, When::BeforeItReturns, When::Later];
            answers(
                stack,
                every.map(|when| Answer {
                    when,
                    status: STATUS_SUCCESS,
                    information: PAGE as u64,
                }),
            );
            assert_success(&stack.user_write(0, &buffer).send().wait(), 3 * PAGE);
        });
    }
}

#[test]
fn miri_removal() {
    run(small(1), |stack| {
        stack.port().hold(true);
        let process = stack.process("program");
        let program = process.clone();
        let inside = stack.clone();
        let sender = process.spawn("program", move || {
            let exchange = Exchange::new(&inside, &program, Direction::Write, 0, 2 * PAGE, 0);
            let done = exchange.transfer(&inside).send().wait();
            assert!(!done.succeeded());
        });
        stack.idle();
        stack.surprise_remove().expect("nobody may refuse");
        sender.join();
    });
}
