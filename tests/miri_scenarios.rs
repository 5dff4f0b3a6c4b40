//! Scenarios small enough to run under Miri: each way through the engine once, with at most eight
//! pieces, on the deterministic clock.
//!
//! `cargo +nightly miri test --test miri_scenarios miri_`

mod common;

use common::{
    BOTH, Exchange, assert_failure, assert_success, assert_told_once, complete_in_order, moves,
    pieces_of, run, status_of,
};
use ntsim::World;
use ntsim::abi::{
    STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_IO_DEVICE_ERROR, STATUS_NO_SUCH_DEVICE,
};
use ntsim::port::{Completion, Direction, Disk, Fault, Kind, Paired, PortLimits};

/// Few bytes: Miri looks at each.
const PIECE: usize = 1024;
const BLOCKS: u64 = 2;

fn small() -> World {
    pieces_of(PIECE)
        .disk(Disk::memory(1 << 10, 512))
        .setting("Pieces", 4)
        .setting("Window", 3)
}

fn request(stack: &ntsim::Stack, direction: Direction, pieces: usize) -> Exchange {
    Exchange::new(stack, direction, 0, pieces * PIECE, 0, 1)
}

#[test]
fn miri_inline() {
    run(small(), |stack| {
        for direction in BOTH {
            moves(stack, &request(stack, direction, 8));
            moves(
                stack,
                &Exchange::new(stack, direction, 512, 3 * PIECE + 512, 512, 2),
            );
            moves(stack, &Exchange::new(stack, direction, 0, 512, 3584, 3));
        }
    });
}

#[test]
fn miri_later() {
    let hba = common::adapter(PIECE, 2).completion(Completion::Later(1..500));
    run(small().hba(hba), |stack| {
        for direction in BOTH {
            moves(stack, &request(stack, direction, 8));
        }
    });
}

#[test]
fn miri_out_of_order() {
    run(small(), |stack| {
        stack.port().hold(true);
        let exchange = request(stack, Direction::Read, 3);
        let pending = exchange.transfer(stack).send();
        complete_in_order(stack, &[2, 0, 1], 0, BLOCKS, |_| None);
        assert_success(&pending.wait(), 3 * PIECE);
        assert!(exchange.is_complete(stack));
    });
}

#[test]
fn miri_a_port_that_maps_its_mdls() {
    let hba = common::adapter(PIECE, 2)
        .maps_mdl(true)
        .always_pending(false);
    run(small().hba(hba), |stack| {
        moves(stack, &request(stack, Direction::Write, 5));
    });
}

#[test]
fn miri_a_port_that_tells_its_limits() {
    // Told at start, told again while a question waits, and called back at the end.
    let hba = common::adapter(4 * PIECE, 5).paired(Paired::new(PortLimits::registers(2)));
    run(small().hba(hba).setting("PairedPort", 1), |stack| {
        moves(stack, &request(stack, Direction::Write, 5));
        stack.idle();
        stack.port().change_port_limits(PortLimits::registers(1));
        moves(stack, &request(stack, Direction::Read, 5));
        stack.idle();
        assert_eq!(stack.port().paired_counts().waiting, 1);
    });
}

#[test]
fn miri_failure() {
    run(small(), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::MediumError).at_lba(2 * BLOCKS));
        let done = request(stack, Direction::Write, 5)
            .transfer(stack)
            .send()
            .wait();
        assert_failure(&done, status_of(Kind::MediumError));
        moves(stack, &request(stack, Direction::Read, 2));
    });
}

#[test]
fn miri_two_failures_and_a_recovered_error() {
    run(small(), |stack| {
        stack.port().hold(true);
        let pending = request(stack, Direction::Read, 3).transfer(stack).send();
        complete_in_order(stack, &[2, 1, 0], 0, BLOCKS, |piece| {
            Some([Kind::RecoveredError, Kind::HardwareError, Kind::MediumError][piece])
        });
        assert_failure(&pending.wait(), status_of(Kind::HardwareError));
    });
}

#[test]
fn miri_short() {
    run(small(), |stack| {
        stack.port().fault(Fault::new(Kind::Short).at_lba(BLOCKS));
        let done = request(stack, Direction::Read, 3)
            .transfer(stack)
            .send()
            .wait();
        assert_failure(&done, STATUS_IO_DEVICE_ERROR);
        stack
            .port()
            .fault(Fault::new(Kind::Short).at_lba(2 * BLOCKS));
        let done = request(stack, Direction::Read, 3)
            .transfer(stack)
            .send()
            .wait();
        assert_success(&done, 2 * PIECE + PIECE / 2);
    });
}

#[test]
fn miri_retry() {
    run(small(), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::Busy).at_lba(BLOCKS).times(2));
        stack
            .port()
            .fault(Fault::new(Kind::Flushed).at_lba(2 * BLOCKS));
        moves(stack, &request(stack, Direction::Write, 4));
        stack
            .port()
            .fault(Fault::new(Kind::BusReset).at_lba(0).always());
        let done = request(stack, Direction::Read, 2)
            .transfer(stack)
            .send()
            .wait();
        assert_failure(&done, status_of(Kind::BusReset));
    });
}

