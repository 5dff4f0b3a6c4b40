//! Whatever the limits and whatever the requests, in both formats of SRB: every byte arrives, no piece
//! breaks a limit, and there are as few pieces as the limits allow.
//!
//! A judge that shares no code with the planner says what is legal and how few pieces would do.

mod common;

use common::block::{Block, srb_status};
use common::post::{Returned, post};
use common::{BOTH, Exchange, PAGE, Random, adapter, assert_told_once, pieces, run, world};
use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::{Completion, Direction, Disk, Hba, PROFILES, Profile, SegmentRule, Sense};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Clock, Shape, Stack, World};
use xfersplit_oracle::{self as oracle, judge, minimum};

/// One request, in some format and form.
#[derive(Clone, Copy, Debug)]
struct Ask {
    direction: Direction,
    extended: bool,
    form: usize,
    lba: u64,
    blocks: u32,
}

impl Ask {
    /// One that its form has room for.
    fn draw(random: &mut Random, limits: &Limits) -> Self {
        let blocks = 1 + random.below(0x2_0000 / limits.sector) as u32;
        let form = random.choose(&[6, 10, 10, 12, 16]);
        let high = match form {
            6 => random.choose(&[0, 0x1F_FF00 - 512]),
            10 | 12 => random.choose(&[0, 0x20_0000 - 64, (1 << 32) - 512]),
            _ => random.choose(&[0, (1 << 32) - 64, 1 << 33]),
        };
        Self {
            direction: random.choose(&BOTH),
            extended: random.below(2) == 0,
            form,
            lba: high + random.below(128),
            blocks: if form == 6 { blocks.min(256) } else { blocks },
        }
    }

    fn block(&self) -> Block {
        let cdb = read_write_cdb(self.direction, self.lba, self.blocks, self.form);
        Block::of(self.extended, &cdb)
    }

    /// What the command itself can count: a piece of it is no larger.
    const fn most_blocks(&self) -> u64 {
        match self.form {
            6 => 256,
            10 => 0xFFFF,
            _ => u32::MAX as u64,
        }
    }
}

/// Sends it over all of the exchange's buffer.
fn ask(stack: &Stack, ask: &Ask, exchange: &Exchange) -> Returned {
    post(&ask.block())
        .buffer(exchange.buffer())
        .send(stack)
        .wait()
}

/// Everything moved, and the SRB says so.
#[track_caller]
fn assert_complete(stack: &Stack, exchange: &Exchange, returned: &Returned, case: &str) {
    assert_told_once(&returned.done);
    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS, "{case}");
    assert_eq!(returned.done.status, 0, "{case}");
    let length = exchange.buffer().len();
    assert_eq!(returned.length() as usize, length, "{case}");
    assert_eq!(returned.done.information as usize, length, "{case}");
    assert!(
        exchange.is_complete(stack),
        "{case}: every byte in its place"
    );
}

/// Limits, drawn at random; half of them said by the adapter, half by settings.
#[derive(Debug)]
struct Limits {
    sector: u64,
    bytes: u64,
    pages: u64,
    mask: u64,
    rule: u32,
    boundary: Option<u64>,
    physical: Option<(u64, u64)>,
    window: u32,
    by_setting: bool,
}

