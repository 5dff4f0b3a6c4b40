//! The driver allocates when a device starts and never again: no IRP, no MDL, no pool, no framework
//! object, whatever happens to thousands of requests.

mod common;

use common::{
    BOTH, Exchange, Random, adapter, assert_nothing_allocated, run, run_unchecked, world,
};
use ntsim::port::{Completion, Fault, FaultMix, Hba, Kind};
use ntsim::{Clock, Stack};

/// Sends `count` random requests, up to `depth` of them at a time.
fn load(stack: &Stack, count: u64, depth: usize, seed: u64) {
    let mut random = Random::new(seed);
    let mut pending = Vec::new();
    for number in 0..count {
        let direction = random.choose(&BOTH);
        let length = (1 + random.below(64) as usize) * 512;
        let offset = random.below(1000) * 0x1_0000;
        let page_offset = random.below(8) as usize * 512;
        let buffer = stack.buffer(length, page_offset);
        let request = common::transfer(stack, direction, offset % (1 << 25), &buffer);
        let request = if number % 7 == 0 {
            request.paging()
        } else {
            request
        };
        pending.push(request.send());
        if pending.len() == depth {
            let index = random.below(depth as u64) as usize;
            let done = pending.swap_remove(index);
            if random.below(9) == 0 {
                done.cancel();
            }
            done.wait();
        }
    }
    for pending in pending {
        pending.wait();
    }
}

#[test]
fn over_thousands_of_requests() {
    for completion in [Completion::Inline, Completion::Later(10..2_000)] {
        let hba = adapter(4096, 2).completion(completion);
        let ((), report) = run(world().hba(hba), |stack| load(stack, 4_000, 16, 1));
        assert_eq!(report.sent, 4_000);
        assert!(report.port.reads + report.port.writes > 12_000);
    }
}

#[test]
fn with_every_kind_of_trouble() {
    let hba = adapter(4096, 2).completion(Completion::Mixed(50, 10..2_000));
    let ((), report) = run(world().hba(hba).setting("Pieces", 3), |stack| {
        stack
            .port()
            .fault_mix(FaultMix::new().everything(0.01).with(Kind::Hang, 0.0005));
        load(stack, 4_000, 24, 2);
        stack.port().clear_faults();
    });
    for kind in Kind::ALL {
        assert!(report.faults.of(kind) > 0, "{kind:?} happened");
    }
}

#[test]
fn with_hundreds_waiting() {
    let hba = adapter(4096, 2).completion(Completion::Later(10..200));
    let world = world().hba(hba).setting("Pieces", 1);
    run(world, |stack| load(stack, 2_000, 300, 3));
}

#[test]
fn for_what_is_refused_and_what_passes_through() {
    run(world().hba(adapter(4096, 2)), |stack| {
        let buffer = stack.buffer(8192, 0);
        for _ in 0..500 {
            stack.read(7, &buffer).send().wait();
            stack.read(0, &buffer).no_mdl().send().wait();
            stack.read(0, &buffer).length(0).send().wait();
            stack.scsi(&[0; 6]).send().wait();
            stack.ioctl(0x002D_1400, &[0; 12], 64).send().wait();
        }
    });
}

#[test]
fn when_the_device_disappears() {
    for seed in 0..20 {
        let hba = adapter(4096, 2).completion(Completion::Later(10..500));
        let world = world()
            .hba(hba)
            .clock(Clock::Deterministic { seed })
            .setting("Pieces", 2);
        run(world, |stack| {
            let buffer = stack.buffer(1 << 16, 0);
            let pending: Vec<_> = (0..8).map(|_| stack.write(0, &buffer).send()).collect();
            let _ = pending[0].wait_for(seed * 100);
            stack.surprise_remove().expect("nobody may refuse");
            for pending in pending {
                pending.wait();
            }
        });
    }
}

/// That the counters count: the same harness sees a device being started.
#[test]
fn while_starting_a_device_is_seen_to_allocate() {
    let ((), report) = run(world().setting("Pieces", 5), |_| ());
    let at_start = report.allocations_at_start;
    assert!(at_start.irp >= 5, "an IRP for each piece");
    assert!(at_start.mdl >= 5, "an MDL for each piece");
    assert!(at_start.pool >= 3 && at_start.framework >= 1);
    assert!(at_start.bytes_peak > 0);
}

/// An adapter that lies makes the port complain, but the driver still allocates nothing.
#[test]
fn on_an_adapter_that_lies() {
    let hba = Hba::profile("nvme2k");
    let ((), report) = run_unchecked(world().hba(hba), |stack| {
        stack.port().fault(Fault::new(Kind::Busy));
        let exchange = Exchange::new(stack, BOTH[1], 0, 1 << 20, 512, 5);
        exchange.transfer(stack).send().wait();
    });
    assert_nothing_allocated(&report);
}
