//! Every byte arrives where it belongs and nothing else is touched, on every adapter, in as few
//! pieces as its limits allow.

mod common;

use common::{
    BOTH, Exchange, PAGE, Random, adapter, assert_failure, assert_success, moves, noise, on_disk,
    pieces, run, world,
};
use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::{Completion, Direction, Disk, Hba, PROFILES, Profile, SegmentRule};
use ntsim::{Buffer, Clock, Stack, World};
use xfersplit_oracle::{self as oracle, judge, minimum};

/// A world with this adapter and, where it lies, the settings that a person would make.
fn world_of(profile: &Profile) -> World {
    let mut disk = Disk::memory(1 << 17, 512);
    if let Some(blocks) = profile.block_limits {
        disk = disk.block_limits(blocks);
    }
    let mut world = world().hba(Hba::from_profile(*profile)).disk(disk);
    if profile.actual.bytes < profile.advertised.bytes {
        world = world.setting("MaximumTransferLength", profile.actual.bytes);
    }
    if profile.actual.pages < profile.advertised.pages {
        world = world.setting("MaximumPhysicalPages", profile.actual.pages);
    }
    world
}

/// One request inside a larger buffer and a larger stretch of disk, whose other bytes must stay.
fn moves_nothing_else(
    stack: &Stack,
    direction: Direction,
    offset: u64,
    length: usize,
    page_offset: usize,
) {
    const MARGIN: usize = 1024;
    let data = noise(length as u64, length);
    let buffer = stack.buffer(length + 2 * MARGIN, (page_offset + PAGE - MARGIN) % PAGE);
    let around = vec![0xA5; length + 2 * MARGIN];
    buffer.write(0, &around);
    stack.disk().poke(offset - MARGIN as u64, &around);
    match direction {
        Direction::Read => stack.disk().poke(offset, &data),
        Direction::Write => buffer.write(MARGIN, &data),
    }
    let done = common::transfer(stack, direction, offset, &buffer)
        .at(MARGIN)
        .length(length as u32)
        .send()
        .wait();
    assert_success(&done, length);
    let memory = buffer.bytes();
    let disk = on_disk(stack.disk(), offset - MARGIN as u64, length + 2 * MARGIN);
    for (place, bytes) in [("memory", memory), ("disk", disk)] {
        let case = || format!("{place}, {direction:?} of {length} bytes at {offset:#x}");
        assert!(bytes[MARGIN..MARGIN + length] == data, "{}", case());
        assert!(
            bytes[..MARGIN].iter().all(|&byte| byte == 0xA5),
            "{}",
            case()
        );
        assert!(
            bytes[MARGIN + length..].iter().all(|&byte| byte == 0xA5),
            "{}",
            case()
        );
    }
}

#[test]
fn on_every_adapter() {
    for profile in PROFILES {
        if profile.name == "zero-length" {
            continue; // No valid limits: tests/start.rs.
        }
        for completion in [Completion::Inline, Completion::Later(10..3_000)] {
            let hba_completion = completion.clone();
            let hba = Hba::from_profile(*profile).completion(hba_completion);
            let world = world_of(profile).hba(hba);
            let ((), report) = run(world, |stack| {
                for direction in BOTH {
                    for length in [512, 4096, 0xFE00, 0x1_0000, 0x1_0200, 0x2_1000] {
                        for page_offset in [0, 512, 2048, 3584] {
                            moves_nothing_else(stack, direction, 0x20_0000, length, page_offset);
                        }
                    }
                    moves_nothing_else(stack, direction, 0x1_0200, (1 << 20) + 512, 1024);
                }
            });
            assert!(
                report.port.largest_bytes <= profile.actual.bytes,
                "{}",
                profile.name
            );
        }
    }
}

#[test]
fn with_buffers_that_begin_anywhere_the_adapter_allows() {
    for (mask, step) in [(0_u32, 1_usize), (1, 2), (3, 4), (63, 64), (511, 512)] {
        let hba = adapter(0x8000, 9).alignment_mask(mask);
        run(world().hba(hba), |stack| {
            for start in 0..16 {
                let page_offset = (start * 37 * step) % PAGE;
                for direction in BOTH {
                    let exchange = Exchange::new(stack, direction, 0, 0x1_8200, page_offset, 1);
                    moves(stack, &exchange);
                }
            }
        });
    }
}

