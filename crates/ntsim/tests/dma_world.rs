//! A driver, the HAL, the controller: data arrives, whatever limits there are, and nothing is left.

mod dma_support;

use dma_support::{FAILED, driver};
use ntsim::Clock;
use ntsim::abi::STATUS_INSUFFICIENT_RESOURCES;
use ntsim::controller::Completion;
use ntsim::dma::Grants;
use ntsim::port::Rng;
use ntsim::world::{DmaReport, DmaStack, DmaWorld};

#[test]
fn what_is_written_is_read() {
    let ((), report) = DmaWorld::new(&driver())
        .run(|stack| {
            let buffer = stack.buffer(64 << 10, 512);
            buffer.fill_with(|index| (index / 7) as u8);
            assert!(stack.write(4096, &buffer).send().wait().succeeded());
            let copy = stack.buffer(64 << 10, 1024);
            assert!(stack.read(4096, &copy).send().wait().succeeded());
            assert_eq!(copy.bytes(), buffer.bytes());
        })
        .expect("no bug check");
    assert_eq!(report.controller.succeeded, 2);
    assert_eq!(report.misuses, []);
}

/// Twelve pages through five map registers, as in "Splitting DMA Transfer Requests".
#[test]
fn twelve_pages_through_five_registers_are_three_operations() {
    for segments in [1, 64] {
        let ((), report) = DmaWorld::new(&driver())
            .map_registers(5)
            .max_segments(segments)
            .run(|stack| {
                let buffer = stack.buffer(48 << 10, 0);
                assert!(stack.write(0, &buffer).send().wait().succeeded());
                let sizes: Vec<u32> = stack
                    .controller()
                    .operations()
                    .iter()
                    .map(|operation| operation.sectors / 8)
                    .collect();
                assert_eq!(sizes, [5, 5, 2]);
            })
            .expect("no bug check");
        assert_eq!(report.dma.registers_peak, 5);
        // Scattered frames: a run is a page, or there is one run.
        let calls = if segments == 1 { 3 } else { 12 };
        assert_eq!(report.dma.map_transfers, calls);
    }
}

/// Requests of many sizes at many places; the disk is compared with what was written.
fn traffic(stack: &DmaStack, seed: u64, requests: u32) {
    let mut rng = Rng::new(seed);
    let mut disk = vec![0_u8; 1 << 18];
    for _ in 0..requests {
        let sectors = 1 + rng.below(120);
        let lba = rng.below(512 - sectors);
        let (offset, length) = (lba as usize * 512, sectors as usize * 512);
        let page_offset = rng.below(8) as usize * 512;
        let buffer = match rng.below(3) {
            0 => stack.buffer(length, page_offset),
            1 => stack.buffer_contiguous(length, page_offset),
            _ => stack.buffer_runs(length, page_offset, 1 + rng.below(4) as usize),
        };
        if rng.below(2) == 0 {
            let salt = rng.below(256) as usize;
            buffer.fill_with(|index| (index / 3 + salt) as u8);
            let done = stack.write(offset as u64, &buffer).send().wait();
            assert!(done.succeeded());
            assert_eq!(done.information, length as u64);
            disk[offset..offset + length].copy_from_slice(&buffer.bytes());
        } else {
            buffer.fill(0xA5);
            assert!(stack.read(offset as u64, &buffer).send().wait().succeeded());
            assert!(
                buffer.bytes() == disk[offset..offset + length],
                "at sector {lba}"
            );
        }
    }
    let mut left = vec![0; disk.len()];
    stack.disk().peek(0, &mut left);
    assert!(left == disk, "the disk has what was written");
}

fn tried(world: DmaWorld, seed: u64) -> DmaReport {
    let requests = if cfg!(miri) { 4 } else { 24 };
    let ((), report) = world
        .run(move |stack| traffic(stack, seed, requests))
        .unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    assert_eq!(report.misuses, [], "seed {seed}");
    assert_eq!(report.sent, report.finished);
    assert_eq!((report.dma.registers_now, report.dma.mapped_now), (0, 0));
    report
}

/// A controller and a HAL from a seed.
fn odd_world(seed: u64) -> DmaWorld {
    let mut rng = Rng::new(seed ^ 0xD3A);
    let mut pick = |of: &[u32]| of[rng.below(of.len() as u64) as usize];
    let registers = pick(&[2, 3, 5, 16, 64]);
    let mut world = DmaWorld::new(&driver())
        .map_registers(registers)
        .max_segments(pick(&[1, 2, 7, 64]))
        .address_bits(pick(&[24, 32, 37, 64]));
    world = match pick(&[0, 1, 2]) {
        0 => world.max_sectors(256),
        1 => world.max_sectors(pick(&[1, 8, 9])),
        _ => world,
    };
    world = match pick(&[0, 1]) {
        0 => world.pool(registers.max(8)).greedy(pick(&[1, 4, 8]), 400),
        _ => world.pool(registers),
    };
    let delay = u64::from(pick(&[0, 90, 3000]));
    world = match pick(&[0, 1, 2]) {
        0 => world.grants(Grants::Inline),
        1 => world.grants(Grants::Later(delay)),
        _ => world.grants(Grants::Seeded(delay)),
    };
    match pick(&[0, 1, 2]) {
        0 => world.completion(Completion::Inline),
        1 => world.completion(Completion::Later(delay)),
        _ => world.completion(Completion::Seeded(delay)),
    }
}

