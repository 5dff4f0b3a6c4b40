//! A queue that an error froze is thawed by the driver where it is the class driver, and the request
//! comes to its end; a queue that somebody else froze or locked is left to them, and pieces wait in
//! it as long as it takes.

mod common;

use common::{
    BOTH, Exchange, FINAL, RETRYABLE, adapter, assert_failure, assert_success, check, moves, noise,
    pieces_of, run, status_of, world,
};
use ntsim::Stack;
use ntsim::World;
use ntsim::abi::{
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FUNCTION_FLUSH_QUEUE, SRB_FUNCTION_LOCK_QUEUE,
    SRB_FUNCTION_RELEASE_QUEUE, SRB_FUNCTION_UNLOCK_QUEUE, STATUS_VERIFY_REQUIRED,
};
use ntsim::port::{Completion, Direction, Disk, Fault, Hba, Kind};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;
/// An hour, in 100 ns units.
const HOUR: u64 = 36_000_000_000;

/// A removable disk: its requests must freeze the queue when they fail.
fn removable() -> World {
    pieces_of(PIECE).disk(Disk::memory(1 << 12, 512).removable(true))
}

/// How many requests with this SRB function the port has seen.
fn seen(stack: &Stack, function: u32) -> usize {
    let records = stack.port().records();
    let wanted = |record: &&ntsim::port::PortRecord| record.srb_function == Some(function as u8);
    records.iter().filter(wanted).count()
}

/// The status on a removable disk, where a unit attention may mean another medium.
fn removable_status(kind: Kind) -> i32 {
    match kind {
        Kind::UnitAttention | Kind::MediumChanged => STATUS_VERIFY_REQUIRED,
        other => status_of(other),
    }
}

#[test]
fn an_error_freezes_and_the_driver_thaws() {
    for direction in BOTH {
        run(removable().setting("MaxRetries", 0), |stack| {
            for kind in FINAL.into_iter().chain(RETRYABLE) {
                for piece in 0..3 {
                    stack.port().clear_faults();
                    stack.port().forget_records();
                    let before = stack.port().counts().freezes;
                    stack.port().fault(Fault::new(kind).at_lba(piece * BLOCKS));
                    let exchange = Exchange::new(stack, direction, 0, 3 * PIECE, 0, 1);
                    let done = exchange.transfer(stack).send().wait();
                    assert_failure(&done, removable_status(kind));
                    stack.idle();
                    check(kind, &(stack.port().counts().freezes - before), &1);
                    assert!(!stack.port().is_frozen(), "{kind:?}");
                    check(kind, &seen(stack, SRB_FUNCTION_FLUSH_QUEUE), &1);
                    check(kind, &stack.port().transfers().len(), &(piece as usize + 1));
                    moves(stack, &Exchange::new(stack, direction, 0, 3 * PIECE, 0, 2));
                }
            }
        });
    }
}

#[test]
fn the_queue_is_thawed_in_the_format_that_the_adapter_asks_for() {
    for extended in [false, true] {
        let hba = adapter(PIECE, 2).extended_srb(extended);
        run(removable().hba(hba).setting("MaxRetries", 0), |stack| {
            stack
                .port()
                .fault(Fault::new(Kind::HardwareError).at_lba(0));
            let exchange = Exchange::new(stack, Direction::Write, 0, 2 * PIECE, 0, 1);
            assert!(!exchange.transfer(stack).send().wait().succeeded());
            stack.idle();
            let records = stack.port().records();
            let flush = Some(SRB_FUNCTION_FLUSH_QUEUE as u8);
            let thaw = records.iter().find(|record| record.srb_function == flush);
            check(
                extended,
                &thaw.map(|record| record.extended),
                &Some(extended),
            );
        });
    }
}

#[test]
fn a_retry_goes_through_a_thawed_queue() {
    for completion in [Completion::Inline, Completion::Later(10..5_000)] {
        let hba = adapter(PIECE, 2).completion(completion);
        run(removable().hba(hba), |stack| {
            for kind in [
                Kind::Busy,
                Kind::BusReset,
                Kind::NotReady,
                Kind::ParityError,
            ] {
                stack.port().clear_faults();
                stack.port().fault(Fault::new(kind).at_lba(BLOCKS).times(3));
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 3),
                );
            }
            assert_eq!(stack.port().counts().freezes, 12);
        });
    }
}

#[test]
fn other_requests_come_to_their_end() {
    // Some are in the queue when it freezes. On a removable disk they must not be sent to what may
    // be another medium: they fail. None hangs, and afterwards all is well.
    for seed in 0..20 {
        let hba = adapter(PIECE, 2)
            .completion(Completion::Later(10..3_000))
            .queue_depth(2);
        let world = removable().hba(hba).seed(seed).setting("MaxRetries", 0);
        run(world, |stack| {
            stack
                .port()
                .fault(Fault::new(Kind::HardwareError).at_lba(2 * BLOCKS));
            let exchanges: Vec<Exchange> = (0..8)
                .map(|number| {
                    let offset = number * 4 * PIECE as u64;
                    Exchange::new(stack, Direction::Write, offset, 4 * PIECE, 0, number)
                })
                .collect();
            let sent: Vec<_> = exchanges
                .iter()
                .map(|exchange| exchange.transfer(stack).send())
                .collect();
            let mut failed = 0;
            for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                let done = pending.wait();
                if done.succeeded() {
                    assert_success(&done, 4 * PIECE);
                    assert!(exchange.is_complete(stack));
                } else {
                    failed += 1;
                }
            }
            assert!(failed >= 1, "one of them met an error");
            stack.idle();
            assert!(!stack.port().is_frozen());
            moves(
                stack,
                &Exchange::new(stack, Direction::Read, 0, 8 * PIECE, 0, 9),
            );
        });
    }
}