#[test]
fn in_sectors_of_every_size() {
    for sector in [512, 520, 1024, 2048, 4096] {
        let world = world()
            .disk(Disk::memory(1 << 14, sector))
            .hba(adapter(0x4000, 6));
        run(world, |stack| {
            for direction in BOTH {
                for sectors in [1, 2, 3, 17, 64] {
                    let length = sectors * sector as usize;
                    let offset = u64::from(sector) * 5;
                    moves(
                        stack,
                        &Exchange::new(stack, direction, offset, length, 0, 2),
                    );
                    moves(
                        stack,
                        &Exchange::new(stack, direction, offset, length, 256, 3),
                    );
                }
            }
        });
    }
}

#[test]
fn beyond_two_terabytes() {
    let disk = Disk::memory(1 << 40, 512);
    run(world().disk(disk).hba(adapter(0x4000, 5)), |stack| {
        for first in [(1_u64 << 32) - 100, 1 << 32, (1 << 40) - 300] {
            for direction in BOTH {
                moves(
                    stack,
                    &Exchange::new(stack, direction, first * 512, 0x2_0000, 512, 4),
                );
            }
        }
    });
}

/// Limits and options, drawn at random; half of them said by the adapter, half by settings.
struct Limits {
    sector: u64,
    bytes: u64,
    pages: u64,
    mask: u64,
    rule: u32,
    boundary: Option<u64>,
    physical: Option<(u64, u64)>,
    cdb: u32,
    by_setting: bool,
}

impl Limits {
    fn draw(random: &mut Random) -> Self {
        let sector = random.choose(&[512, 512, 512, 1024, 4096]);
        let mask = random.choose(&[0, 0, 1, 3, 511, 1023, 2047]);
        let by_setting = random.below(2) == 0;
        // An adapter's own limits leave a legal split here: what becomes of those that leave none
        // is in bad_input.rs. Settings, and stripes, may leave none.
        let least = if by_setting {
            sector
        } else {
            sector.max(mask + 1)
        };
        Self {
            sector,
            bytes: least + random.below(0x1_0000),
            pages: 2 + random.below(8),
            mask,
            rule: random.choose(&[0, 0, 1, 2]),
            boundary: (random.below(3) == 0).then(|| sector * (1 + random.below(40))),
            physical: (sector == 512 && random.below(3) == 0)
                .then(|| (random.choose(&[1024, 4096]), random.below(8) * 512)),
            cdb: random.choose(&[0, 0, 6, 10, 12, 16]),
            by_setting,
        }
    }

    fn world(&self) -> World {
        let mut disk = Disk::memory(1 << 34, self.sector as u32);
        if let Some((bytes, first)) = self.physical {
            disk = disk.physical(bytes as u32, (first / self.sector) as u16);
        }
        let hba = if self.by_setting {
            adapter(1 << 24, 4097)
        } else {
            adapter(self.bytes as usize, self.pages as u32)
        };
        let rule = if self.rule == 2 {
            SegmentRule::Breaks
        } else {
            SegmentRule::Pages
        };
        let mut world = world()
            .disk(disk)
            .hba(hba.alignment_mask(self.mask as u32).segments(rule))
            .setting("PageRule", self.rule)
            .setting("CdbLength", self.cdb);
        if self.by_setting {
            world = world
                .setting("MaximumTransferLength", self.bytes as u32)
                .setting("MaximumPhysicalPages", self.pages as u32);
        }
        if let Some(boundary) = self.boundary {
            world = world.setting("LbaBoundary", boundary as u32);
        }
        world
    }

