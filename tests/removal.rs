//! A device that goes away takes nobody's request with it: each comes back once, nothing more is
//! sent, nothing is touched after it was freed, and nothing is left behind.

mod common;

use common::{
    BOTH, Exchange, MILLISECOND, adapter, assert_failure, assert_success, assert_told_once, check,
    moves, pieces_of, run,
};
use ntsim::abi::{STATUS_DELETE_PENDING, STATUS_NO_SUCH_DEVICE};
use ntsim::port::{Completion, Direction, Disk, Fault, Kind};
use ntsim::{Clock, Done, Shape, Stack, World};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;

/// What a request gets that comes too late: from the driver, or from the framework's own lock.
#[track_caller]
fn assert_too_late(done: &Done) {
    assert_told_once(done);
    assert!(
        [STATUS_NO_SUCH_DEVICE, STATUS_DELETE_PENDING].contains(&done.status),
        "{done:?}"
    );
    assert_eq!(done.information, 0);
}

#[test]
fn pulled_out_with_pieces_in_flight() {
    const COUNT: usize = 8;
    for direction in BOTH {
        for window in 1..=4_usize {
            for completed in 0..COUNT {
                let world = pieces_of(PIECE).setting("Window", window as u32);
                run(world, |stack| {
                    stack.port().hold(true);
                    let exchange = Exchange::new(stack, direction, 0, COUNT * PIECE, 0, 1);
                    let pending = exchange.transfer(stack).send();
                    for _ in 0..completed {
                        stack.port().complete_next(0);
                    }
                    stack.surprise_remove().expect("nobody may refuse");
                    assert!(pending.is_done(), "it does not wait for REMOVE");
                    assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
                    let sent = COUNT.min(completed + window);
                    check((window, completed), &stack.port().transfers().len(), &sent);
                });
            }
        }
    }
}

#[test]
fn waiting_requests_fail_when_the_device_is_pulled_out() {
    run(pieces_of(PIECE).setting("Pieces", 2), |stack| {
        stack.port().hold(true);
        let buffer = stack.buffer(4 * PIECE, 0);
        let pending: Vec<_> = (0..20).map(|_| stack.write(0, &buffer).send()).collect();
        stack.surprise_remove().expect("nobody may refuse");
        for pending in pending {
            assert!(pending.is_done());
            assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
        }
        assert_eq!(stack.port().transfers().len(), 2);
    });
}

#[test]
fn pulled_out_while_a_piece_waits_for_its_next_attempt() {
    run(pieces_of(PIECE), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NotReady).at_lba(BLOCKS).always());
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 2);
        let pending = exchange.transfer(stack).send();
        assert!(pending.wait_for(5 * MILLISECOND).is_none());
        let before = stack.machine().now();
        stack.surprise_remove().expect("nobody may refuse");
        assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
        stack
            .remove()
            .expect("a device that is gone can be removed");
        let waited = (stack.machine().now() - before) / MILLISECOND;
        assert!(
            waited < 1_000,
            "nothing waits for a timer of ten seconds: {waited} ms"
        );
    });
}

#[test]
fn a_piece_that_fails_after_the_device_was_pulled_out_waits_for_nothing() {
    // The port driver gives a piece back as busy after the filter has heard of the removal.
    run(pieces_of(PIECE).setting("Window", 2), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 3);
        let pending = exchange.transfer(stack).send();
        let before = stack.machine().now();
        stack.surprise_remove().expect("nobody may refuse");
        assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
        assert!(stack.machine().now() - before < 1_000 * MILLISECOND);
    });
}

#[test]
fn requests_after_the_device_was_pulled_out() {
    run(pieces_of(PIECE), |stack| {
        stack.surprise_remove().expect("nobody may refuse");
        let before = stack.port().transfers().len();
        for length in [512, 8 * PIECE] {
            let buffer = stack.buffer(length, 0);
            assert_too_late(&stack.read(0, &buffer).send().wait());
            assert_too_late(&stack.write(0, &buffer).send().wait());
        }
        assert_eq!(stack.port().transfers().len(), before, "nothing was sent");
    });
}

