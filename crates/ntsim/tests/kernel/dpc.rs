//! DPCs and timers.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ntsim::abi::*;
use ntsim::{Machine, ke, ntddk};

use crate::kit::*;

/// A DPC, a timer and a count, as drivers have them in one structure.
#[repr(C)]
struct Block {
    dpc: KDPC,
    timer: KTIMER,
    runs: AtomicU32,
    irql: AtomicU32,
}

unsafe extern "C" fn routine(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the context is the block; its counts are atomic.
    unsafe {
        let block: *mut Block = context.cast();
        (*block).runs.fetch_add(1, Ordering::SeqCst);
        (*block).irql.store(u32::from(ke::irql()), Ordering::SeqCst);
    }
}

fn block() -> *mut Block {
    // SAFETY: fresh pool of the right size, initialised here.
    unsafe {
        let block: *mut Block =
            ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Block>() as u64, 1).cast();
        ntddk::KeInitializeDpc(&raw mut (*block).dpc, Some(routine), block.cast());
        ntddk::KeInitializeTimer(&raw mut (*block).timer);
        block
    }
}

/// How often the block's DPC ran, and its memory back.
fn end(block: *mut Block) -> u32 {
    // SAFETY: our block, with nothing queued or set.
    unsafe {
        let runs = (*block).runs.load(Ordering::SeqCst);
        ntddk::ExFreePool(block.cast());
        runs
    }
}

fn relative(time: i64) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: -time }
}

#[test]
fn a_dpc_runs_at_once_below_dispatch_level() {
    let machine = deterministic(1);
    let result = machine.run(|| {
        let block = block();
        // SAFETY: our block.
        let (queued, runs, irql) = unsafe {
            let queued = ntddk::KeInsertQueueDpc(&raw mut (*block).dpc, null_mut(), null_mut());
            let runs = (*block).runs.load(Ordering::SeqCst);
            (queued, runs, (*block).irql.load(Ordering::SeqCst))
        };
        end(block);
        (queued, runs, irql)
    });
    assert_eq!(result, Ok((1, 1, 2)));
}

#[test]
fn a_dpc_waits_for_the_irql_to_fall_and_is_queued_once() {
    let machine = deterministic(1);
    let result = machine.run(|| {
        let block = block();
        // SAFETY: our block.
        let dpc = unsafe { &raw mut (*block).dpc };
        let seen = ke::raise_to_dispatch(|| {
            // SAFETY: our block.
            unsafe {
                let first = ntddk::KeInsertQueueDpc(dpc, null_mut(), null_mut());
                let second = ntddk::KeInsertQueueDpc(dpc, null_mut(), null_mut());
                (first, second, (*block).runs.load(Ordering::SeqCst))
            }
        });
        (seen, end(block))
    });
    assert_eq!(result, Ok(((1, 0, 0), 1)));
}

#[test]
fn a_queued_dpc_can_be_removed() {
    let machine = deterministic(1);
    let result = machine.run(|| {
        let block = block();
        // SAFETY: our block.
        let removed = ke::raise_to_dispatch(|| unsafe {
            let dpc = &raw mut (*block).dpc;
            ntddk::KeInsertQueueDpc(dpc, null_mut(), null_mut());
            (ntddk::KeRemoveQueueDpc(dpc), ntddk::KeRemoveQueueDpc(dpc))
        });
        (removed, end(block))
    });
    assert_eq!(result, Ok(((1, 0), 0)));
}

#[test]
fn flushing_waits_for_queued_dpcs() {
    let result = on_both(|| {
        let block = block();
        // SAFETY: our block.
        unsafe {
            ke::raise_to_dispatch(|| {
                ntddk::KeInsertQueueDpc(&raw mut (*block).dpc, null_mut(), null_mut());
            });
            ntddk::KeFlushQueuedDpcs();
        }
        end(block)
    });
    assert_eq!(result, Ok(1));
}