#[test]
fn pieces_for_a_removable_disk_go_one_at_a_time() {
    let hba = adapter(PIECE, 2).completion(Completion::Later(10..1_000));
    let ((), report) = run(removable().hba(hba).setting("Window", 8), |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 16 * PIECE, 0, 4),
        );
    });
    assert_eq!(report.port.in_flight_peak, 1);
}

#[test]
fn a_fixed_disk_never_freezes() {
    let ((), report) = run(pieces_of(PIECE).setting("MaxRetries", 0), |stack| {
        for kind in FINAL.into_iter().chain(RETRYABLE) {
            stack.port().clear_faults();
            stack.port().fault(Fault::new(kind).at_lba(BLOCKS));
            let exchange = Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 5);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, status_of(kind));
        }
        assert_eq!(seen(stack, SRB_FUNCTION_FLUSH_QUEUE), 0);
    });
    assert_eq!((report.port.freezes, report.port.releases), (0, 0));
}

/// Lets somebody above send a request that freezes the queue.
fn freeze(stack: &Stack) {
    stack
        .port()
        .fault(Fault::new(Kind::HardwareError).at_lba(4000));
    let buffer = stack.buffer(512, 0);
    let done = stack
        .scsi_read(4000, 1, &buffer, 0, 512)
        .without_flags(SRB_FLAGS_NO_QUEUE_FREEZE)
        .send()
        .wait();
    assert!(done.frozen && stack.port().is_frozen());
}

#[test]
fn somebody_elses_freeze_is_theirs_to_end() {
    run(pieces_of(PIECE), |stack| {
        freeze(stack);
        let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 6);
        let pending = exchange.transfer(stack).send();
        assert!(
            pending.wait_for(HOUR).is_none(),
            "it waits in the frozen queue"
        );
        assert_eq!(seen(stack, SRB_FUNCTION_RELEASE_QUEUE), 0);
        assert_eq!(seen(stack, SRB_FUNCTION_FLUSH_QUEUE), 0);
        assert_eq!(stack.port().waiting(), 4, "a window of pieces");
        stack.srb_function(SRB_FUNCTION_RELEASE_QUEUE).send().wait();
        assert_success(&pending.wait(), 8 * PIECE);
        assert!(exchange.is_complete(stack));
    });
}

#[test]
fn pieces_flushed_from_somebody_elses_frozen_queue_are_sent_again() {
    run(pieces_of(PIECE), |stack| {
        freeze(stack);
        let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 7);
        let pending = exchange.transfer(stack).send();
        stack.srb_function(SRB_FUNCTION_FLUSH_QUEUE).send().wait();
        assert_success(&pending.wait(), 8 * PIECE);
        assert!(exchange.is_complete(stack));
    });
}

#[test]
fn a_locked_queue_suspends_a_transfer_for_as_long_as_it_takes() {
    run(pieces_of(PIECE), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 12 * PIECE, 0, 8);
        let pending = exchange.transfer(stack).send();
        stack.port().complete_next(0);
        stack.srb_function(SRB_FUNCTION_LOCK_QUEUE).send().wait();
        stack.port().complete_all();
        assert!(
            pending.wait_for(10 * HOUR).is_none(),
            "no timeout of its own"
        );
        assert!(stack.port().is_locked());
        assert_eq!(stack.port().in_flight().len(), 0);
        assert_eq!(stack.port().waiting(), 4);
        stack.port().hold(false);
        stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
        assert_success(&pending.wait(), 12 * PIECE);
        assert!(exchange.is_complete(stack));
    });
}

#[test]
fn a_lock_at_every_moment_of_a_transfer() {
    for moment in 0..=8 {
        run(pieces_of(PIECE).setting("Window", 3), |stack| {
            stack.port().hold(true);
            let exchange = Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 9);
            let pending = exchange.transfer(stack).send();
            for _ in 0..moment {
                stack.port().complete_next(0);
            }
            stack.srb_function(SRB_FUNCTION_LOCK_QUEUE).send().wait();
            stack.port().complete_all();
            let beyond = stack.buffer(PIECE, 0);
            beyond.write(0, &noise(10, PIECE));
            let other = stack.write(1 << 20, &beyond).send();
            assert!(!other.is_done(), "it waits behind the lock");
            stack.port().hold(false);
            stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
            assert_success(&pending.wait(), 8 * PIECE);
            assert_success(&other.wait(), PIECE);
            assert!(exchange.is_complete(stack));
        });
    }
}

#[test]
fn a_unit_without_command_queueing_is_served_in_order() {
    let hba = Hba::profile("at-256-sectors").completion(Completion::Later(10..1_000));
    let ((), report) = run(world().hba(hba).setting("Window", 8), |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 1 << 20, 0, 11),
        );
        let lbas: Vec<u64> = stack
            .port()
            .transfers()
            .iter()
            .map(|record| record.lba)
            .collect();
        assert!(lbas.is_sorted(), "{lbas:?}");
    });
    assert_eq!(report.port.in_flight_peak, 1);
    assert_eq!(
        report.port.queued, 0,
        "nothing waited in the adapter's queue"
    );
}