#[test]
fn miri_ladder() {
    run(small(), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesIrp).at_lba(0).times(1));
        moves(stack, &request(stack, Direction::Write, 2));
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesSrb).at_lba(0).always());
        let done = request(stack, Direction::Read, 1)
            .transfer(stack)
            .send()
            .wait();
        assert_failure(&done, status_of(Kind::NoResourcesSrb));
    });
}

#[test]
fn miri_waiting_and_cancelled_while_waiting() {
    run(small().setting("Pieces", 1), |stack| {
        stack.port().hold(true);
        let exchanges = [
            Exchange::new(stack, Direction::Write, 0, 2 * PIECE, 0, 1),
            Exchange::new(stack, Direction::Write, 0x1_0000, 2 * PIECE, 0, 2),
            Exchange::new(stack, Direction::Write, 0x2_0000, 2 * PIECE, 0, 3),
        ];
        let [one, two, three] = exchanges
            .each_ref()
            .map(|exchange| exchange.transfer(stack).send());
        assert!(two.cancel() && two.is_done());
        assert_failure(&two.wait(), STATUS_CANCELLED);
        stack.port().complete_all();
        assert_success(&one.wait(), 2 * PIECE);
        assert_success(&three.wait(), 2 * PIECE);
        assert!(exchanges[0].is_complete(stack) && exchanges[2].is_complete(stack));
    });
}

#[test]
fn miri_cancelled_while_running() {
    run(small(), |stack| {
        stack.port().hold(true);
        let pending = request(stack, Direction::Read, 8).transfer(stack).send();
        stack.port().complete_next(1);
        pending.cancel();
        stack.port().complete_all();
        assert_failure(&pending.wait(), STATUS_CANCELLED);
    });
}

#[test]
fn miri_pulled_out() {
    run(small().setting("Pieces", 2), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NotReady).at_lba(BLOCKS));
        stack.port().hold(true);
        let running = request(stack, Direction::Write, 4).transfer(stack).send();
        let waiting = request(stack, Direction::Write, 4).transfer(stack).send();
        stack.port().complete_next(1);
        stack.surprise_remove().expect("nobody may refuse");
        assert_failure(&waiting.wait(), STATUS_NO_SUCH_DEVICE);
        assert_failure(&running.wait(), STATUS_NO_SUCH_DEVICE);
    });
}

#[test]
fn miri_removed_with_pieces_in_flight() {
    run(small(), |stack| {
        stack.port().hold(true);
        let exchange = request(stack, Direction::Write, 5);
        let pending = exchange.transfer(stack).send();
        let removing = stack.spawn("PnP manager", |stack| {
            stack.remove().expect("the device can be removed");
        });
        stack.idle();
        let late = request(stack, Direction::Read, 2)
            .transfer(stack)
            .send()
            .wait();
        assert_told_once(&late);
        assert!(!late.succeeded());
        stack.port().complete_all();
        assert_success(&pending.wait(), 5 * PIECE);
        removing.join();
    });
}

#[test]
fn miri_frozen_queue() {
    let world = small().disk(Disk::memory(1 << 10, 512).removable(true));
    run(world, |stack| {
        stack.port().fault(Fault::new(Kind::Busy).at_lba(BLOCKS));
        moves(stack, &request(stack, Direction::Write, 3));
        stack
            .port()
            .fault(Fault::new(Kind::HardwareError).at_lba(BLOCKS));
        let done = request(stack, Direction::Write, 3)
            .transfer(stack)
            .send()
            .wait();
        assert_failure(&done, status_of(Kind::HardwareError));
        assert!(!stack.port().is_frozen());
    });
}

#[test]
fn miri_refusal() {
    run(small().setting("MaximumPhysicalPages", 1), |stack| {
        let buffer = stack.buffer(8192, 256);
        let done = stack.write(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        let done = stack.read(0, &buffer).no_mdl().send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        assert_success(&stack.read(0, &buffer).length(0).send().wait(), 0);
    });
}

#[test]
fn miri_stopped_and_started() {
    run(small(), |stack| {
        stack.port().hold(true);
        let exchange = request(stack, Direction::Read, 4);
        let pending = exchange.transfer(stack).send();
        stack.stop().expect("the device can be stopped");
        stack.start().expect("the device can be started");
        stack.port().complete_all();
        assert_success(&pending.wait(), 4 * PIECE);
    });
}

#[test]
fn miri_no_memory_at_start() {
    use ntsim::machine::{self, AllocationKind};
    let world = small().prepare(|_| {
        machine::with(|machine| {
            machine.fail_allocations(Some(Box::new(|request| {
                request.kind == AllocationKind::Mdl
            })));
        });
    });
    run(world, |stack| {
        let buffer = stack.buffer(PIECE, 0);
        let done = stack.read(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
    });
}