/// Begins REMOVE on another thread while the adapter holds pieces, and runs `then` when REMOVE has
/// got as far as it can.
fn remove_and(stack: &Stack, then: impl FnOnce()) {
    let removing = stack.spawn("PnP manager", |stack| {
        stack.remove().expect("the device can be removed");
    });
    stack.idle();
    then();
    removing.join();
}

#[test]
fn removed_with_pieces_in_flight() {
    for completed in 0..=6 {
        run(pieces_of(PIECE).setting("Window", 2), |stack| {
            stack.port().hold(true);
            let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 4);
            let pending = exchange.transfer(stack).send();
            for _ in 0..completed {
                stack.port().complete_next(0);
            }
            remove_and(stack, || {
                assert_eq!(pending.is_done(), completed == 6, "REMOVE waits for it");
                stack.port().complete_all();
                assert_success(&pending.wait(), 6 * PIECE);
                assert!(exchange.is_complete(stack));
            });
        });
    }
}

#[test]
fn requests_that_arrive_while_the_device_is_being_removed() {
    run(pieces_of(PIECE).setting("Window", 2), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 5);
        let pending = exchange.transfer(stack).send();
        remove_and(stack, || {
            let before = stack.port().held().len();
            for length in [512, PIECE, 8 * PIECE] {
                let buffer = stack.buffer(length, 0);
                assert_too_late(&stack.read(0, &buffer).send().wait());
                assert_too_late(&stack.write(0, &buffer).send().wait());
            }
            assert_eq!(stack.port().held().len(), before, "nothing was sent");
            stack.port().complete_all();
            assert_success(&pending.wait(), 6 * PIECE);
        });
    });
}

#[test]
fn a_retry_after_the_device_has_begun_to_be_removed() {
    // A piece fails while REMOVE waits for it: its next attempt, and all that follow, are made then.
    for kind in [
        Kind::Busy,
        Kind::BusReset,
        Kind::NoResourcesSrb,
        Kind::Flushed,
    ] {
        run(pieces_of(PIECE).setting("Window", 2), |stack| {
            stack.port().hold(true);
            let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 6);
            let pending = exchange.transfer(stack).send();
            remove_and(stack, || {
                stack.port().hold(false);
                stack.port().complete_with(0, kind);
                stack.port().complete_all();
                assert_success(&pending.wait(), 6 * PIECE);
                assert!(exchange.is_complete(stack));
            });
        });
    }
}

#[test]
fn what_is_not_ours_still_passes_while_the_device_is_being_removed() {
    // The port has not seen REMOVE yet, and a class driver that drains may have to ask it something.
    run(pieces_of(PIECE).shape(Shape::Srb), |stack| {
        stack.port().hold(true);
        let buffer = stack.buffer(6 * PIECE, 0);
        let split = stack.scsi_write(0, 48, &buffer, 0, 6 * PIECE as u32).send();
        remove_and(stack, || {
            let passed = stack.scsi(&[0; 6]).send();
            let late = stack.scsi_write(0, 48, &buffer, 0, 6 * PIECE as u32).send();
            assert_eq!(late.wait().irp.status, STATUS_NO_SUCH_DEVICE);
            stack.port().complete_all();
            assert!(passed.wait().irp.succeeded(), "TEST UNIT READY");
            assert!(split.wait().irp.succeeded(), "begun before");
        });
    });
}

#[test]
fn a_sender_that_tries_again_after_remove() {
    // Class drivers forward REMOVE before they have drained their own requests: one that failed is
    // sent again while the filter is being taken apart.
    run(pieces_of(PIECE).setting("MaxRetries", 0), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 7);
        let other = Exchange::new(stack, Direction::Write, 1 << 20, PIECE, 0, 8);
        let pending = exchange.transfer(stack).send();
        let keeps_it_waiting = other.transfer(stack).send();
        remove_and(stack, || {
            stack.port().complete_with(0, Kind::BusReset);
            while stack.port().held().len() > 1 {
                stack.port().complete_next(0);
            }
            assert!(!pending.wait().succeeded());
            assert_too_late(&exchange.transfer(stack).send().wait());
            stack.port().complete_all();
            assert_success(&keeps_it_waiting.wait(), PIECE);
        });
    });
}

