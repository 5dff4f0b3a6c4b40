//! A cancelled request that waits leaves at once; one that runs stops issuing, lets what is in flight
//! come back, and ends as cancelled unless a real error came first, or everything has moved after
//! all.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{
    BOTH, Exchange, MILLISECOND, Random, adapter, assert_failure, assert_success, check, moves,
    pieces_of, run, status_of,
};
use ntsim::Clock;
use ntsim::abi::STATUS_CANCELLED;
use ntsim::port::{Completion, Direction, Fault, Kind};

const PIECE: usize = 4096;

#[test]
fn a_waiting_request_leaves_at_once() {
    for waiting in 1..=5_usize {
        for cancelled in 0..waiting {
            run(pieces_of(PIECE).setting("Pieces", 1), |stack| {
                stack.port().hold(true);
                let first = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 1);
                let running = first.transfer(stack).send();
                let others: Vec<Exchange> = (1..=waiting as u64)
                    .map(|number| {
                        let offset = number * 0x1_0000;
                        Exchange::new(stack, Direction::Write, offset, 2 * PIECE, 0, number)
                    })
                    .collect();
                let mut queue: Vec<_> = others
                    .iter()
                    .map(|exchange| exchange.transfer(stack).send())
                    .collect();
                let victim = queue.remove(cancelled);
                assert!(victim.cancel(), "a waiting request can be cancelled");
                assert!(victim.is_done(), "at once");
                assert_failure(&victim.wait(), STATUS_CANCELLED);
                assert!(!running.is_done());
                stack.port().hold(false);
                stack.port().complete_all();
                assert_success(&running.wait(), 3 * PIECE);
                for pending in queue {
                    assert_success(&pending.wait(), 2 * PIECE);
                }
                let range = (cancelled as u64 + 1) * 128..(cancelled as u64 + 2) * 128;
                let sent = stack.port().transfers().into_iter();
                let of_victim = sent.filter(|record| range.contains(&record.lba)).count();
                check((waiting, cancelled), &of_victim, &0);
            });
        }
    }
}

#[test]
fn every_waiting_request_at_once() {
    run(pieces_of(PIECE).setting("Pieces", 2), |stack| {
        stack.port().hold(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        let pending: Vec<_> = (0..40).map(|_| stack.read(0, &buffer).send()).collect();
        let (first, rest) = pending.split_at(2);
        for waiting in rest.iter().rev() {
            assert!(waiting.cancel());
            assert!(waiting.is_done());
        }
        assert!(first.iter().all(|pending| !pending.is_done()));
        stack.port().hold(false);
        stack.port().complete_all();
        for (number, pending) in pending.into_iter().enumerate() {
            let done = pending.wait();
            if number < 2 {
                assert_success(&done, 4 * PIECE);
            } else {
                assert_failure(&done, STATUS_CANCELLED);
            }
        }
    });
}

#[test]
fn a_running_request_stops_at_every_moment() {
    const COUNT: usize = 8;
    for direction in BOTH {
        for window in 1..=4_usize {
            run(pieces_of(PIECE).setting("Window", window as u32), |stack| {
                for completed in 0..=COUNT {
                    for newest_first in [false, true] {
                        stack.port().forget_records();
                        stack.port().hold(true);
                        let exchange = Exchange::new(stack, direction, 0, COUNT * PIECE, 0, 2);
                        let pending = exchange.transfer(stack).send();
                        for _ in 0..completed {
                            stack.port().complete_next(0);
                        }
                        let sent = COUNT.min(completed + window);
                        pending.cancel();
                        let held = stack.port().held().len();
                        check(completed, &held, &(sent - completed));
                        for left in (0..held).rev() {
                            assert!(!pending.is_done(), "it waits for what is in flight");
                            stack
                                .port()
                                .complete_next(if newest_first { left } else { 0 });
                        }
                        let done = pending.wait();
                        if sent == COUNT {
                            assert_success(&done, COUNT * PIECE);
                            assert!(exchange.is_complete(stack));
                        } else {
                            assert_failure(&done, STATUS_CANCELLED);
                        }
                        check(completed, &stack.port().transfers().len(), &sent);
                    }
                }
            });
        }
    }
}

#[test]
fn a_real_error_outranks_it() {
    run(
        pieces_of(PIECE)
            .setting("Window", 3)
            .setting("MaxRetries", 0),
        |stack| {
            for kind in [
                Kind::MediumError,
                Kind::Busy,
                Kind::VerifyRequired,
                Kind::NoDevice,
            ] {
                for bad in 0..3 {
                    stack.port().hold(true);
                    let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 3);
                    let pending = exchange.transfer(stack).send();
                    pending.cancel();
                    for number in 0..3 {
                        if number == bad {
                            stack.port().complete_with(0, kind);
                        } else {
                            stack.port().complete_next(0);
                        }
                    }
                    assert_failure(&pending.wait(), status_of(kind));
                }
            }
        },
    );
}

