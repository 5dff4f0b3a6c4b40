//! Above the class driver: what the shorter READs and WRITEs carry when they arrive at it, and that
//! they are as few as can be.

mod common;

use common::{BOTH, Exchange, PAGE, Random, adapter, assert_success, check, moves, run, world};
use ntsim::abi::{
    _IO_PRIORITY_HINT, IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, SL_KEY_SPECIFIED,
    SL_OVERRIDE_VERIFY_VOLUME, SL_WRITE_THROUGH,
};
use ntsim::io::Arrival;
use ntsim::port::{Completion, Direction, Disk, SegmentRule};
use ntsim::world::{Mode, StackKind, Transfer};
use ntsim::{Clock, Stack, World};
use xfersplit_oracle::{self as oracle, judge};

const READ: u8 = 3;
const WRITE: u8 = 4;

fn relay() -> World {
    world().stack(StackKind::Relay)
}

/// READs and WRITEs that arrive at the class driver while `scenario` runs.
fn at_class(stack: &Stack, scenario: impl FnOnce()) -> Vec<Arrival> {
    let before = stack.arrivals(stack.class_device()).len();
    scenario();
    let mut arrivals = stack.arrivals(stack.class_device()).split_off(before);
    arrivals.retain(|arrival| [READ, WRITE].contains(&arrival.major));
    arrivals
}

/// Sends one request, changed as `with` says, and gives what arrives at the class driver.
fn children(
    world: World,
    direction: Direction,
    length: usize,
    page_offset: usize,
    with: impl for<'s> Fn(Transfer<'s>) -> Transfer<'s> + Sync,
) -> Vec<Arrival> {
    let (arrivals, _) = run(world, |stack| {
        stack.watch(stack.class_device());
        let exchange = Exchange::new(stack, direction, 0x1_0000, length, page_offset, 1);
        at_class(stack, || {
            let done = with(exchange.transfer(stack)).send().wait();
            assert_success(&done, length);
            assert!(exchange.is_complete(stack));
        })
    });
    arrivals
}

/// Every child is the driver's own IRP with an MDL for its part alone.
#[track_caller]
fn assert_parts(arrivals: &[Arrival], direction: Direction, length: usize, page_offset: usize) {
    let major = match direction {
        Direction::Read => READ,
        Direction::Write => WRITE,
    };
    let mut at = 0;
    for arrival in arrivals {
        assert_eq!((arrival.major, arrival.minor), (major, 0));
        assert_eq!(arrival.maker, "xfersplit");
        assert_eq!(arrival.offset, 0x1_0000 + at);
        assert_eq!(arrival.mdl_bytes, arrival.length);
        assert_eq!(arrival.mdls, 1);
        let place = (page_offset as u64 + at) % PAGE as u64;
        assert_eq!(u64::from(arrival.page_offset), place);
        at += u64::from(arrival.length);
    }
    assert_eq!(at, length as u64);
}

#[test]
fn parts_of_the_request_and_nothing_else() {
    for direction in BOTH {
        for page_offset in [0, 512, 3584] {
            let world = relay().hba(adapter(0x4000, 5));
            let length = 0x1_0000 + 1536;
            let arrivals = children(world, direction, length, page_offset, |request| request);
            assert_eq!(arrivals.len(), 5);
            assert_parts(&arrivals, direction, length, page_offset);
        }
    }
}

#[test]
fn thread_key_and_flags_of_the_parent() {
    let flags = SL_WRITE_THROUGH | SL_OVERRIDE_VERIFY_VOLUME | SL_KEY_SPECIFIED;
    for direction in BOTH {
        for flags in [0, SL_WRITE_THROUGH, SL_OVERRIDE_VERIFY_VOLUME, flags] {
            let world = relay().hba(adapter(0x4000, 5));
            let arrivals = children(world, direction, 0x1_0000, 0, |request| {
                request.thread(0xABC0_1230).key(0x1234_5678).flags(flags)
            });
            assert_eq!(arrivals.len(), 4);
            for arrival in arrivals {
                check(flags, &u32::from(arrival.stack_flags), &flags);
                assert_eq!(arrival.key, 0x1234_5678);
                assert_eq!(arrival.thread, 0xABC0_1230);
            }
        }
    }
    // A parent that no thread waits for has children that none waits for.
    let world = relay().hba(adapter(0x4000, 5));
    let arrivals = children(world, Direction::Read, 0x1_0000, 0, |request| {
        request.thread(0)
    });
    assert!(arrivals.iter().all(|arrival| arrival.thread == 0));
}

