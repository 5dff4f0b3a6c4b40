//! The driver waits for a portion if, and only if, the driver below has said STATUS_PENDING, and it
//! takes the answer from where it then is.

mod common;

use common::answering::{self, Answer, When, answers};
use common::{BOTH, CARRIAGES, PAGE, assert_failure, assert_success, run};
use ntsim::abi::{
    STATUS_BUFFER_OVERFLOW, STATUS_DEVICE_NOT_READY, STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS,
};
use ntsim::port::Direction;
use ntsim::{Clock, Done, Stack, World};

const PORTION: u64 = PAGE as u64;
const COUNT: usize = 4;
const EVERY: [When; 3] = [When::AtOnce, When::BeforeItReturns, When::Later];

fn world(carriage: u32) -> World {
    World::new(answering::driver())
        .function(common::driver())
        .setting("PortionBytes", PAGE as u32)
        .setting("Carriage", carriage)
}

fn answer(when: When, status: i32, information: u64) -> Answer {
    Answer {
        when,
        status,
        information,
    }
}

/// A request of `COUNT` portions; how it ended and how often the driver waited.
fn request(stack: &Stack, direction: Direction) -> (Done, usize) {
    let process = stack.process("program");
    let buffer = stack.user_buffer(&process, COUNT * PAGE, 0);
    stack.machine().watch_calls();
    let done = match direction {
        Direction::Read => stack.user_read(0, &buffer).send().wait(),
        Direction::Write => stack.user_write(0, &buffer).send().wait(),
    };
    let calls = stack.machine().calls();
    let waits = calls
        .iter()
        .filter(|call| &*call.driver == "highest" && call.name == "KeWaitForSingleObject");
    (done, waits.count())
}

#[test]
fn every_mixture_of_answers() {
    for carriage in CARRIAGES {
        for direction in BOTH {
            for mixture in 0..EVERY.len().pow(COUNT as u32) {
                let seed = mixture as u64;
                let world = world(carriage).clock(Clock::Deterministic { seed });
                run(world, |stack| {
                    let when = |portion| EVERY[mixture / EVERY.len().pow(portion) % EVERY.len()];
                    let whens: Vec<_> = (0..COUNT as u32).map(when).collect();
                    answers(
                        stack,
                        whens
                            .iter()
                            .map(|&when| answer(when, STATUS_SUCCESS, PORTION)),
                    );
                    let (done, waits) = request(stack, direction);
                    assert_success(&done, COUNT * PAGE);
                    let pending = whens.iter().filter(|&&when| when != When::AtOnce).count();
                    assert_eq!(waits, pending, "{whens:?}");
                });
            }
        }
    }
}

#[test]
fn an_error_is_found_wherever_it_stands() {
    // One that the dispatch routine returns at once is nowhere else: the I/O manager leaves the status
    // block alone then.
    for carriage in CARRIAGES {
        for when in EVERY {
            for portion in 0..COUNT {
                run(world(carriage), |stack| {
                    let good = answer(When::AtOnce, STATUS_SUCCESS, PORTION);
                    // A warning is no success either, and what it claims does not count.
                    for status in [
                        STATUS_IO_DEVICE_ERROR,
                        STATUS_DEVICE_NOT_READY,
                        STATUS_BUFFER_OVERFLOW,
                    ] {
                        answers(stack, (0..portion).map(|_| good));
                        answers(stack, [answer(when, status, 512)]);
                        let (done, waits) = request(stack, Direction::Write);
                        assert_failure(&done, status);
                        assert_eq!(waits, usize::from(when != When::AtOnce));
                    }
                });
            }
        }
    }
}

#[test]
fn a_short_answer_counts_truly_and_a_long_one_is_not_believed() {
    for carriage in CARRIAGES {
        for when in EVERY {
            run(world(carriage), |stack| {
                let good = answer(when, STATUS_SUCCESS, PORTION);
                let short = answer(when, STATUS_SUCCESS, 1536);
                answers(stack, [good, short]);
                let (done, _) = request(stack, Direction::Write);
                assert_success(&done, PAGE + 1536);
                answers(stack, [good, good, answer(when, STATUS_SUCCESS, 0)]);
                let (done, _) = request(stack, Direction::Write);
                assert_success(&done, 2 * PAGE);
                let long = answer(when, STATUS_SUCCESS, u64::MAX);
                answers(stack, [long; COUNT]);
                let (done, _) = request(stack, Direction::Write);
                assert_success(&done, COUNT * PAGE);
            });
        }
    }
}
