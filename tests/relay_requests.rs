//! Above the class driver: requests that are wrong are the class driver's to refuse, and whatever
//! goes wrong below reaches the sender once, as itself.

mod common;

use common::{
    BOTH, Exchange, MILLISECOND, PAGE, adapter, assert_failure, assert_success, assert_told_once,
    check, moves, run, run_unchecked, world,
};
use ntsim::abi::{
    STATUS_CANCELLED, STATUS_DEVICE_DATA_ERROR, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_VERIFY_REQUIRED,
};
use ntsim::port::{Completion, Direction, Disk, Fault, Kind};
use ntsim::world::StackKind;
use ntsim::{Clock, Done, Stack, World};

const READ: u8 = 3;
const WRITE: u8 = 4;
const PIECE: usize = 0x4000;

fn relay() -> World {
    world().stack(StackKind::Relay).hba(adapter(PIECE, 5))
}

fn without_filter() -> World {
    World::without_filter()
        .stack(StackKind::Relay)
        .hba(adapter(PIECE, 5))
}

/// READs and WRITEs that have arrived at the class driver.
fn at_class(stack: &Stack) -> Vec<(u64, u32)> {
    let arrivals = stack.arrivals(stack.class_device()).into_iter();
    let transfers = arrivals.filter(|arrival| [READ, WRITE].contains(&arrival.major));
    transfers.map(|part| (part.offset, part.length)).collect()
}

/// A request that is wrong: what is wrong with it, whether that shows before it is cut, where it
/// starts, and its length.
type Wrong = (&'static str, bool, u64, u32);

const DISK: u64 = 64 << 20;
const WRONG: [Wrong; 12] = [
    ("no whole sectors", true, 0, 0x1_0001),
    ("half a sector", true, 0, 0x8100),
    ("less than a sector", true, 0, 100),
    ("in the middle of a sector", true, 100, 0x1_0000),
    ("nothing at all", true, 0, 0),
    ("nothing, nowhere", true, DISK, 0),
    ("beyond the end", false, DISK, 0x1_0200),
    ("across the end", false, DISK - 0x8000, 0x1_0000),
    ("one sector across", false, DISK - 0xFE00, 0x1_0000),
    ("beyond all numbers", true, i64::MAX as u64 & !511, 0x1_0000),
    ("before the beginning", true, -512_i64 as u64, 0x1_0000),
    ("before the beginning, fitting", true, !511, 0x4000),
];

#[test]
fn what_is_wrong_with_a_request_the_class_driver_says() {
    for (case, shows, offset, length) in WRONG {
        for direction in BOTH {
            let ask = |stack: &Stack| {
                stack.watch(stack.class_device());
                let buffer = stack.buffer(0x1_0200, 0);
                let request = common::transfer(stack, direction, offset, &buffer);
                let done = request.length(length).send().wait();
                (done, at_class(stack))
            };
            let ((with, arrived), _) = run_unchecked(relay(), ask);
            let ((without, _), _) = run_unchecked(without_filter(), ask);
            assert_told_once(&with);
            check((case, direction), &with.status, &without.status);
            // Of a request that failed in the middle the driver claims nothing; the class driver
            // leaves in there what had moved.
            assert!(with.information == without.information || with.information == 0);
            if shows {
                check(case, &arrived, &vec![(offset, length)]);
            }
        }
    }
}

#[test]
fn a_request_that_goes_a_sector_too_far_fails_where_the_class_driver_says() {
    // The pieces before the end may have moved; the sender hears of a failure, and of no bytes.
    let end = 64 << 20;
    for direction in BOTH {
        let ((), report) = run_unchecked(relay(), |stack| {
            let exchange = stack.buffer(4 * PIECE, 0);
            let offset = end - 4 * PIECE as u64 + 512;
            let done = common::transfer(stack, direction, offset, &exchange)
                .send()
                .wait();
            assert!(!done.succeeded());
            assert_told_once(&done);
        });
        assert_eq!(report.finished, report.sent);
    }
}

#[test]
fn an_error_below_reaches_the_sender() {
    for direction in BOTH {
        for piece in 0..4_u64 {
            run(relay(), |stack| {
                let fault = Fault::new(Kind::MediumError)
                    .at_lba(piece * 32 + 5)
                    .always();
                stack.port().fault(fault);
                let exchange = Exchange::new(stack, direction, 0, 4 * PIECE, 0, 1);
                let done = exchange.transfer(stack).send().wait();
                assert_failure(&done, STATUS_DEVICE_DATA_ERROR);
            });
        }
    }
}

#[test]
fn the_class_driver_does_the_retrying() {
    for kind in [
        Kind::Busy,
        Kind::UnitAttention,
        Kind::BusReset,
        Kind::AbortedCommand,
    ] {
        let ((), report) = run(relay(), |stack| {
            stack.watch(stack.class_device());
            stack.port().fault(Fault::new(kind).at_lba(40));
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1),
            );
            assert_eq!(at_class(stack).len(), 4, "nothing was sent twice to it");
        });
        let class = report.class.expect("there is a class driver");
        check(kind, &class.retries, &1);
    }
    // When it gives up, so does the driver.
    let ((), report) = run(relay().setting("Window", 1), |stack| {
        stack.watch(stack.class_device());
        stack
            .port()
            .fault(Fault::new(Kind::Busy).at_lba(40).always());
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1);
        assert!(!exchange.transfer(stack).send().wait().succeeded());
        assert_eq!(at_class(stack).len(), 2);
    });
    assert_eq!(report.class.expect("there is a class driver").failed, 1);
}