#[test]
fn paging_bits_of_the_parent() {
    let bits = IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;
    for flags in [
        0,
        IRP_NOCACHE,
        IRP_NOCACHE | IRP_PAGING_IO,
        IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO,
    ] {
        for direction in BOTH {
            let world = relay().hba(adapter(0x4000, 5));
            let arrivals = children(world, direction, 0x1_0000, 0, |request| {
                request.irp_flags(flags)
            });
            assert_eq!(arrivals.len(), 4);
            for arrival in arrivals {
                check(flags, &(arrival.irp_flags & bits), &(flags & bits));
            }
        }
    }
}

#[test]
fn priority_of_the_parent() {
    for hint in [
        _IO_PRIORITY_HINT::IoPriorityVeryLow,
        _IO_PRIORITY_HINT::IoPriorityLow,
        _IO_PRIORITY_HINT::IoPriorityNormal,
        _IO_PRIORITY_HINT::IoPriorityHigh,
        _IO_PRIORITY_HINT::IoPriorityCritical,
    ] {
        let world = relay().hba(adapter(0x4000, 5));
        let arrivals = children(world, Direction::Write, 0x1_0000, 0, |request| {
            request.priority(hint)
        });
        assert_eq!(arrivals.len(), 4);
        for arrival in arrivals {
            check(hint, &(arrival.priority as i32), &hint);
        }
    }
}

#[test]
fn the_same_again_for_irps_that_were_used_before() {
    // A pool of two pieces serves requests that differ in everything.
    let world = relay().hba(adapter(0x4000, 5)).setting("Pieces", 2);
    run(world, |stack| {
        stack.watch(stack.class_device());
        for round in 0..12_u32 {
            let exchange = Exchange::new(stack, BOTH[round as usize % 2], 0, 0x1_0000, 0, 1);
            let flags = if round % 3 == 0 { SL_WRITE_THROUGH } else { 0 };
            let paging = if round % 2 == 0 { IRP_PAGING_IO } else { 0 };
            let hint = (round % 5) as i32;
            let arrivals = at_class(stack, || {
                let request = exchange.transfer(stack).key(round).flags(flags);
                let request = request
                    .irp_flags(IRP_NOCACHE | paging)
                    .priority(hint)
                    .thread(0x1000 + round as usize);
                assert_success(&request.send().wait(), 0x1_0000);
            });
            assert_eq!(arrivals.len(), 4);
            for arrival in arrivals {
                let found = (
                    arrival.key,
                    u32::from(arrival.stack_flags),
                    arrival.irp_flags & IRP_PAGING_IO,
                    arrival.priority as i32,
                    arrival.thread,
                );
                let expected = (round, flags, paging, hint, 0x1000 + round as usize);
                check(round, &found, &expected);
            }
        }
    });
}

#[test]
fn what_fits_is_the_senders_own_irp() {
    run(relay().hba(adapter(0x4000, 5)), |stack| {
        stack.watch(stack.class_device());
        for (length, page_offset) in [(512, 0), (0x4000, 0), (0x4000, 3584), (0x3E00, 512)] {
            for direction in BOTH {
                let exchange = Exchange::new(stack, direction, 0, length, page_offset, 2);
                let mut address = 0;
                let arrivals = at_class(stack, || {
                    let pending = exchange.transfer(stack).key(9).flags(4).send();
                    address = pending.irp_address();
                    assert_success(&pending.wait(), length);
                });
                assert_eq!(arrivals.len(), 1);
                let arrival = &arrivals[0];
                assert_eq!((arrival.irp, arrival.key), (address, 9));
                assert_eq!((arrival.length as usize, arrival.stack_flags), (length, 4));
                assert_eq!(arrival.maker, "");
            }
        }
    });
}

