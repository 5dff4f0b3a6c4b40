//! Memory may be short at any moment: for the MDL, for an IRP, for a mapping, for locked pages. The
//! request then takes another way or ends with STATUS_INSUFFICIENT_RESOURCES, and leaves nothing.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, assert_failure, assert_success, lower, moves, portions,
    portions_of, run,
};
use ntsim::Stack;
use ntsim::abi::{MDL, STATUS_INSUFFICIENT_RESOURCES};
use ntsim::machine::{AllocationKind, AllocationRequest};
use ntsim::port::Direction;

const PAGES: usize = 4;
const LENGTH: usize = 16 * PAGE;

fn failing(stack: &Stack, when: impl Fn(&AllocationRequest) -> bool + Send + Sync + 'static) {
    stack.machine().fail_allocations(Some(Box::new(when)));
}

/// Pages that an MDL of so many bytes has room for.
const fn pages_of(mdl_bytes: usize) -> usize {
    (mdl_bytes - size_of::<MDL>()) / 8
}

#[test]
fn without_room_for_mappings_portions_travel_by_mdl() {
    for direction in BOTH {
        run(portions_of(PAGES, 1), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, direction, 0, LENGTH, 0);
            failing(stack, |request| request.kind == AllocationKind::Mapping);
            let before = stack.machine().allocations();
            moves(stack, &exchange);
            let after = stack.machine().allocations();
            assert_eq!(after.irp - before.irp, 1, "one of its own for all portions");
            assert_eq!(after.mdl - before.mdl, 1);
            assert_eq!(portions(stack).len(), LENGTH / PAGE / PAGES);
            stack.machine().fail_allocations(None);
        });
    }
}

#[test]
fn without_irps_nothing_is_sent() {
    for carriage in CARRIAGES {
        run(portions_of(PAGES, carriage), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, Direction::Write, 0, LENGTH, 0);
            failing(stack, |request| request.kind == AllocationKind::Irp);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
            assert!(portions(stack).is_empty());
            assert_eq!(process.locked_pages(), 0);
            stack.machine().fail_allocations(None);
            moves(stack, &exchange);
        });
    }
}

#[test]
fn an_irp_of_the_drivers_own_stands_in_for_one_of_the_io_managers() {
    run(portions_of(PAGES, 1), |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, Direction::Write, 0, LENGTH, 0);
        // IoBuildSynchronousFsdRequest does not say how long its IRP is; IoAllocateIrp does.
        failing(stack, |request| {
            request.kind == AllocationKind::Irp && request.bytes == 0
        });
        moves(stack, &exchange);
        stack.machine().fail_allocations(None);
    });
}

#[test]
fn a_smaller_mdl_where_a_large_one_is_not_to_be_had() {
    for largest in [1, 2, 3] {
        run(portions_of(PAGES, 0), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, Direction::Read, 0, LENGTH, 0);
            failing(stack, move |request| {
                request.kind == AllocationKind::Mdl && pages_of(request.bytes) > largest
            });
            moves(stack, &exchange);
            stack.machine().fail_allocations(None);
            let expected = if largest == 1 { 1 } else { 2 };
            let sizes: Vec<_> = portions(stack).iter().map(|one| one.span_pages).collect();
            assert_eq!(sizes, vec![expected; LENGTH / PAGE / expected as usize]);
        });
    }
}

#[test]
fn no_mdl_at_all() {
    run(portions_of(PAGES, 0), |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, Direction::Read, 0, LENGTH, 0);
        failing(stack, |request| request.kind == AllocationKind::Mdl);
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
        stack.machine().fail_allocations(None);
        assert_eq!(stack.machine().lock_counts().ranges, 0);
    });
}

#[test]
fn every_single_allocation_fails_once() {
    for carriage in CARRIAGES {
        for direction in BOTH {
            run(portions_of(PAGES, carriage), |stack| {
                let process = stack.process("program");
                // Whole portions: the lack of a single page more would be the end of the request.
                let (mut succeeded, mut failed) = (0, 0);
                for ordinal in 0..40 {
                    let exchange = Exchange::new(stack, &process, direction, 0, LENGTH, 0);
                    let counter = AtomicU64::new(0);
                    failing(stack, move |_| {
                        counter.fetch_add(1, Ordering::Relaxed) == ordinal
                    });
                    let done = exchange.transfer(stack).send().wait();
                    stack.machine().fail_allocations(None);
                    if done.succeeded() {
                        assert_success(&done, LENGTH);
                        assert!(exchange.is_complete(stack));
                        succeeded += 1;
                    } else {
                        assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
                        failed += 1;
                    }
                    assert_eq!(process.locked_pages(), 0);
                }
                // The own IRP is the one thing that nothing can stand in for.
                let expected = i32::from(carriage == 0);
                assert_eq!(failed, expected, "{succeeded} succeeded");
            });
        }
    }
}
