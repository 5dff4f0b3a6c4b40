//! A piece that met a passing trouble is tried again by itself, after a while, as often as allowed,
//! with a request block made afresh.

mod common;

use common::{
    BOTH, Exchange, FINAL, MILLISECOND, RETRYABLE, assert_failure, assert_success, check, moves,
    pieces_of, run, status_of,
};
use ntsim::Stack;
use ntsim::port::{Direction, Fault, Kind, PortRecord};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;

/// Attempts at one piece, in order.
fn attempts(stack: &Stack, piece: u64) -> Vec<PortRecord> {
    let mut records = stack.port().transfers();
    records.retain(|record| record.lba == piece * BLOCKS);
    records
}

/// Milliseconds between the end of one attempt and the start of the next.
fn pauses(attempts: &[PortRecord]) -> Vec<u64> {
    let pairs = attempts.windows(2);
    pairs
        .map(|pair| (pair[1].submitted_at - pair[0].completed_at) / MILLISECOND)
        .collect()
}

#[test]
fn success_on_any_attempt() {
    for direction in BOTH {
        run(pieces_of(PIECE), |stack| {
            for kind in RETRYABLE {
                for failures in 1..=3_u32 {
                    for piece in 0..3 {
                        stack.port().clear_faults();
                        stack.port().forget_records();
                        let fault = Fault::new(kind).at_lba(piece * BLOCKS).times(failures);
                        stack.port().fault(fault);
                        moves(stack, &Exchange::new(stack, direction, 0, 3 * PIECE, 0, 1));
                        let made = attempts(stack, piece).len();
                        check((kind, piece), &made, &(failures as usize + 1));
                        check((kind, piece), &stack.port().transfers().len(), &(made + 2));
                    }
                }
            }
        });
    }
}

#[test]
fn three_further_attempts_and_then_its_error() {
    run(pieces_of(PIECE), |stack| {
        for kind in RETRYABLE {
            stack.port().clear_faults();
            stack.port().forget_records();
            stack.port().fault(Fault::new(kind).at_lba(BLOCKS).always());
            let exchange = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 2);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, status_of(kind));
            check(kind, &attempts(stack, 1).len(), &4);
        }
    });
}

#[test]
fn max_retries_says_how_often() {
    for retries in [0, 1, 7] {
        let world = pieces_of(PIECE).setting("MaxRetries", retries);
        run(world, |stack| {
            for kind in RETRYABLE {
                stack.port().clear_faults();
                stack.port().forget_records();
                stack
                    .port()
                    .fault(Fault::new(kind).at_lba(0).times(retries));
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 3),
                );
                stack.port().clear_faults();
                stack.port().forget_records();
                stack
                    .port()
                    .fault(Fault::new(kind).at_lba(0).times(retries + 1));
                let exchange = Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 4);
                let done = exchange.transfer(stack).send().wait();
                assert_failure(&done, status_of(kind));
                check(
                    (kind, retries),
                    &attempts(stack, 0).len(),
                    &(retries as usize + 1),
                );
            }
        });
    }
}

#[test]
fn every_piece_has_attempts_of_its_own() {
    run(pieces_of(PIECE).setting("MaxRetries", 2), |stack| {
        for piece in 0..6 {
            stack
                .port()
                .fault(Fault::new(Kind::Busy).at_lba(piece * BLOCKS).times(2));
        }
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 5),
        );
        assert_eq!(stack.port().transfers().len(), 18);
    });
}

#[test]
fn what_another_attempt_cannot_mend_gets_none() {
    run(pieces_of(PIECE), |stack| {
        for kind in FINAL {
            stack.port().clear_faults();
            stack.port().forget_records();
            stack.port().fault(Fault::new(kind).at_lba(0));
            let exchange = Exchange::new(stack, Direction::Read, 0, PIECE, 0, 6);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, status_of(kind));
            check(kind, &attempts(stack, 0).len(), &1);
        }
    });
}

#[test]
fn it_waits_before_it_tries_again() {
    run(pieces_of(PIECE), |stack| {
        let cases = [
            (Kind::Busy, 100),
            (Kind::QueueFull, 100),
            (Kind::BusReset, 1_000),
            (Kind::Timeout, 1_000),
            (Kind::ParityError, 1_000),
            (Kind::UnitAttention, 1_000),
            (Kind::AbortedCommand, 1_000),
            (Kind::NotReady, 10_000),
            (Kind::Flushed, 0),
        ];
        for (kind, wait) in cases {
            stack.port().clear_faults();
            stack.port().forget_records();
            stack.port().fault(Fault::new(kind).at_lba(0).times(2));
            moves(
                stack,
                &Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 7),
            );
            check(kind, &pauses(&attempts(stack, 0)), &vec![wait, wait]);
        }
    });
    for wait in [0, 1, 250, 60_000] {
        let world = pieces_of(PIECE).setting("RetryDelayMs", wait);
        run(world, |stack| {
            for kind in RETRYABLE {
                stack.port().clear_faults();
                stack.port().forget_records();
                stack.port().fault(Fault::new(kind).at_lba(0).times(2));
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 8),
                );
                let wait = u64::from(wait);
                check(kind, &pauses(&attempts(stack, 0)), &vec![wait, wait]);
            }
        });
    }
}

#[test]
fn the_other_pieces_do_not_wait_for_it() {
    let world = pieces_of(PIECE).setting("Window", 4);
    run(world, |stack| {
        stack.port().fault(Fault::new(Kind::NotReady).at_lba(0));
        let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 9);
        let started = stack.machine().now();
        let done = exchange.transfer(stack).send().wait();
        assert_success(&done, 8 * PIECE);
        assert!(exchange.is_complete(stack));
        let late: Vec<u64> = stack
            .port()
            .transfers()
            .iter()
            .filter(|record| record.submitted_at >= started + 10_000 * MILLISECOND)
            .map(|record| record.lba)
            .collect();
        assert_eq!(late, [0], "only the second attempt is late");
    });
}

#[test]
fn a_request_block_is_made_afresh_for_every_attempt() {
    // The port scribbles over what belongs to it while it has a request, as miniports do: lengths,
    // its own context, tags. Byte for byte the next attempt must not show any of it.
    for kind in RETRYABLE {
        run(pieces_of(PIECE), |stack| {
            stack.port().capture(true);
            stack.port().fault(Fault::new(kind).at_lba(BLOCKS).times(2));
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 512, 10),
            );
            let attempts = attempts(stack, 1);
            assert_eq!(attempts.len(), 3);
            for attempt in &attempts {
                assert!(attempt.capture.is_some());
                assert_eq!(attempt.capture, attempts[0].capture);
                assert_eq!(attempt.page_offset, attempts[0].page_offset);
                assert_eq!(attempt.span_pages, attempts[0].span_pages);
                assert_eq!(attempt.priority, attempts[0].priority);
            }
        });
    }
}

#[test]
fn no_attempt_after_the_request_has_failed() {
    run(pieces_of(PIECE).setting("Window", 3), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NotReady).at_lba(0).always());
        stack
            .port()
            .fault(Fault::new(Kind::MediumError).at_lba(2 * BLOCKS));
        let exchange = Exchange::new(stack, Direction::Read, 0, 3 * PIECE, 0, 11);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, status_of(Kind::MediumError));
        assert_eq!(attempts(stack, 0).len(), 1, "its second was called off");
    });
}

#[test]
fn a_whole_request_is_tried_again_too() {
    run(pieces_of(PIECE), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::BusReset).at_lba(0).times(3));
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 512, 0, 12),
        );
        assert_eq!(stack.port().transfers().len(), 4);
    });
}
