//! The same seed gives the same run: every request at the port, at the same time, in the same order,
//! with the same end. A failure that was seen once can be seen again.

mod common;

use std::collections::HashSet;

use common::{BOTH, Exchange, Random, adapter, run, world};
use ntsim::Clock;
use ntsim::port::{Completion, FaultMix};

/// The trace of a busy minute.
fn trace(seed: u64) -> (u64, Vec<(u64, u64)>, u64) {
    let hba = adapter(4096, 2).completion(Completion::Mixed(30, 0..5_000));
    let world = world()
        .hba(hba)
        .clock(Clock::Deterministic { seed })
        .setting("Pieces", 3);
    let (statuses, report) = run(world, move |stack| {
        stack.port().fault_mix(FaultMix::new().everything(0.01));
        let threads: Vec<_> = (0..3_u64)
            .map(|thread| {
                stack.spawn("sender", move |stack| {
                    let mut random = Random::new(thread);
                    for round in 0..30 {
                        let length = (1 + random.below(40) as usize) * 512;
                        let direction = random.choose(&BOTH);
                        let offset = thread << 20;
                        let exchange = Exchange::new(stack, direction, offset, length, 512, round);
                        let pending = exchange.transfer(stack).send();
                        if random.below(5) == 0 {
                            pending.cancel();
                        }
                        let done = pending.wait();
                        assert!(
                            !done.succeeded()
                                || exchange.is_complete(stack)
                                || done.information < length as u64
                        );
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join();
        }
        let records = stack.port().records();
        let ends = records
            .iter()
            .map(|record| (record.sequence, record.completed_at));
        ends.collect::<Vec<_>>()
    });
    (report.trace_hash, statuses, report.elapsed)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..6 {
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn another_seed_gives_another() {
    let hashes: HashSet<u64> = (0..12).map(|seed| trace(seed).0).collect();
    assert_eq!(hashes.len(), 12);
}