    /// The same in the judge's words.
    fn judged(&self, direction: Direction, last_block: u64) -> oracle::World {
        let cdb_blocks = match self.cdb {
            6 if last_block <= 0x1F_FFFF => 256,
            10 if u32::try_from(last_block).is_ok() => 0xFFFF,
            _ => u64::from(u32::MAX),
        };
        // Both are powers of two. A boundary where no piece can end is ignored, as every bad setting.
        let grain = self.sector.max(self.mask + 1);
        oracle::World {
            sector: self.sector,
            alignment_mask: self.mask,
            max_bytes: Some(self.bytes),
            max_pages: Some(self.pages),
            page_rule: match self.rule {
                0 => oracle::PageRule::Spans,
                1 => oracle::PageRule::Document,
                _ => oracle::PageRule::Breaks,
            },
            lba_boundary: self.boundary.filter(|at| at.is_multiple_of(grain)),
            cdb_blocks: Some(cdb_blocks),
            physical: self
                .physical
                .filter(|_| direction == Direction::Write)
                .map(|(bytes, first)| oracle::PhysicalSector { bytes, first }),
            split_bytes: Some(8 << 20),
            split_pages: None,
        }
    }
}

/// A buffer that keeps the alignment, on frames that are neighbours now and then.
fn draw_buffer(stack: &Stack, random: &mut Random, limits: &Limits, length: usize) -> Buffer {
    let step = limits.mask as usize + 1;
    let page_offset = random.below((PAGE / step) as u64) as usize * step;
    match random.below(3) {
        0 => stack.buffer_contiguous(length, page_offset),
        1 => stack.buffer_runs(length, page_offset, 1 + random.below(4) as usize),
        _ => stack.buffer(length, page_offset),
    }
}

#[test]
fn random_small_worlds_are_split_legally_and_minimally() {
    let (mut split, mut refused) = (0, 0);
    for seed in 0..250 {
        let mut random = Random::new(seed);
        let limits = Limits::draw(&mut random);
        let ((cut, left), _) = run(limits.world(), |stack| {
            let (mut split, mut refused) = (0, 0);
            for round in 0..12 {
                let blocks = 1 + random.below(0x2_0000 / limits.sector);
                let high = random.choose(&[0, 0x20_0000 - 64, (1 << 32) - 64, 1 << 33]);
                let lba = high + random.below(128);
                let direction = random.choose(&BOTH);
                let length = (blocks * limits.sector) as usize;
                let buffer = draw_buffer(stack, &mut random, &limits, length);
                let offset = lba * limits.sector;
                let exchange =
                    Exchange::in_buffer(stack, direction, offset, buffer.clone(), seed ^ round);
                stack.port().forget_records();
                let done = exchange.transfer(stack).send().wait();
                let plan = pieces(&stack.port().transfers());
                let judged = limits.judged(direction, lba + blocks - 1);
                let request = oracle::Request {
                    page_offset: buffer.page_offset() as u64,
                    lba,
                    blocks,
                    frames: buffer.pfns(),
                };
                if minimum(&judged, &request).is_none() {
                    assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
                    assert_eq!(plan, []);
                    refused += 1;
                    continue;
                }
                assert_success(&done, length);
                assert!(exchange.is_complete(stack), "seed {seed}, round {round}");
                let verdict = judge(&judged, &request, &plan);
                assert_eq!(verdict, Ok(()), "seed {seed}, round {round}: {judged:?}");
                split += u64::from(plan.len() > 1);
            }
            (split, refused)
        });
        split += cut;
        refused += left;
    }
    assert!(split > 1_000, "{split} were split");
    assert!(refused > 0, "{refused} had no legal split");
}

#[test]
fn on_real_processors() {
    for seed in 0..4 {
        let hba = adapter(0x4000, 5).completion(Completion::Later(0..500));
        let world = world().hba(hba).clock(Clock::Threads {
            processors: 4,
            seed,
        });
        run(world, |stack| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    stack.spawn("sender", move |stack| {
                        let mut random = Random::new(seed ^ thread << 8);
                        for round in 0..25 {
                            let direction = random.choose(&BOTH);
                            let length = (1 + random.below(400) as usize) * 512;
                            let page_offset = random.below(8) as usize * 512;
                            let offset = (thread << 22) + random.below(1000) * 512;
                            let exchange =
                                Exchange::new(stack, direction, offset, length, page_offset, round);
                            moves(stack, &exchange);
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
