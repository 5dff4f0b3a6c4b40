//! Every byte of a program's buffer arrives, whatever the buffer, the portions, the lock limits, the
//! carriage, and whenever the driver below completes.

mod common;

use common::{BOTH, CARRIAGES, Exchange, PAGE, Random, SECTOR, moves, portions_of, quota, run};
use ntsim::Clock;
use ntsim::port::{Completion, Disk, Hba};

const DISK: u64 = 1 << 26;

#[test]
fn random_worlds() {
    let mut random = Random::new(1);
    for number in 0..160 {
        let pages = random.choose(&[1, 2, 3, 5, 16]);
        let carriage = random.choose(&CARRIAGES);
        let sector = random.choose(&[512, 512, 4096]);
        let limit = 2 + random.below(20) as usize;
        let completion = match random.below(3) {
            0 => Completion::Inline,
            1 => Completion::Later(1..1_000),
            _ => Completion::Mixed(50, 1..1_000),
        };
        let limits = match random.below(3) {
            0 => quota(limit),
            1 => common::resources(limit),
            _ => quota(usize::MAX),
        };
        let world = portions_of(pages, carriage)
            .clock(Clock::Deterministic { seed: number })
            .disk(Disk::memory(DISK / u64::from(sector), sector))
            .hba(Hba::unlimited().completion(completion))
            .lock_limits(limits);
        let ((), report) = run(world, |stack| {
            let process = stack.process("program");
            let sector = u64::from(sector);
            for _ in 0..12 {
                let length = (1 + random.below(120)) * sector;
                let offset = random.below((DISK - length) / sector) * sector;
                let page_offset = random.below(PAGE as u64 / 4) as usize * 4;
                let length = length as usize;
                let direction = random.choose(&BOTH);
                let exchange =
                    Exchange::new(stack, &process, direction, offset, length, page_offset);
                moves(stack, &exchange);
            }
        });
        let allowed = limits.process.or(limits.system).unwrap_or(usize::MAX);
        assert!(report.locks.peak <= allowed.min(pages.max(2)), "{report:?}");
        assert_eq!(report.sent, 12);
    }
}

#[test]
fn every_offset_in_a_page_and_every_length_around_a_portion() {
    for carriage in CARRIAGES {
        run(portions_of(2, carriage), |stack| {
            let process = stack.process("program");
            for direction in BOTH {
                for sectors in 1..=20 {
                    for place in 0..8 {
                        let length = sectors * SECTOR;
                        let page_offset = place * SECTOR;
                        let offset = (sectors * place * SECTOR) as u64;
                        let exchange =
                            Exchange::new(stack, &process, direction, offset, length, page_offset);
                        moves(stack, &exchange);
                    }
                }
            }
        });
    }
}

#[test]
fn a_buffer_up_to_the_last_address_of_a_user() {
    run(portions_of(1, 1), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer_last(&process, 3 * PAGE + SECTOR);
        stack.disk().poke(0, &vec![0x5A; buffer.len()]);
        let done = stack.user_read(0, &buffer).send().wait();
        common::assert_success(&done, buffer.len());
        assert!(buffer.bytes().iter().all(|&byte| byte == 0x5A));
    });
}

#[test]
fn several_programs_at_once() {
    let deterministic = (0..8).map(|seed| Clock::Deterministic { seed });
    let free = (0..2).map(|seed| Clock::Threads {
        processors: 2,
        seed,
    });
    for (number, clock) in deterministic.chain(free).enumerate() {
        let carriage = CARRIAGES[number % 2];
        let world = portions_of(2, carriage).hba(common::later()).clock(clock);
        run(world, |stack| {
            let threads: Vec<_> = (0..6_u64)
                .map(|number| {
                    let stack = stack.clone();
                    let process = stack.process("program");
                    let program = process.clone();
                    process.spawn("program", move || {
                        for direction in BOTH {
                            let offset = number * 0x10_0000;
                            let exchange =
                                Exchange::new(&stack, &program, direction, offset, 40_960, 1024);
                            moves(&stack, &exchange);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join();
            }
        });
    }
}
