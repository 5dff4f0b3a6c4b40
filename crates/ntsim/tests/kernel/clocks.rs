//! The two clocks: choices from the seed, time that passes only when it must, hangs.

use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::machine;
#[cfg(not(miri))]
use ntsim::machine::codes;
use ntsim::{Machine, ke};

use crate::kit::*;

/// A run with choices in it: sixteen reads that end later, sent from two threads.
fn busy_run(seed: u64) -> (u64, u64) {
    let machine = deterministic(seed);
    machine
        .run(|| {
            let lower = Carry(device("lower", complete_later, null_mut()));
            let other = Machine::current().spawn_thread("other", move || {
                for _ in 0..4 {
                    read(lower.get());
                }
            });
            let own = device("second", complete_later, null_mut());
            for _ in 0..4 {
                read(own);
            }
            other.join();
        })
        .expect("no rule is broken");
    (machine.trace_hash(), machine.now())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(busy_run(5), busy_run(5));
}

#[test]
fn another_seed_gives_another_run() {
    let runs: std::collections::BTreeSet<_> = (0..4).map(|seed| busy_run(seed).0).collect();
    assert!(runs.len() > 1, "four seeds, one and the same run");
}

#[test]
fn virtual_time_passes_only_when_everybody_waits() {
    let machine = deterministic(1);
    let hour = 36_000_000_000;
    let elapsed = machine
        .run(|| {
            let before = machine::with(Machine::now);
            ke::delay(hour);
            machine::with(Machine::now) - before
        })
        .expect("no rule is broken");
    assert!((hour..hour + 100).contains(&elapsed), "{elapsed}");
}

#[test]
fn a_wait_ends_at_its_time() {
    let result = on_both(|| {
        let outcome = Outcome::new();
        // SAFETY: an initialised event that nobody sets.
        unsafe { ke::wait(outcome.event.get(), Some(1000)) }
    });
    assert_eq!(result, Ok(STATUS_TIMEOUT));
}

#[test]
fn many_threads_wait_for_times_and_end() {
    // Whoever serves what is due may find that its own wait has ended, or that somebody else's has
    // while it ends itself.
    for seed in 0..if cfg!(miri) { 2 } else { 200 } {
        let result = deterministic(seed).run(|| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    Machine::current().spawn_thread("waits", move || {
                        for round in 0..8 {
                            ke::delay((thread * 37 + round * 11) % 30);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join();
            }
        });
        assert_eq!(result, Ok(()), "seed {seed}");
    }
}

#[test]
fn idle_lets_everything_happen() {
    let result = on_both(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        for delay in [10_000, 5, 70_000_000] {
            let sender = sender.clone();
            ke::device_event(delay, move || sender.send(delay).expect("the test listens"));
        }
        Machine::current().idle();
        receiver.try_iter().collect::<Vec<_>>()
    });
    assert_eq!(result, Ok(vec![5, 10_000, 70_000_000]));
}

#[test]
fn a_device_event_can_be_taken_back() {
    let result = on_both(|| {
        let event = ke::device_event(1_000_000_000, || panic!("it was taken back"));
        let first = ke::cancel_device_event(event);
        let second = ke::cancel_device_event(event);
        Machine::current().idle();
        (first, second)
    });
    assert_eq!(result, Ok((true, false)));
}

#[test]
fn a_device_interrupts_code_that_does_not_wait() {
    let machine = deterministic(1);
    let seen = machine.run(|| {
        let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let set = flag.clone();
        ke::device_event(3, move || {
            set.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut calls = 0;
        while !flag.load(std::sync::atomic::Ordering::SeqCst) {
            // Any call into the kernel is a place for an interrupt.
            // SAFETY: always allowed.
            unsafe { ntsim::ntddk::KeGetCurrentIrql() };
            calls += 1;
            assert!(calls < 10_000, "the interrupt never came");
        }
        calls
    });
    assert!(seen.is_ok(), "{seen:?}");
}

#[cfg(not(miri))]
#[test]
fn nothing_left_to_wake_a_thread_is_a_hang() {
    let report = stops(|| {
        Outcome::new().wait();
    });
    assert_eq!(report.code, codes::HANG);
    assert!(report.story.contains("thread \"main\" waits"), "{report}");
}

#[cfg(not(miri))]
#[test]
fn each_machine_stops_alone() {
    let healthy = deterministic(1);
    let value = healthy.run(|| {
        let sick = deterministic(2);
        let report = std::thread::spawn(move || sick.run(|| Outcome::new().wait())).join();
        report.expect("the thread ends").expect_err("it hangs").code
    });
    assert_eq!(value, Ok(codes::HANG));
}

#[test]
fn a_machine_can_run_again() {
    let machine = deterministic(1);
    assert_eq!(machine.run(|| 1), Ok(1));
    assert_eq!(machine.run(|| 2), Ok(2));
}

#[cfg(not(miri))]
#[test]
fn a_failed_assertion_of_the_test_comes_through() {
    let machine = deterministic(1);
    let run = std::panic::AssertUnwindSafe(|| machine.run(|| assert_eq!(1, 2, "on purpose")));
    let payload = std::panic::catch_unwind(run).expect_err("it panics");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert!(text.contains("on purpose"));
}
