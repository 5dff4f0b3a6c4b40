//! The stack is as deep for 100 000 pieces as for a few, on an adapter that completes every one of
//! them before `IoCallDriver` returns.
#![cfg(not(miri))]

mod common;

use common::{adapter, assert_success, run, world};
use ntsim::port::{Completion, Disk, Fault, Kind};
use ntsim::{Stack, World, ke};

/// Host pages behind the pattern of disk and memory.
const PERIOD: usize = 16;

/// Pieces of one sector.
fn one_sector_each(completion: Completion) -> World {
    world()
        .disk(Disk::pattern(1 << 20, 512, PERIOD))
        .hba(adapter(512, 2).completion(completion))
}

/// The most stack that a read of so many pieces uses, in bytes.
fn depth(stack: &Stack, pieces: usize) -> usize {
    let buffer = stack.buffer_pattern(pieces * 512, 0, PERIOD);
    stack.machine().reset_stack_high_water();
    let done = stack.read(0, &buffer).send().wait();
    assert_success(&done, pieces * 512);
    assert!(buffer.matches_pattern(0), "every byte arrived");
    stack.machine().stack_high_water()
}

#[test]
fn a_hundred_thousand_inline_completions() {
    for always_pending in [true, false] {
        let hba = adapter(512, 2)
            .completion(Completion::Inline)
            .always_pending(always_pending);
        let ((), report) = run(one_sector_each(Completion::Inline).hba(hba), |stack| {
            stack.port().keep_records(0);
            let few = depth(stack, 1_000);
            let many = depth(stack, 100_000);
            assert!(few > 0, "the stack is measured");
            assert!(
                many <= few + 256,
                "100 000 pieces: {many} bytes, 1 000 pieces: {few} bytes"
            );
            let hundred = depth(stack, 100);
            // Beyond 256 pieces the turn passes to a DPC, which brings a few frames of its own.
            assert!(
                many <= hundred + 8192,
                "100 000 pieces: {many} bytes, 100 pieces: {hundred} bytes"
            );
        });
        assert_eq!(report.port.reads, 101_100);
    }
}

#[test]
fn nor_with_retries_and_smaller_steps_on_the_way() {
    let world = one_sector_each(Completion::Inline)
        .hba(adapter(4096, 2))
        .setting("RetryDelayMs", 0);
    run(world, |stack| {
        stack.port().keep_records(0);
        let troubled = |pieces: usize| {
            stack.port().clear_faults();
            for kind in [Kind::Busy, Kind::NoResourcesSrb, Kind::Flushed] {
                stack.port().fault(Fault::new(kind).attempt(0).always());
            }
            let buffer = stack.buffer_pattern(pieces * 4096, 0, PERIOD);
            stack.machine().reset_stack_high_water();
            let done = stack.read(0, &buffer).send().wait();
            assert_success(&done, pieces * 4096);
            stack.machine().stack_high_water()
        };
        let few = troubled(500);
        let many = troubled(10_000);
        assert!(many <= few + 1024, "{many} bytes against {few}");
    });
}

#[test]
fn nor_with_thousands_of_waiting_requests() {
    let world = world().hba(adapter(512, 2)).setting("Pieces", 1);
    run(world, |stack| {
        let buffer = stack.buffer(1024, 0);
        let served = |count: usize| {
            stack.port().hold(true);
            let pending: Vec<_> = (0..count).map(|_| stack.read(0, &buffer).send()).collect();
            stack.port().hold(false);
            stack.machine().reset_stack_high_water();
            // One completion starts the next, inline, and so on through the whole queue.
            stack.port().complete_all();
            for pending in pending {
                assert_success(&pending.wait(), 1024);
            }
            stack.machine().stack_high_water()
        };
        let few = served(100);
        let many = served(5_000);
        assert!(many <= few + 256, "{many} bytes against {few}");
    });
}

#[test]
fn one_call_sends_so_many_and_leaves_the_rest_to_a_dpc() {
    // At DISPATCH_LEVEL nothing else runs on this processor until the call returns.
    run(one_sector_each(Completion::Inline), |stack| {
        for pieces in [255, 256, 1_000] {
            let before = stack.port().counts().reads;
            let buffer = stack.buffer_pattern(pieces * 512, 0, PERIOD);
            let (pending, sent) = ke::raise_to_dispatch(|| {
                let pending = stack.read(0, &buffer).send();
                (pending, stack.port().counts().reads - before)
            });
            assert_eq!(sent, pieces.min(256) as u64);
            assert_success(&pending.wait(), pieces * 512);
        }
    });
}
