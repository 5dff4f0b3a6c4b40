//! Every byte of every request arrives where it belongs, whatever the memory looks like, however many
//! map registers there are and however late the HAL and the controller answer: compared with a disk
//! and a buffer that are plain memory.

mod common;

use common::{BOTH, Exchange, PAGE, Random, SECTOR, run, world};
use ntsim::Clock;
use ntsim::controller::Completion;
use ntsim::dma::Grants;
use ntsim::port::Direction;
use ntsim::world::{DmaStack, DmaWorld};

/// Sectors of the disk that requests go to.
const SECTORS: u64 = 1 << 12;

/// A world that follows from a seed.
fn any_world(random: &mut Random) -> (DmaWorld, u32) {
    let registers = match random.below(4) {
        0 => 1,
        1 => 2 + random.below(7) as u32,
        _ => 1 + random.below(64) as u32,
    };
    let mut any = world()
        .clock(Clock::Deterministic {
            seed: random.next(),
        })
        .map_registers(registers)
        .address_bits(random.choose(&[24, 32, 64]))
        .max_segments(random.choose(&[1, 1, 2, 3, 17, 64, 256]))
        .grants(match random.below(3) {
            0 => Grants::Inline,
            1 => Grants::Later(random.below(3_000)),
            _ => Grants::Seeded(3_000),
        })
        .completion(match random.below(3) {
            0 => Completion::Inline,
            1 => Completion::Later(random.below(3_000)),
            _ => Completion::Seeded(3_000),
        });
    if random.below(2) == 0 {
        any = any.max_sectors(random.choose(&[1, 3, 8, 100, 256]));
    }
    (any, registers)
}

/// A request that follows from a seed.
fn any_exchange(stack: &DmaStack, random: &mut Random, registers: u32) -> Exchange {
    let sectors = 1 + match random.below(3) {
        0 => random.below(8),
        1 => random.below(64),
        _ => random.below(400),
    };
    let length = sectors as usize * SECTOR;
    let page_offset = if registers == 1 {
        // A sector across two pages needs two registers.
        random.below(8) as usize * SECTOR
    } else {
        // Buffers begin on a multiple of four: AlignmentRequirement.
        random.below(PAGE as u64 / 4) as usize * 4
    };
    let buffer = match random.below(3) {
        0 => stack.buffer(length, page_offset),
        1 => stack.buffer_contiguous(length, page_offset),
        _ => stack.buffer_runs(length, page_offset, 1 + random.below(7) as usize),
    };
    let offset = random.below(SECTORS - sectors) * SECTOR as u64;
    Exchange::of(stack, random.choose(&BOTH), offset, buffer)
}

#[test]
fn one_request_at_a_time_in_any_world() {
    let (worlds, requests) = if cfg!(miri) { (3, 2) } else { (200, 8) };
    for seed in 0..worlds {
        let mut random = Random::new(seed);
        let (any, registers) = any_world(&mut random);
        let ((), report) = run(any, |stack| {
            for _ in 0..requests {
                any_exchange(stack, &mut random, registers).moves(stack);
            }
        });
        assert!(report.dma.registers_peak <= registers, "seed {seed}");
    }
}

#[test]
fn many_requests_at_a_time() {
    let worlds = if cfg!(miri) { 1 } else { 60 };
    for seed in 0..worlds {
        let mut random = Random::new(!seed);
        let (any, registers) = any_world(&mut random);
        run(any, |stack| {
            // Each has a stretch of the disk of its own, so that the order does not matter.
            let exchanges: Vec<_> = (0..8_u64)
                .map(|n| {
                    let offset = (n * (SECTORS / 8)) * SECTOR as u64;
                    let length = (1 + random.below(300) as usize) * SECTOR;
                    let step = if registers == 1 { SECTOR } else { 4 };
                    let page_offset = random.below((PAGE / step) as u64) as usize * step;
                    let buffer = stack.buffer_runs(length, page_offset, 1 + n as usize);
                    Exchange::of(stack, random.choose(&BOTH), offset, buffer)
                })
                .collect();
            let pending: Vec<_> = exchanges
                .iter()
                .map(|it| it.transfer(stack).send())
                .collect();
            for (pending, exchange) in pending.into_iter().zip(&exchanges) {
                let length = exchange.length();
                common::assert_success(&pending.wait(), length);
                assert_eq!(exchange.moved(stack), length, "seed {seed}");
            }
        });
    }
}

#[test]
fn every_number_of_registers() {
    let most = if cfg!(miri) { 2 } else { 64 };
    for registers in 1..=most {
        for segments in [1, 64] {
            let some = world()
                .map_registers(registers)
                .max_segments(segments)
                .address_bits(32);
            run(some, |stack| {
                let page_offset = if registers == 1 { 1024 } else { 1000 };
                for direction in BOTH {
                    Exchange::new(stack, direction, 0x4000, 70 * PAGE, page_offset).moves(stack);
                }
            });
        }
    }
}

#[test]
fn a_controller_that_reaches_little_gets_its_data_through_the_registers_own_pages() {
    for segments in [1, 16] {
        let ((), report) = run(
            world()
                .map_registers(5)
                .max_segments(segments)
                .address_bits(24),
            |stack| {
                for direction in BOTH {
                    Exchange::new(stack, direction, 0, 12 * PAGE, 512).moves(stack);
                }
            },
        );
        assert!(report.dma.bounced_pages >= 2 * 12);
    }
}

#[test]
fn with_others_who_take_map_registers() {
    let worlds = if cfg!(miri) { 1 } else { 20 };
    for seed in 0..worlds {
        for segments in [1, 16] {
            let shared = world()
                .clock(Clock::Deterministic { seed })
                .map_registers(8)
                .pool(8)
                .greedy(6, 2_000)
                .max_segments(segments);
            let ((), report) = run(shared, |stack| {
                for n in 0..6 {
                    Exchange::new(stack, Direction::Write, n * 0x1_0000, 16 * PAGE, 0).moves(stack);
                }
            });
            assert!(report.dma.grants >= 6);
        }
    }
}