#[test]
fn a_recovered_error_below_is_no_failure() {
    for piece in 0..4_u64 {
        let ((), report) = run(relay(), |stack| {
            let fault = Fault::new(Kind::RecoveredError).at_lba(piece * 32);
            stack.port().fault(fault);
            moves(
                stack,
                &Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 1),
            );
        });
        assert_eq!(report.class.expect("there is a class driver").recovered, 1);
    }
}

#[test]
fn a_medium_that_was_changed_is_told_to_the_thread() {
    for direction in BOTH {
        for piece in 0..4 {
            // Removable: one piece at a time, although the adapter would take more.
            let hba = adapter(PIECE, 5).completion(Completion::Later(10..500));
            let medium = Disk::memory(1 << 17, 512).removable(true);
            run(relay().hba(hba).disk(medium), |stack| {
                stack.watch(stack.class_device());
                stack
                    .port()
                    .fault(Fault::new(Kind::MediumChanged).nth(piece));
                let exchange = Exchange::new(stack, direction, 0, 4 * PIECE, 0, 1);
                let request = exchange.transfer(stack).thread(0x7770);
                assert_failure(&request.send().wait(), STATUS_VERIFY_REQUIRED);
                // One at a time: nothing was sent to the new medium.
                let sent = at_class(stack);
                check(piece, &sent.len(), &(piece as usize + 1));
                // The class driver names its device to the thread of the IRP that it fails.
                let parts = stack.arrivals(stack.class_device()).into_iter();
                let mut parts = parts.filter(|part| [READ, WRITE].contains(&part.major));
                assert!(parts.all(|part| part.thread == 0x7770));
                assert_eq!(stack.port().counts().in_flight_peak, 1);
            });
        }
    }
}

#[test]
fn no_resources_below() {
    // Each form as the class driver says it. It meets the shortage itself by single pages, and where
    // even those are refused it says so; then the pieces become shorter.
    // Two of the forms it takes for an error of the device, and retries.
    for (kind, most) in [
        (Kind::NoResourcesIrp, 2),
        (Kind::NoResourcesSystem, 5),
        (Kind::NoResourcesSrb, 2),
    ] {
        for times in 1..=most {
            let ((), report) = run_unchecked(relay(), |stack| {
                stack.port().fault(Fault::new(kind).at_lba(40).times(times));
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1),
                );
            });
            common::assert_everything_came_back(&report);
            common::assert_nothing_allocated(&report);
        }
    }
    // For ever: the sender hears it from the class driver, whatever it calls it.
    let ((), report) = run_unchecked(relay(), |stack| {
        let fault = Fault::new(Kind::NoResourcesSystem).at_lba(40).always();
        stack.port().fault(fault);
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 1 << 20, 4 * PIECE, 0, 1),
        );
    });
    common::assert_everything_came_back(&report);
}