impl Limits {
    fn draw(random: &mut Random) -> Self {
        let sector = random.choose(&[512, 512, 1024, 4096]);
        let mask = random.choose(&[0, 0, 1, 3, 511, 1023, 2047]);
        let by_setting = random.below(2) == 0;
        // An adapter's own limits leave a legal split here; settings and stripes may leave none.
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
            window: random.choose(&[0, 1, 2, 8]) as u32,
            by_setting,
        }
    }

    fn world(&self, completion: Completion) -> World {
        let mut hba = Hba::unlimited()
            .alignment_mask(self.mask as u32)
            .completion(completion);
        if self.rule == 2 {
            hba = hba.segments(SegmentRule::Breaks);
        }
        if !self.by_setting {
            hba = hba.limits(self.bytes as u32, self.pages as u32);
        }
        let mut disk = Disk::memory(1 << 34, self.sector as u32);
        if let Some((bytes, first)) = self.physical {
            disk = disk.physical(bytes as u32, (first / self.sector) as u16);
        }
        let mut world = world()
            .shape(Shape::Srb)
            .hba(hba)
            .disk(disk)
            .setting("PageRule", self.rule);
        if self.window != 0 {
            world = world.setting("Window", self.window);
        }
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
    fn judged(&self, ask: &Ask) -> oracle::World {
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
            cdb_blocks: Some(ask.most_blocks()),
            physical: self
                .physical
                .filter(|_| ask.direction == Direction::Write)
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

/// What became of the requests of one world.
#[derive(Default)]
struct Tally {
    split: u64,
    refused: u64,
}

/// One request at random in a world at random, judged.
fn one(stack: &Stack, random: &mut Random, limits: &Limits, tally: &mut Tally, case: &str) {
    let request = Ask::draw(random, limits);
    let length = request.blocks as usize * limits.sector as usize;
    let buffer = draw_buffer(stack, random, limits, length);
    let offset = request.lba * limits.sector;
    let seed = random.next();
    let exchange = Exchange::in_buffer(stack, request.direction, offset, buffer.clone(), seed);
    stack.port().forget_records();
    let returned = ask(stack, &request, &exchange);
    let plan = pieces(&stack.port().transfers());
    let judged = limits.judged(&request);
    let wanted = oracle::Request {
        page_offset: buffer.page_offset() as u64,
        lba: request.lba,
        blocks: u64::from(request.blocks),
        frames: buffer.pfns(),
    };
    if minimum(&judged, &wanted).is_none() {
        assert_eq!(
            returned.done.status, STATUS_INVALID_DEVICE_REQUEST,
            "{case}"
        );
        assert_eq!(
            returned.raw_srb_status(),
            srb_status::INVALID_REQUEST,
            "{case}"
        );
        assert_eq!(returned.length(), 0, "{case}");
        assert_eq!(plan, [], "{case}: nothing was sent");
        tally.refused += 1;
        return;
    }
    assert_complete(stack, &exchange, &returned, case);
    let verdict = judge(&judged, &wanted, &plan);
    assert_eq!(verdict, Ok(()), "{case}: {request:?} in {limits:?}");
    tally.split += u64::from(plan.len() > 1);
}

#[test]
fn random_requests_in_random_worlds() {
    let mut tally = Tally::default();
    for seed in 0..250 {
        let mut random = Random::new(seed);
        let limits = Limits::draw(&mut random);
        let completion = match seed % 3 {
            0 => Completion::Later(1..800),
            _ => Completion::Inline,
        };
        let (found, _) = run(limits.world(completion), |stack| {
            let mut tally = Tally::default();
            for round in 0..12 {
                let case = format!("seed {seed}, round {round}");
                one(stack, &mut random, &limits, &mut tally, &case);
            }
            tally
        });
        tally.split += found.split;
        tally.refused += found.refused;
    }
    assert!(tally.split > 1_000, "{} were split", tally.split);
    assert!(tally.refused > 0, "{} had no legal split", tally.refused);
}

/// A world with this adapter and, where it lies, the settings that a person would make.
fn world_of(profile: &Profile, completion: Completion) -> World {
    let mut disk = Disk::memory(1 << 17, 512);
    if let Some(blocks) = profile.block_limits {
        disk = disk.block_limits(blocks);
    }
    let hba = Hba::from_profile(*profile).completion(completion);
    let mut world = world().shape(Shape::Srb).hba(hba).disk(disk);
    if profile.actual.bytes < profile.advertised.bytes {
        world = world.setting("MaximumTransferLength", profile.actual.bytes);
    }
    if profile.actual.pages < profile.advertised.pages {
        world = world.setting("MaximumPhysicalPages", profile.actual.pages);
    }
    world
}

#[test]
fn on_every_adapter() {
    for profile in PROFILES {
        if profile.name == "zero-length" {
            continue; // No valid limits: everything passes through.
        }
        for completion in [Completion::Inline, Completion::Later(10..3_000)] {
            let ((), report) = run(world_of(profile, completion), |stack| {
                for direction in BOTH {
                    for blocks in [1, 8, 127, 128, 129, 264, 2049] {
                        for page_offset in [0, 512, 2048, 3584] {
                            let request = Ask {
                                direction,
                                extended: profile.extended_srb,
                                form: 10,
                                lba: 4096,
                                blocks,
                            };
                            let length = blocks as usize * 512;
                            let exchange =
                                Exchange::new(stack, direction, 4096 * 512, length, page_offset, 3);
                            let returned = ask(stack, &request, &exchange);
                            assert_complete(stack, &exchange, &returned, profile.name);
                        }
                    }
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
fn nobody_takes_a_unit_attention_from_the_class_driver() {
    // It is reported once, to whoever sends the next command; only the class driver knows what to do
    // about it. So start asks nothing that a unit reports it to.
    for extended in [false, true] {
        for blocks in [1, 64] {
            let world = world().shape(Shape::Srb).hba(adapter(4096, 2));
            let world = world.prepare(|port| port.raise_attention(Sense::MEDIUM_CHANGED));
            run(world, |stack| {
                let request = Ask {
                    direction: Direction::Read,
                    extended,
                    form: 10,
                    lba: 0,
                    blocks,
                };
                let exchange =
                    Exchange::new(stack, Direction::Read, 0, blocks as usize * 512, 0, 1);
                let returned = ask(stack, &request, &exchange);
                let sense = returned.valid_sense().expect("sense data");
                assert_eq!(sense, Sense::MEDIUM_CHANGED.fixed());
                let again = ask(stack, &request, &exchange);
                assert_complete(stack, &exchange, &again, "after the attention");
            });
        }
    }
}

#[test]
fn on_real_processors() {
    for seed in 0..4 {
        let hba = adapter(0x4000, 5).completion(Completion::Later(0..500));
        let world = world().shape(Shape::Srb).hba(hba).clock(Clock::Threads {
            processors: 4,
            seed,
        });
        run(world, |stack| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    stack.spawn("class driver", move |stack| {
                        let mut random = Random::new(seed ^ thread << 8);
                        for round in 0..25 {
                            let request = Ask {
                                direction: random.choose(&BOTH),
                                extended: random.below(2) == 0,
                                form: random.choose(&[10, 12, 16]),
                                lba: (thread << 13) + random.below(1000),
                                blocks: 1 + random.below(400) as u32,
                            };
                            let length = request.blocks as usize * 512;
                            let page_offset = random.below(8) as usize * 512;
                            let offset = request.lba * 512;
                            let exchange = Exchange::new(
                                stack,
                                request.direction,
                                offset,
                                length,
                                page_offset,
                                round,
                            );
                            let returned = ask(stack, &request, &exchange);
                            assert_complete(stack, &exchange, &returned, "on a processor");
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