#[test]
fn waiting_requests_are_served_before_the_device_goes() {
    run(pieces_of(PIECE).setting("Pieces", 1), |stack| {
        stack.port().hold(true);
        let exchanges: Vec<Exchange> = (0..6)
            .map(|number| {
                let offset = number * 0x1_0000;
                Exchange::new(stack, Direction::Write, offset, 3 * PIECE, 0, number)
            })
            .collect();
        let sent: Vec<_> = exchanges
            .iter()
            .map(|exchange| exchange.transfer(stack).send())
            .collect();
        remove_and(stack, || {
            stack.port().hold(false);
            stack.port().complete_all();
            for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                assert_success(&pending.wait(), 3 * PIECE);
                assert!(exchange.is_complete(stack));
            }
        });
    });
}

#[test]
fn a_frozen_queue_does_not_keep_the_device() {
    let world = pieces_of(PIECE)
        .disk(Disk::memory(1 << 12, 512).removable(true))
        .setting("MaxRetries", 0);
    run(world, |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 9);
        let pending = exchange.transfer(stack).send();
        let behind = Exchange::new(stack, Direction::Write, 1 << 20, PIECE, 0, 10);
        let waits = behind.transfer(stack).send();
        remove_and(stack, || {
            stack.port().hold(false);
            stack.port().complete_with(0, Kind::HardwareError);
            stack.port().complete_all();
            assert!(!pending.wait().succeeded());
            assert_told_once(&waits.wait());
        });
    });
}

#[test]
fn stopped_and_started_again_with_pieces_in_flight() {
    run(pieces_of(PIECE).setting("Window", 2), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 6 * PIECE, 0, 11);
        let pending = exchange.transfer(stack).send();
        stack.stop().expect("the device can be stopped");
        assert!(!pending.is_done());
        stack.start().expect("the device can be started");
        stack.port().hold(false);
        stack.port().complete_all();
        assert_success(&pending.wait(), 6 * PIECE);
        assert!(exchange.is_complete(stack));
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 8 * PIECE, 0, 12),
        );
    });
}

/// Senders on several threads, a device that goes at some moment, every request back once.
fn pulled_out_under_load(world: World, seed: u64) {
    let ((), report) = run(world, move |stack| {
        let threads: Vec<_> = (0..3_u64)
            .map(|thread| {
                stack.spawn("sender", move |stack| {
                    for round in 0..12 {
                        let offset = thread * 0x10_0000;
                        let exchange =
                            Exchange::new(stack, Direction::Write, offset, 5 * PIECE, 0, round);
                        let done = exchange.transfer(stack).send().wait();
                        if done.succeeded() {
                            assert_success(&done, 5 * PIECE);
                            assert!(exchange.is_complete(stack));
                        } else {
                            assert_too_late(&done);
                        }
                    }
                })
            })
            .collect();
        let buffer = stack.buffer(PIECE, 0);
        let timer = stack.read(1 << 25, &buffer).send();
        let _ = timer.wait_for(seed * 37 % 3_000);
        stack.surprise_remove().expect("nobody may refuse");
        assert_told_once(&timer.wait());
        for thread in threads {
            thread.join();
        }
    });
    assert_eq!(report.sent, 37);
}

#[test]
fn pulled_out_at_many_moments() {
    for seed in 0..60 {
        let hba = adapter(PIECE, 2).completion(Completion::Later(1..400));
        let world = pieces_of(PIECE)
            .hba(hba)
            .clock(Clock::Deterministic { seed })
            .setting("Pieces", 3);
        pulled_out_under_load(world, seed);
    }
}

#[test]
fn pulled_out_on_real_processors() {
    for seed in 0..6 {
        let hba = adapter(PIECE, 2).completion(Completion::Later(1..400));
        let world = pieces_of(PIECE)
            .hba(hba)
            .clock(Clock::Threads {
                processors: 4,
                seed,
            })
            .setting("Pieces", 3);
        pulled_out_under_load(world, seed * 500);
    }
}