#[test]
fn flushing_waits_for_what_a_device_has_running() {
    // A neighbour's DPC, to a driver: it may be inside a routine of the driver's.
    let result = on_both(|| {
        let ended = Arc::new(AtomicU32::new(0));
        let seen: Vec<u32> = (0..50)
            .map(|_| {
                let (running, count) = (Arc::new(AtomicU32::new(0)), Arc::clone(&ended));
                let inside = Arc::clone(&running);
                ke::device_event(0, move || {
                    inside.store(1, Ordering::SeqCst);
                    for _ in 0..100 {
                        // SAFETY: no precondition; other processors may get ahead here.
                        unsafe { ntddk::KeGetCurrentIrql() };
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                });
                while running.load(Ordering::SeqCst) == 0 {
                    ke::delay(1);
                }
                // SAFETY: PASSIVE_LEVEL.
                unsafe { ntddk::KeFlushQueuedDpcs() };
                ended.load(Ordering::SeqCst)
            })
            .collect();
        seen
    });
    assert_eq!(result, Ok((1..=50).collect()));
}

#[test]
fn a_timer_queues_its_dpc_and_wakes_waiters() {
    let result = on_both(|| {
        let block = block();
        // SAFETY: our block.
        let (set, again, status) = unsafe {
            let timer = &raw mut (*block).timer;
            let dpc = &raw mut (*block).dpc;
            let set = ntddk::KeSetTimer(timer, relative(50_000), dpc);
            let again = ntddk::KeSetTimer(timer, relative(10_000), dpc);
            let object = timer.cast();
            let status = ntddk::KeWaitForSingleObject(object, 0, 0, 0, null_mut());
            ntddk::KeFlushQueuedDpcs();
            (set, again, status)
        };
        Machine::current().idle();
        (set, again, status, end(block))
    });
    assert_eq!(result, Ok((0, 1, STATUS_SUCCESS, 1)));
}

#[test]
fn a_cancelled_timer_does_nothing() {
    let result = on_both(|| {
        let block = block();
        // SAFETY: our block.
        let cancelled = unsafe {
            let timer = &raw mut (*block).timer;
            ntddk::KeSetTimer(timer, relative(1_000_000_000), &raw mut (*block).dpc);
            (ntddk::KeCancelTimer(timer), ntddk::KeCancelTimer(timer))
        };
        Machine::current().idle();
        (cancelled, end(block))
    });
    assert_eq!(result, Ok(((1, 0), 0)));
}

#[cfg(not(miri))]
mod wrong {
    use ntsim::machine::codes;

    use super::*;

    #[test]
    fn freeing_a_timer_that_is_set() {
        let report = stops(|| {
            let block = block();
            // SAFETY: our block; the rule under test.
            unsafe {
                ntddk::KeSetTimer(&raw mut (*block).timer, relative(1 << 40), null_mut());
                ntddk::ExFreePool(block.cast());
            }
        });
        assert_eq!((report.code, report.parameters[0]), (0xC7, 0), "{report}");
    }

    #[test]
    fn freeing_a_dpc_that_is_queued() {
        let report = stops_deterministic(|| {
            let block = block();
            // SAFETY: our block; the rule under test.
            ke::raise_to_dispatch(|| unsafe {
                ntddk::KeInsertQueueDpc(&raw mut (*block).dpc, null_mut(), null_mut());
                ntddk::ExFreePool(block.cast());
            });
        });
        assert_eq!((report.code, report.parameters[0]), (0xC7, 1), "{report}");
    }

    #[test]
    fn using_a_dpc_or_timer_in_freed_memory() {
        for timer in [false, true] {
            let report = stops(move || {
                let block = block();
                // SAFETY: not: the memory is freed. The rule under test.
                unsafe {
                    ntddk::ExFreePool(block.cast());
                    if timer {
                        ntddk::KeSetTimer(&raw mut (*block).timer, relative(5), null_mut());
                    } else {
                        ntddk::KeInsertQueueDpc(&raw mut (*block).dpc, null_mut(), null_mut());
                    }
                }
            });
            assert_eq!(report.code, codes::TIMER_OR_DPC_INVALID, "{report}");
        }
    }

    #[test]
    fn a_dpc_that_waits() {
        unsafe extern "C" fn waits(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
            Outcome::new().wait();
        }
        let report = stops(|| {
            let block = block();
            // SAFETY: our block.
            unsafe {
                ntddk::KeInitializeDpc(&raw mut (*block).dpc, Some(waits), null_mut());
                ntddk::KeInsertQueueDpc(&raw mut (*block).dpc, null_mut(), null_mut());
                ntddk::KeFlushQueuedDpcs();
            }
        });
        assert_eq!(report.code, codes::IRQL_NOT_LESS_OR_EQUAL, "{report}");
        assert!(report.story.contains("a DPC"), "{report}");
    }
}
