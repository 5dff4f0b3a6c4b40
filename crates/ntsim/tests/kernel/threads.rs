//! NT threads that wait for one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ntsim::abi::*;
use ntsim::{Machine, ke, ntddk};

use crate::kit::*;

#[test]
fn a_synchronization_event_lets_one_waiter_go() {
    let result = on_both(|| {
        let outcome = Outcome::new();
        let event = outcome.event.get();
        // SAFETY: our event, initialised anew before anybody uses it.
        unsafe { ntddk::KeInitializeEvent(event, _EVENT_TYPE::SynchronizationEvent, 0) };
        let woken = Arc::new(AtomicU32::new(0));
        let machine = Machine::current();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (event, woken) = (Carry(event), woken.clone());
                machine.spawn_thread("waiter", move || {
                    // SAFETY: the event outlives the thread, which is joined below.
                    unsafe { ke::wait(event.get(), None) };
                    woken.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        let mut counts = Vec::new();
        for _ in 0..3 {
            machine.idle();
            counts.push(woken.load(Ordering::SeqCst));
            // SAFETY: as above.
            unsafe { ntddk::KeSetEvent(event, 0, 0) };
        }
        for waiter in waiters {
            waiter.join();
        }
        counts.push(woken.load(Ordering::SeqCst));
        counts
    });
    assert_eq!(result, Ok(vec![0, 1, 2, 3]));
}

#[test]
fn a_notification_event_stays_signalled() {
    let result = on_both(|| {
        let outcome = Outcome::new();
        let event = outcome.event.get();
        // SAFETY: our event.
        unsafe {
            let before = ntddk::KeSetEvent(event, 0, 0);
            let waits = [ke::wait(event, None), ke::wait(event, Some(0))];
            let reset = ntddk::KeResetEvent(event);
            (before, waits, reset, ke::wait(event, Some(0)))
        }
    });
    assert_eq!(result, Ok((0, [0, 0], 1, STATUS_TIMEOUT)));
}

#[test]
fn a_wait_with_a_time_ends_though_the_last_other_thread_has() {
    let result = on_both(|| {
        let machine = Machine::current();
        let before = machine.now();
        let other = machine.spawn_thread("short", || {});
        let event = Outcome::new();
        // SAFETY: an event that nobody sets.
        let outcome = unsafe { ke::wait(event.event.get(), Some(1_000)) };
        other.join();
        (outcome, machine.now() - before >= 1_000)
    });
    assert_eq!(result, Ok((STATUS_TIMEOUT, true)));
}
