//! Scenarios small enough to run under Miri: each way through the driver once, with a few portions, on
//! the deterministic clock. Together they reach every unsafe block of the I/O path. Where it does not
//! matter what is moved, the driver below is one that only answers.
//!
//! `cargo +nightly miri test -p xfersplit-highest --test miri_scenarios miri_`

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::answering::{self, Answer, When, answers};
use common::{
    BOTH, CARRIAGES, Exchange, PAGE, SECTOR, assert_failure, assert_refused, assert_success, lower,
    moves, portions, portions_of, run,
};
use ntsim::abi::{
    STATUS_ACCESS_VIOLATION, STATUS_INVALID_DEVICE_REQUEST, STATUS_IO_DEVICE_ERROR,
    STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use ntsim::machine::AllocationKind;
use ntsim::port::{Direction, Disk};
use ntsim::{Stack, World};

fn with_filter(carriage: u32) -> World {
    portions_of(1, carriage)
        .disk(Disk::memory(1 << 7, 512))
        .setting("Pieces", 2)
        .setting("Window", 2)
}

fn with_answers(pages: usize, carriage: u32) -> World {
    World::new(answering::driver())
        .function(common::driver())
        .disk(Disk::memory(1 << 7, 512))
        .setting("PortionBytes", (pages * PAGE) as u32)
        .setting("Carriage", carriage)
}

/// What arrives, with an MDL and without, and a device that goes in the middle.
fn bytes_and_removal(carriage: u32) {
    run(with_filter(carriage), |stack| {
        let process = stack.process("program");
        for direction in BOTH {
            let length = PAGE + 2 * SECTOR;
            moves(
                stack,
                &Exchange::new(stack, &process, direction, 512, length, 7 * SECTOR),
            );
        }
        let buffer = stack.buffer(SECTOR, 0);
        assert!(stack.read(0, &buffer).send().wait().succeeded());
        stack.port().hold(true);
        let exchange = Exchange::new(stack, &process, Direction::Write, 0, 2 * PAGE, 0);
        let sending = exchange.transfer(stack).spawn("program");
        stack.idle();
        sending.cancel();
        stack.surprise_remove().expect("nobody may refuse");
        assert_failure(&sending.wait(), STATUS_NO_SUCH_DEVICE);
    });
}

#[test]
fn miri_own_irp() {
    bytes_and_removal(0);
}

#[test]
fn miri_synchronous_request() {
    bytes_and_removal(1);
}

#[test]
fn miri_halves_and_another_mdl() {
    run(with_answers(2, 0), |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        // No MDL of two pages, for once.
        let calls = AtomicU64::new(0);
        stack
            .machine()
            .fail_allocations(Some(Box::new(move |request| {
                request.kind == AllocationKind::Mdl && calls.fetch_add(1, Ordering::Relaxed) == 0
            })));
        let buffer = stack.user_buffer(&process, 10 * PAGE, 0);
        assert_success(&stack.user_write(0, &buffer).send().wait(), 10 * PAGE);
        let sizes: Vec<_> = portions(stack).iter().map(|one| one.span_pages).collect();
        assert_eq!(sizes, [1, 1, 1, 1, 1, 1, 1, 1, 2]);
        process.limit_locked_pages(1);
        assert_success(&stack.user_read(0, &buffer).send().wait(), 10 * PAGE);
    });
}

fn refusals(stack: &Stack) {
    let (program, other) = (stack.process("program"), stack.process("other"));
    let buffer = stack.user_buffer(&program, PAGE, 0);
    let read = || stack.user_read(0, &buffer);
    assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().sent_in(&other));
    assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().no_thread());
    assert_refused(stack, STATUS_INVALID_DEVICE_REQUEST, read().irql(2));
    assert_refused(stack, STATUS_ACCESS_VIOLATION, read().address(usize::MAX));
    assert_success(&read().length(0).send().wait(), 0);
}

#[test]
fn miri_answers_refusals_and_a_hole() {
    for carriage in CARRIAGES {
        run(with_answers(1, carriage), |stack| {
            refusals(stack);
            let process = stack.process("program");
            let buffer = stack.user_buffer(&process, 3 * PAGE, 0);
            let answer = |when, status| Answer {
                when,
                status,
                information: PAGE as u64,
            };
            for when in [When::AtOnce, When::BeforeItReturns, When::Later] {
                answers(stack, [answer(when, STATUS_SUCCESS); 3]);
                assert_success(&stack.user_write(0, &buffer).send().wait(), 3 * PAGE);
                answers(stack, [answer(when, STATUS_IO_DEVICE_ERROR)]);
                let done = stack.user_write(0, &buffer).send().wait();
                assert_failure(&done, STATUS_IO_DEVICE_ERROR);
            }
            buffer.unmap(2 * PAGE..2 * PAGE + 1);
            let done = stack.user_write(0, &buffer).send().wait();
            assert_failure(&done, STATUS_ACCESS_VIOLATION);
        });
    }
}