#[test]
fn cancelled_at_every_moment() {
    const COUNT: usize = 6;
    for window in 1..=3_usize {
        for completed in 0..=COUNT {
            run(relay().setting("Window", window as u32), |stack| {
                stack.port().hold(true);
                let exchange = Exchange::new(stack, Direction::Write, 0, COUNT * PIECE, 0, 2);
                let pending = exchange.transfer(stack).send();
                for _ in 0..completed {
                    stack.port().complete_next(0);
                }
                pending.cancel();
                let sent = COUNT.min(completed + window);
                check(window, &stack.port().held().len(), &(sent - completed));
                stack.port().hold(false);
                stack.port().complete_all();
                let done = pending.wait();
                if sent == COUNT {
                    assert_success(&done, COUNT * PIECE);
                } else {
                    assert_failure(&done, STATUS_CANCELLED);
                }
                check(completed, &stack.port().transfers().len(), &sent);
            });
        }
    }
}

#[test]
fn a_waiting_request_leaves_at_once() {
    run(relay().setting("Pieces", 1), |stack| {
        stack.port().hold(true);
        let first = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 1);
        let running = first.transfer(stack).send();
        let second = Exchange::new(stack, Direction::Write, 1 << 20, 3 * PIECE, 0, 2);
        let waiting = second.transfer(stack).send();
        assert!(waiting.cancel());
        assert!(waiting.is_done());
        assert_failure(&waiting.wait(), STATUS_CANCELLED);
        stack.port().hold(false);
        stack.port().complete_all();
        assert_success(&running.wait(), 3 * PIECE);
    });
}

#[test]
fn pulled_out_in_the_middle() {
    for window in 1..=3_u32 {
        for completed in 0..6 {
            run(relay().setting("Window", window), |stack| {
                stack.port().hold(true);
                let exchange = Exchange::new(stack, Direction::Read, 0, 6 * PIECE, 0, 3);
                let pending = exchange.transfer(stack).send();
                for _ in 0..completed {
                    stack.port().complete_next(0);
                }
                stack.surprise_remove().expect("nobody may refuse");
                let done = pending.wait();
                assert!(!done.succeeded());
                assert_told_once(&done);
                assert_eq!(done.information, 0);
            });
        }
    }
}

/// A request under load either moved everything or failed, and came back once.
fn whole_or_failed(done: &Done, complete: bool, length: usize) {
    assert_told_once(done);
    if done.succeeded() {
        assert_success(done, length);
        assert!(complete);
    }
}

#[test]
fn pulled_out_under_load() {
    for seed in 0..25_u64 {
        let hba = adapter(PIECE, 5).completion(Completion::Later(1..600));
        let world = relay()
            .hba(hba)
            .clock(Clock::Deterministic { seed })
            .setting("Pieces", 3);
        run(world, move |stack| {
            let threads: Vec<_> = (0..3_u64)
                .map(|thread| {
                    stack.spawn("sender", move |stack| {
                        for round in 0..10 {
                            let offset = thread << 20;
                            let length = 5 * PIECE;
                            let exchange =
                                Exchange::new(stack, Direction::Write, offset, length, 0, round);
                            let done = exchange.transfer(stack).send().wait();
                            whole_or_failed(&done, exchange.is_complete(stack), length);
                        }
                    })
                })
                .collect();
            let buffer = stack.buffer(PAGE, 0);
            let tick = stack.read(1 << 25, &buffer).send();
            let _ = tick.wait_for(seed * 97 % 4_000);
            stack.surprise_remove().expect("nobody may refuse");
            assert_told_once(&tick.wait());
            for thread in threads {
                thread.join();
            }
        });
    }
}

#[test]
fn stopped_and_started_again_with_pieces_in_flight() {
    let hba = adapter(PIECE, 5).completion(Completion::Later(1..5 * MILLISECOND));
    run(relay().hba(hba), |stack| {
        for round in 0..4 {
            let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, round);
            let pending = exchange.transfer(stack).send();
            stack.stop().expect("the device can be stopped");
            stack.start().expect("the device can be started");
            assert_success(&pending.wait(), 8 * PIECE);
            assert!(exchange.is_complete(stack));
        }
    });
}
