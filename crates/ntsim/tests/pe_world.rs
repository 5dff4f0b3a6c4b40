//! A driver binary in a stack: started, used, removed and unloaded like any other.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::{Clock, StackKind, World};
use pe_support::driver;

/// Bytes that requests move.
const LENGTH: usize = 8192;

/// A filter above the class driver, that is a binary.
fn world(clock: Clock) -> World {
    World::new(driver("entry_wdm").driver())
        .stack(StackKind::Relay)
        .clock(clock)
}

fn reads_and_restarts(clock: Clock) {
    let ((), report) = world(clock)
        .run(|stack| {
            let (source, target) = (stack.buffer(LENGTH, 0), stack.buffer(LENGTH, 512));
            source.fill(0x5A);
            assert_eq!(stack.write(0, &source).send().wait().status, 0);
            assert_eq!(stack.read(0, &target).send().wait().status, 0);
            assert_eq!(target.bytes(), source.bytes());
            stack.stop().expect("it stops");
            stack.start().expect("it starts again");
            assert_eq!(stack.read(0, &source).send().wait().status, 0);
            stack.remove().expect("it goes");
        })
        .expect("nothing stops");
    // Its completion routine has seen each read, with the context that it asked for.
    let log = &report.debug_log;
    assert_eq!(
        log.iter().filter(|line| *line == "completed 77 0").count(),
        2,
        "{log:?}"
    );
    assert_eq!(report.finished, report.sent);
}

#[test]
fn a_filter_passes_requests_on_and_sees_each_read_come_back() {
    for seed in 0..8 {
        reads_and_restarts(Clock::Deterministic { seed });
    }
}

#[test]
fn on_real_threads_too() {
    for seed in 0..8 {
        reads_and_restarts(Clock::Threads {
            processors: 2,
            seed,
        });
    }
}
