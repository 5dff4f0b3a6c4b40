//! Files on the whole stack: what a file system and the memory manager send reaches the medium, and
//! comes back, byte for byte, whoever splits it.

mod common;

use common::{adapter, assert_everything_came_back, assert_nothing_allocated, check, world};
use ntsim::abi::SRB_FLAGS_ADAPTER_CACHE_ENABLE;
use ntsim::pnp::DevicePower;
use ntsim::port::{Completion, Direction, Disk, Fault, FaultMix, Kind};
use ntsim::world::{FileSystem, Mode, StackKind};
use ntsim::{Clock, Report, Stack, World};

/// `SRB_CLASS_FLAGS_PAGING` (classpnp.h).
const CLASS_FLAGS_PAGING: u32 = 0x4000_0000;
/// FUA, in the second byte of a WRITE of 10 or 16 bytes.
const FUA: u8 = 0x08;

const MODES: [Mode; 6] = [
    Mode::PAGE_FAULT,
    Mode::READ_AHEAD,
    Mode::LAZY_WRITER,
    Mode::PAGE_WRITER,
    Mode::UNCACHED,
    Mode::WRITE_THROUGH,
];

/// The class driver above the filter above an adapter of 12 KiB, with one say about who splits.
fn disk(advertise: u32, seed: u64) -> World {
    let hba = adapter(0x4000, 5).completion(Completion::Mixed(30, 1..900));
    world()
        .stack(StackKind::Disk)
        .clock(Clock::Deterministic { seed })
        .hba(hba)
        .setting("MaximumTransferLength", 0x3000)
        .setting("Advertise", advertise)
}

/// Runs a scenario with a file system, after which every byte of every file is compared.
fn with_files(
    world: World,
    seed: u64,
    scenario: impl FnOnce(&Stack, &FileSystem) + Send,
) -> Report {
    let ((), report) = common::run_unchecked(world, |stack| {
        let fs = stack.file_system_seeded(seed);
        scenario(stack, &fs);
        fs.flush().expect("flushed");
        fs.verify().expect("every byte in its place");
    });
    assert_everything_came_back(&report);
    assert_nothing_allocated(&report);
    assert!(report.port.largest_bytes <= 0x3000);
    report
}

/// One file for each way of writing, each read in another way.
fn every_way(fs: &FileSystem, seed: u64) {
    for (number, mode) in MODES.into_iter().enumerate() {
        let bytes = 524_288 + number * 8192;
        let file = fs.create(&format!("file{number}"), bytes).expect("room");
        file.fill(seed + number as u64, mode).expect("written");
        file.read(0, bytes / 2, MODES[5 - number]).expect("read");
        let part = vec![number as u8; 32_768];
        file.write(8192, &part, MODES[(number + 2) % 6])
            .expect("written");
        assert_eq!(file.read(8192, 32_768, mode).expect("read"), part);
    }
}

#[test]
fn files_of_every_kind() {
    for advertise in [0, 1, 2] {
        for seed in 0..3 {
            with_files(disk(advertise, seed), seed, |_, fs| {
                every_way(fs, seed);
                check(advertise, &fs.counts().failed, &0);
            });
        }
    }
}

#[test]
fn on_disks_with_sectors_of_a_page_and_both_request_formats() {
    for extended in [false, true] {
        for advertise in [1, 2] {
            let hba = adapter(0x4000, 5).extended_srb(extended);
            let world = disk(advertise, 9)
                .hba(hba)
                .disk(Disk::memory(1 << 14, 4096));
            with_files(world, 9, |_, fs| every_way(fs, 9));
        }
    }
}

#[test]
fn write_through_is_kept_by_every_piece() {
    for (mode, through) in [(Mode::UNCACHED, false), (Mode::WRITE_THROUGH, true)] {
        for advertise in [0, 1, 2] {
            with_files(disk(advertise, 2), 2, |stack, fs| {
                let file = fs.create_contiguous("file", 200_000).expect("room");
                stack.port().forget_records();
                file.fill(1, mode).expect("written");
                let records = stack.port().transfers();
                let data = records
                    .iter()
                    .filter(|record| record.direction == Some(Direction::Write));
                for record in data.clone() {
                    let unit_access = record.cdb[1] & FUA != 0;
                    check((through, advertise), &unit_access, &through);
                    let cached = record.srb_flags & SRB_FLAGS_ADAPTER_CACHE_ENABLE != 0;
                    check((through, advertise), &cached, &!through);
                }
                assert!(data.count() >= 200_000 / 0x3000);
            });
        }
    }
}