#[test]
fn as_few_as_can_be() {
    let mut random = Random::new(21);
    for seed in 0..120 {
        let sector = random.choose(&[512_u64, 512, 4096]);
        let bytes = sector * (1 + random.below(80));
        let pages = 2 + random.below(20);
        let blocks = 1 + random.below(600 * 1024 / sector);
        let page_offset = random.below(8) * 512;
        let lba = random.below(500);
        let breaks = random.below(4) == 0;
        let direction = random.choose(&BOTH);
        let mut hba = adapter(bytes as usize, pages as u32);
        if breaks {
            hba = hba.segments(SegmentRule::Breaks);
        }
        if random.below(2) == 0 {
            hba = hba.completion(Completion::Later(1..800));
        }
        let world = relay()
            .clock(Clock::Deterministic { seed })
            .disk(Disk::memory((16 << 20) / sector, sector as u32))
            .hba(hba.on_violation(ntsim::port::OnViolation::Record));
        // The class driver's own arithmetic may leave the adapter's limits here; what counts is what
        // arrives at it.
        let ((arrivals, whole), _) = common::run_unchecked(world, |stack| {
            stack.watch(stack.class_device());
            let length = (blocks * sector) as usize;
            let offset = lba * sector;
            let exchange =
                Exchange::new(stack, direction, offset, length, page_offset as usize, seed);
            let arrivals = at_class(stack, || moves(stack, &exchange));
            (arrivals, length)
        });
        let mut plan: Vec<(u64, u64)> = arrivals
            .iter()
            .map(|part| (part.offset / sector, u64::from(part.length) / sector))
            .collect();
        plan.sort_unstable();
        let limits = oracle::World {
            max_bytes: Some(bytes),
            max_pages: Some(pages),
            ..oracle::World::unlimited(sector)
        };
        let request = oracle::Request {
            page_offset,
            lba,
            blocks,
            frames: &[],
        };
        check((seed, whole), &judge(&limits, &request, &plan), &Ok(()));
    }
}

#[test]
fn settings_count_here_too() {
    let sizes = |world: World| {
        let arrivals = children(world, Direction::Write, 0x1_0000, 0, |request| request);
        arrivals.iter().map(|part| part.length).collect::<Vec<_>>()
    };
    let honest = || relay().hba(adapter(0x1_0000, 17));
    assert_eq!(sizes(honest()), [0x1_0000]);
    let bytes = honest().setting("MaximumTransferLength", 0x6000);
    assert_eq!(sizes(bytes), [0x6000, 0x6000, 0x4000]);
    let pages = honest().setting("MaximumPhysicalPages", 4);
    assert_eq!(sizes(pages), [0x4000; 4]);
    let balanced = honest()
        .setting("MaximumTransferLength", 0x6000)
        .setting("Balanced", 1);
    assert_eq!(sizes(balanced), [0x5600, 0x5600, 0x5400]);
    let boundary = honest().setting("LbaBoundary", 0x8000);
    assert_eq!(sizes(boundary), [0x8000, 0x8000]);
    let document = honest()
        .setting("MaximumPhysicalPages", 4)
        .setting("PageRule", 1);
    assert_eq!(
        sizes(document),
        [0x3000, 0x3000, 0x3000, 0x3000, 0x3000, 0x1000]
    );
    let off = honest()
        .setting("MaximumTransferLength", 0x6000)
        .setting("Disabled", 1);
    assert_eq!(sizes(off), [0x1_0000]);
}

#[test]
fn a_window_of_them_at_a_time() {
    for window in [1, 2, 3, 8] {
        let world = relay()
            .hba(adapter(0x2000, 3).queue_depth(64))
            .setting("Window", window);
        let ((), report) = run(world, |stack| {
            stack.port().hold(true);
            let exchange = Exchange::new(stack, Direction::Write, 0, 16 * 0x2000, 0, 3);
            let pending = exchange.transfer(stack).send();
            while !stack.port().held().is_empty() {
                stack.port().complete_next(0);
            }
            assert_success(&pending.wait(), 16 * 0x2000);
            assert!(exchange.is_complete(stack));
        });
        check(window, &report.port.in_flight_peak, &window);
    }
}

#[test]
fn files_of_a_file_system() {
    for seed in 0..4 {
        let world = relay()
            .clock(Clock::Deterministic { seed })
            .hba(adapter(0x3000, 4).completion(Completion::Later(1..500)));
        run_files(world, seed);
    }
}

/// Files written and read in every way, and compared on the medium.
fn run_files(world: World, seed: u64) {
    let ((), report) = common::run_unchecked(world, |stack| {
        let fs = stack.file_system_seeded(seed);
        let modes = [
            Mode::PAGE_FAULT,
            Mode::READ_AHEAD,
            Mode::LAZY_WRITER,
            Mode::PAGE_WRITER,
            Mode::UNCACHED,
            Mode::WRITE_THROUGH,
        ];
        for (number, mode) in modes.into_iter().enumerate() {
            let name = format!("file{number}");
            let file = fs.create(&name, 696_320 + number * 8192).expect("room");
            file.fill(seed + number as u64, mode).expect("written");
            file.read(0, file.len() / 2, modes[5 - number])
                .expect("read");
        }
        fs.flush().expect("flushed");
        let bytes = fs.verify().expect("every byte in its place");
        assert!(bytes > 4_000_000);
        assert_eq!(fs.counts().failed, 0);
    });
    common::assert_everything_came_back(&report);
    common::assert_nothing_allocated(&report);
    assert!(report.port.largest_bytes <= 0x3000);
}