#[test]
fn data_arrives_whatever_the_limits_are() {
    let mut bounced = 0;
    for seed in 0..if cfg!(miri) { 3 } else { 150 } {
        let world = odd_world(seed).clock(Clock::Deterministic { seed });
        bounced += tried(world, seed).dma.bounced_pages;
    }
    assert!(bounced > 0);
}

#[cfg(not(miri))]
#[test]
fn data_arrives_on_real_processors_too() {
    for seed in 0..12 {
        let clock = Clock::Threads {
            processors: 2,
            seed,
        };
        tried(odd_world(seed).clock(clock), seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let hash = |seed| {
        let world = odd_world(seed).clock(Clock::Deterministic { seed });
        let report = tried(world, seed);
        (
            report.trace_hash,
            report.elapsed,
            report.dma,
            report.controller,
        )
    };
    for seed in [3, 4] {
        assert_eq!(hash(seed), hash(seed));
    }
}

#[test]
fn requests_of_several_threads_are_served_one_after_the_other() {
    for seed in 0..if cfg!(miri) { 1 } else { 12 } {
        let ((), report) = DmaWorld::new(&driver())
            .clock(Clock::Deterministic { seed })
            .map_registers(3)
            .grants(Grants::Seeded(200))
            .run(|stack| {
                let threads: Vec<_> = (0..4_u64)
                    .map(|part| {
                        stack.spawn("sender", move |stack| {
                            for round in 0..4_u64 {
                                let at = (part * 4 + round) * 32768;
                                let buffer = stack.buffer(32768, 512);
                                buffer.fill(part as u8 + 1);
                                assert!(stack.write(at, &buffer).send().wait().succeeded());
                            }
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join();
                }
                let mut disk = vec![0; 16 * 32768];
                stack.disk().peek(0, &mut disk);
                for (index, byte) in disk.iter().enumerate() {
                    assert_eq!(usize::from(*byte), index / (4 * 32768) + 1);
                }
            })
            .expect("no bug check");
        assert_eq!(report.sent, 16);
    }
}

#[test]
fn an_error_of_the_medium_is_the_requests() {
    let ((), report) = DmaWorld::new(&driver())
        .map_registers(2)
        .prepare(|controller| controller.fail_sector(20, Some(1)))
        .run(|stack| {
            let buffer = stack.buffer(32768, 0);
            assert_eq!(stack.read(0, &buffer).send().wait().status, FAILED);
            assert!(stack.read(0, &buffer).send().wait().succeeded());
        })
        .expect("no bug check");
    assert_eq!(report.controller.failed, 1);
    assert_eq!(report.misuses, []);
}

#[test]
fn errors_by_chance_leave_nothing_behind() {
    let mut failed = 0;
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        let ((), report) = odd_world(seed)
            .clock(Clock::Deterministic { seed })
            .medium_error_one_in(4)
            .run(|stack| {
                let buffer = stack.buffer(16384, 512);
                for _ in 0..8 {
                    let done = stack.read(0, &buffer).send().wait();
                    assert!(done.succeeded() || done.status == FAILED);
                }
            })
            .expect("no bug check");
        failed += report.controller.failed;
    }
    assert!(failed > 0);
}

#[test]
fn a_stopped_device_starts_again() {
    DmaWorld::new(&driver())
        .run(|stack| {
            let buffer = stack.buffer(8192, 0);
            buffer.fill(1);
            assert!(stack.write(0, &buffer).send().wait().succeeded());
            stack.stop().expect("stops");
            stack.start().expect("starts");
            buffer.fill(2);
            assert!(stack.read(0, &buffer).send().wait().succeeded());
            assert_eq!(buffer.bytes(), [1; 8192]);
        })
        .expect("no bug check");
}

#[test]
fn a_device_that_is_pulled_out_ends_its_requests() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        let ((), report) = DmaWorld::new(&driver())
            .clock(Clock::Deterministic { seed })
            .map_registers(4)
            .run(|stack| {
                stack.controller().hold(true);
                let buffers: Vec<_> = (0..3).map(|_| stack.buffer(65536, 0)).collect();
                let pending: Vec<_> = buffers
                    .iter()
                    .map(|buffer| stack.write(0, buffer).send())
                    .collect();
                stack.pull_out().expect("drivers may not refuse");
                for request in pending {
                    assert!(!request.wait().succeeded());
                }
            })
            .expect("no bug check");
        assert_eq!(report.sent, 3);
    }
}

#[test]
fn without_adapter_or_registers_the_device_does_not_start() {
    for world in [
        DmaWorld::new(&driver()).no_adapter(),
        DmaWorld::new(&driver()).map_registers(0),
    ] {
        let (outcome, _) = world.try_run(|_| ()).expect("no bug check");
        assert_eq!(outcome, Err(STATUS_INSUFFICIENT_RESOURCES));
    }
}