#[test]
fn paging_io_moves_with_the_smallest_pool_there_is() {
    for advertise in [0, 2] {
        let world = disk(advertise, 4).setting("Pieces", 1);
        let report = with_files(world, 4, |stack, fs| {
            // No memory for anybody while it moves.
            stack.machine().fail_allocations(Some(Box::new(|request| {
                request.kind != ntsim::machine::AllocationKind::Framework
            })));
            let file = fs.create("paging file", 400_000).expect("room");
            stack.port().forget_records();
            file.fill(1, Mode::PAGE_WRITER).expect("written");
            file.read(0, 400_000, Mode::PAGE_FAULT).expect("read");
            stack.machine().fail_allocations(None);
            // Every piece says what it is for, as the packet that it is a part of did.
            let records = stack.port().transfers();
            assert!(records.len() > 60);
            for record in records {
                assert_ne!(record.srb_flags & CLASS_FLAGS_PAGING, 0, "{record:?}");
            }
        });
        check(advertise, &report.finished, &report.sent);
    }
}

#[test]
fn through_sleep_and_rebalance() {
    for advertise in [0, 1, 2] {
        with_files(disk(advertise, 5), 5, |stack, fs| {
            let other = fs.clone();
            let writer = stack.spawn("writer", move |_| {
                let file = other.create("first", 600_000).expect("room");
                file.fill(1, Mode::PAGE_WRITER).expect("written");
                file.read(0, 600_000, Mode::READ_AHEAD).expect("read");
            });
            let file = fs.create("second", 300_000).expect("room");
            for round in 0..3 {
                file.fill(round, Mode::LAZY_WRITER).expect("written");
                assert_eq!(stack.set_power(DevicePower::D3), 0);
                assert_eq!(stack.set_power(DevicePower::D0), 0);
            }
            writer.join();
            stack.stop().expect("the device can be stopped");
            stack.start().expect("the device can be started");
            file.fill(9, Mode::UNCACHED).expect("written");
        });
    }
}

#[test]
fn in_bad_weather_every_success_is_true() {
    for advertise in [0, 1, 2] {
        for seed in 0..4 {
            with_files(disk(advertise, seed), seed, |stack, fs| {
                let weather = FaultMix::new()
                    .with(Kind::Busy, 0.02)
                    .with(Kind::BusReset, 0.005)
                    .with(Kind::UnitAttention, 0.01)
                    .with(Kind::AbortedCommand, 0.01)
                    .with(Kind::RecoveredError, 0.02)
                    .with(Kind::NoResourcesIrp, 0.01)
                    .with(Kind::QueueFull, 0.02)
                    .with(Kind::Short, 0.005);
                stack.port().fault_mix(weather);
                for (number, mode) in MODES.into_iter().enumerate() {
                    let name = format!("file{number}");
                    let Ok(file) = fs.create(&name, 147_456) else {
                        continue;
                    };
                    let _ = file.fill(seed, mode);
                    // What is read as a success is what was written.
                    if let Err(error) = file.read(0, 147_456, MODES[5 - number]) {
                        let text = format!("{error:?}");
                        assert!(!text.contains("Differs"), "{text}");
                    }
                }
                stack.port().clear_faults();
            });
        }
    }
}

#[test]
fn a_bad_block_costs_the_requests_that_touch_it_and_no_others() {
    for advertise in [0, 1, 2] {
        with_files(disk(advertise, 6), 6, |stack, fs| {
            let file = fs.create_contiguous("file", 299_008).expect("room");
            file.fill(1, Mode::UNCACHED).expect("written");
            let bad = file.place(150_000) / 512;
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(bad).always());
            let one = Mode::UNCACHED.sizes(4096, 4096);
            file.read(0, 131_072, one).expect("before the bad block");
            assert!(file.read(0, 299_008, one).is_err(), "across it");
            file.read(163_840, 131_072, one).expect("behind it");
            stack.port().clear_faults();
        });
    }
}
