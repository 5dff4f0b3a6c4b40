//! The document's sequence, call by call: allocate an MDL for a portion, lock it, transfer, unlock it;
//! then the same MDL again if it is large enough, or free it and allocate another; at the end, unlock
//! and free.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{BOTH, CARRIAGES, Exchange, PAGE, SECTOR, moves, portions_of, quota, run};
use ntsim::Stack;
use ntsim::abi::STATUS_WORKING_SET_QUOTA;
use ntsim::machine::AllocationKind;

/// A step of the driver's, without what the carriage does besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Allocate(usize),
    Lock(usize),
    LockFails(usize),
    Transfer,
    Unlock(usize),
    Free,
}
use Step::{Allocate, Free, Lock, LockFails, Transfer, Unlock};

/// What the driver under test has called.
fn steps(stack: &Stack) -> Vec<Step> {
    let calls = stack.machine().calls();
    let own = calls.iter().filter(|call| &*call.driver == "highest");
    own.filter_map(|call| match call.name {
        "IoAllocateMdl" => Some(Allocate(call.pages)),
        "MmProbeAndLockPages" if call.status == 0 => Some(Lock(call.pages)),
        "MmProbeAndLockPages" => {
            assert_eq!(call.status, STATUS_WORKING_SET_QUOTA);
            Some(LockFails(call.pages))
        }
        "IofCallDriver" => Some(Transfer),
        "MmUnlockPages" => Some(Unlock(call.pages)),
        "IoFreeMdl" => Some(Free),
        _ => None,
    })
    .collect()
}

/// One portion on its way.
fn portion(pages: usize) -> [Step; 3] {
    [Lock(pages), Transfer, Unlock(pages)]
}

#[test]
fn one_mdl_for_portions_of_one_size() {
    for carriage in CARRIAGES {
        for direction in BOTH {
            run(portions_of(3, carriage), |stack| {
                let process = stack.process("program");
                let exchange = Exchange::new(stack, &process, direction, 0, 10 * PAGE, SECTOR);
                stack.machine().watch_calls();
                moves(stack, &exchange);
                // Eleven pages are touched.
                let mut expected = vec![Allocate(3)];
                for pages in [3, 3, 3, 2] {
                    expected.extend(portion(pages));
                }
                expected.push(Free);
                assert_eq!(steps(stack), expected);
            });
        }
    }
}

#[test]
fn a_portion_that_cannot_be_locked_is_halved_in_the_same_mdl() {
    for carriage in CARRIAGES {
        let world = portions_of(8, carriage).lock_limits(quota(2));
        run(world, |stack| {
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, BOTH[0], 0, 8 * PAGE, 0);
            stack.machine().watch_calls();
            moves(stack, &exchange);
            let mut expected = vec![Allocate(8), LockFails(8), LockFails(4)];
            for _ in 0..4 {
                expected.extend(portion(2));
            }
            expected.push(Free);
            assert_eq!(steps(stack), expected);
        });
    }
}

#[test]
fn a_short_portion_is_halved_from_its_own_length() {
    let world = portions_of(16, 0).lock_limits(quota(2));
    run(world, |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, 4 * PAGE, 0);
        stack.machine().watch_calls();
        moves(stack, &exchange);
        let mut expected = vec![Allocate(4), LockFails(4)];
        for _ in 0..2 {
            expected.extend(portion(2));
        }
        expected.push(Free);
        assert_eq!(steps(stack), expected);
    });
}

#[test]
fn eight_portions_of_the_size_that_could_be_locked_come_before_twice_the_size() {
    run(portions_of(4, 0), |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, (3 * 4 + 10) * PAGE, 0);
        let short = process.clone();
        let mut arrived = 0;
        stack.port().observe(Some(Box::new(move |_| {
            arrived += 1;
            if arrived == 3 {
                short.limit_locked_pages(1);
            }
        })));
        stack.machine().watch_calls();
        moves(stack, &exchange);
        stack.port().observe(None);
        let mut expected = vec![Allocate(4)];
        for _ in 0..3 {
            expected.extend(portion(4));
        }
        expected.extend([LockFails(4), LockFails(2)]);
        for _ in 0..8 {
            expected.extend(portion(1));
        }
        expected.push(LockFails(2));
        for _ in 0..2 {
            expected.extend(portion(1));
        }
        expected.push(Free);
        assert_eq!(steps(stack), expected);
    });
}

#[test]
fn an_mdl_that_is_too_small_for_the_next_portion_is_freed() {
    for carriage in CARRIAGES {
        run(portions_of(2, carriage), |stack| {
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, BOTH[1], 0, 12 * PAGE, 0);
            // No room for an MDL of two pages, for once: eight portions of one page, then two again.
            let failed = AtomicBool::new(false);
            stack
                .machine()
                .fail_allocations(Some(Box::new(move |request| {
                    request.kind == AllocationKind::Mdl && !failed.swap(true, Ordering::Relaxed)
                })));
            stack.machine().watch_calls();
            moves(stack, &exchange);
            stack.machine().fail_allocations(None);
            let mut expected = vec![Allocate(2), Allocate(1)];
            for _ in 0..8 {
                expected.extend(portion(1));
            }
            expected.extend([Free, Allocate(2)]);
            for _ in 0..2 {
                expected.extend(portion(2));
            }
            expected.push(Free);
            assert_eq!(steps(stack), expected);
        });
    }
}

#[test]
fn the_loop_of_synchronous_requests() {
    // IoBuildSynchronousFsdRequest, IoCallDriver, KeWaitForSingleObject (the filter below says
    // STATUS_PENDING), again and again, on a mapping of each portion.
    run(portions_of(2, 1), |stack| {
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, 6 * PAGE, 0);
        stack.machine().watch_calls();
        moves(stack, &exchange);
        let calls = stack.machine().calls();
        let own = calls.iter().filter(|call| &*call.driver == "highest");
        // Before and behind that is the framework, at work for the driver.
        let names: Vec<_> = own
            .map(|call| call.name)
            .skip_while(|&name| name != "IoAllocateMdl")
            .take_while(|&name| name != "IofCompleteRequest")
            .collect();
        let mut expected = vec!["IoAllocateMdl"];
        for _ in 0..3 {
            expected.extend([
                "MmProbeAndLockPages",
                "KeAreAllApcsDisabled",
                "MmMapLockedPagesSpecifyCache",
                "KeInitializeEvent",
                "IoBuildSynchronousFsdRequest",
                "IofCallDriver",
                "KeWaitForSingleObject",
                "MmUnlockPages",
            ]);
        }
        expected.push("IoFreeMdl");
        assert_eq!(names, expected);
    });
}