#[test]
fn no_further_attempt_for_a_cancelled_request() {
    run(pieces_of(PIECE), |stack| {
        for kind in [Kind::Busy, Kind::NotReady, Kind::NoResourcesSrb] {
            stack.port().clear_faults();
            stack.port().forget_records();
            stack.port().hold(true);
            stack.port().fault(Fault::new(kind).at_lba(0).always());
            let exchange = Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 4);
            let pending = exchange.transfer(stack).send();
            pending.cancel();
            stack.port().complete_all();
            assert_failure(&pending.wait(), STATUS_CANCELLED);
            check(kind, &stack.port().transfers().len(), &2);
        }
    });
}

#[test]
fn a_request_cancelled_while_a_piece_waits_for_its_next_attempt() {
    run(pieces_of(PIECE), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NotReady).at_lba(0).always());
        let exchange = Exchange::new(stack, Direction::Read, 0, 2 * PIECE, 0, 5);
        let pending = exchange.transfer(stack).send();
        assert!(pending.wait_for(1_000 * MILLISECOND).is_none());
        pending.cancel();
        assert_failure(&pending.wait(), STATUS_CANCELLED);
        let attempts = stack.port().transfers().into_iter();
        assert_eq!(attempts.filter(|record| record.lba == 0).count(), 1);
    });
}

#[test]
fn cancelling_what_is_done_changes_nothing() {
    run(pieces_of(PIECE), |stack| {
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 6);
        let pending = exchange.transfer(stack).send();
        assert!(pending.is_done());
        assert!(!pending.cancel(), "no cancel routine is left behind");
        assert_success(&pending.wait(), 4 * PIECE);
        moves(stack, &exchange);
    });
}

#[test]
fn cancelled_at_every_instant_of_virtual_time() {
    for seed in 0..40 {
        let hba = adapter(PIECE, 2).completion(Completion::Later(1..200));
        let world = pieces_of(PIECE)
            .hba(hba)
            .clock(Clock::Deterministic { seed })
            .setting("Pieces", 3);
        run(world, |stack| {
            let mut random = Random::new(seed);
            for round in 0..10 {
                let exchanges: Vec<Exchange> = (0..4)
                    .map(|number| {
                        let offset = number * 0x1_0000;
                        Exchange::new(stack, Direction::Write, offset, 6 * PIECE, 0, round)
                    })
                    .collect();
                let sent: Vec<_> = exchanges
                    .iter()
                    .map(|exchange| exchange.transfer(stack).send())
                    .collect();
                for pending in &sent {
                    let done = pending.wait_for(random.below(400) + 1);
                    if done.is_none() {
                        pending.cancel();
                    }
                }
                for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                    let done = pending.wait();
                    if done.succeeded() {
                        assert_success(&done, 6 * PIECE);
                        assert!(exchange.is_complete(stack));
                    } else {
                        assert_failure(&done, STATUS_CANCELLED);
                    }
                }
            }
        });
    }
}

#[test]
fn against_completion_on_other_processors() {
    const ROUNDS: u64 = 60;
    let succeeded = Arc::new(AtomicU64::new(0));
    let cancelled = Arc::new(AtomicU64::new(0));
    let hba = adapter(PIECE, 2).completion(Completion::Later(0..300));
    let world = pieces_of(PIECE)
        .hba(hba)
        .clock(Clock::Threads {
            processors: 4,
            seed: 1,
        })
        .setting("Pieces", 4);
    let (wins, losses) = (Arc::clone(&succeeded), Arc::clone(&cancelled));
    run(world, move |stack| {
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let (wins, losses) = (Arc::clone(&wins), Arc::clone(&losses));
                stack.spawn("sender", move |stack| {
                    let mut random = Random::new(thread);
                    for round in 0..ROUNDS {
                        let offset = thread * 0x10_0000;
                        let length = (1 + random.below(8) as usize) * PIECE;
                        let exchange =
                            Exchange::new(stack, Direction::Write, offset, length, 0, round);
                        let pending = exchange.transfer(stack).send();
                        if random.below(2) == 0 {
                            let _ = pending.wait_for(random.below(500));
                        }
                        pending.cancel();
                        let done = pending.wait();
                        if done.succeeded() {
                            assert_success(&done, length);
                            assert!(exchange.is_complete(stack));
                            wins.fetch_add(1, Ordering::Relaxed);
                        } else {
                            assert_failure(&done, STATUS_CANCELLED);
                            losses.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join();
        }
    });
    let (wins, losses) = (
        succeeded.load(Ordering::Relaxed),
        cancelled.load(Ordering::Relaxed),
    );
    assert_eq!(wins + losses, 4 * ROUNDS);
    assert!(losses > 0, "some were cancelled in time");
}
