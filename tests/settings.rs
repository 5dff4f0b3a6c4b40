//! Every setting shows at the port.

mod common;

use common::{
    BOTH, Exchange, PAGE, Random, adapter, assert_failure, check, moves, pieces, run, world,
};
use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::{Completion, Direction, Disk, PortRecord};
use ntsim::world::StackKind;
use ntsim::{Stack, World};
use xfersplit_oracle::{self as oracle, minimum};

/// Moves one request and gives what arrived at the port.
fn arrives(
    world: World,
    direction: Direction,
    offset: u64,
    length: usize,
    page_offset: usize,
) -> Vec<PortRecord> {
    let (records, _) = run(world, |stack| {
        moves(
            stack,
            &Exchange::new(stack, direction, offset, length, page_offset, 1),
        );
        stack.port().transfers()
    });
    records
}

fn sizes(records: &[PortRecord]) -> Vec<u32> {
    records.iter().map(|record| record.bytes).collect()
}

/// Pieces of one request at the port at a time, at most.
fn peak(stack: &Stack) -> u32 {
    stack.port().hold(true);
    let exchange = Exchange::new(stack, Direction::Write, 0, 64 * 4096, 0, 2);
    let pending = exchange.transfer(stack).send();
    while !stack.port().held().is_empty() {
        stack.port().complete_next(0);
    }
    assert!(pending.wait().succeeded() && exchange.is_complete(stack));
    stack.port().counts().in_flight_peak
}

#[test]
fn window() {
    for window in [1, 2, 3, 7, 32, 256] {
        let world = world()
            .hba(adapter(4096, 2).queue_depth(512))
            .setting("Window", window)
            .setting("Pieces", 256);
        let (peak, _) = run(world, peak);
        check(window, &peak, &window.min(64));
    }
    let (default, _) = run(world().hba(adapter(4096, 2)), peak);
    assert_eq!(default, 4);
}

#[test]
fn pieces_in_the_pool() {
    for pieces in [1, 2, 5, 16] {
        let world = world()
            .hba(adapter(4096, 2))
            .setting("Window", 8)
            .setting("Pieces", pieces);
        let (peak, report) = run(world, peak);
        check(pieces, &peak, &pieces.min(8));
        check(pieces, &report.allocations_at_start.mdl, &u64::from(pieces));
    }
    // By the budget: two windows, where they fit a megabyte.
    let (_, report) = run(world().hba(adapter(4096, 2)).setting("Window", 8), peak);
    assert_eq!(report.allocations_at_start.mdl, 16);
    // Pieces of 8 MiB need MDLs of 16 KiB.
    let ((), report) = run(world().setting("Window", 256), |_| ());
    let bytes = report.allocations_at_start.bytes_now;
    assert!(bytes < (1 << 20) + 0x1_0000, "{bytes} bytes");
    assert!(report.allocations_at_start.mdl < 512);
}

#[test]
fn serial() {
    let hba = adapter(4096, 2).completion(Completion::Later(1..1_000));
    let world = world().hba(hba).setting("Serial", 1).setting("Window", 8);
    let (lbas, report) = run(world, |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 64 * 4096, 0, 3),
        );
        let records = stack.port().transfers();
        records.iter().map(|record| record.lba).collect::<Vec<_>>()
    });
    assert_eq!(report.port.in_flight_peak, 1);
    assert!(lbas.is_sorted());
}

#[test]
fn maximum_transfer_length() {
    for bytes in [512, 1000, 4096, 0x1_0000, 0x1_0000 + 511] {
        let setting = || world().setting("MaximumTransferLength", bytes);
        let records = arrives(setting(), Direction::Write, 0, 0x2_0000, 0);
        let piece = (bytes / 512 * 512) as usize;
        check(bytes, &records.len(), &0x2_0000_usize.div_ceil(piece));
        assert!(records.iter().all(|record| record.bytes as usize <= piece));
        // It clamps; it never raises.
        let records = arrives(
            setting().hba(adapter(2048, 2)),
            Direction::Read,
            0,
            0x2_0000,
            0,
        );
        let piece = piece.min(2048);
        check(bytes, &records.len(), &0x2_0000_usize.div_ceil(piece));
    }
    // 0 says nothing.
    let records = arrives(
        world().setting("MaximumTransferLength", 0),
        Direction::Read,
        0,
        0x2_0000,
        0,
    );
    assert_eq!(records.len(), 1);
}

#[test]
fn maximum_physical_pages_and_map_registers() {
    for name in ["MaximumPhysicalPages", "NumberOfMapRegisters"] {
        for pages in 1..=6_u32 {
            for page_offset in [0, 512, 3584] {
                let world = world().hba(adapter(0x1_0000, 5)).setting(name, pages);
                let records = arrives(world, Direction::Write, 0, 12 * PAGE, page_offset);
                let allowed = pages.min(5);
                assert!(records.iter().all(|record| record.span_pages <= allowed));
                let span = (page_offset + 12 * PAGE).div_ceil(PAGE) as u32;
                check(
                    (name, pages, page_offset),
                    &records.len(),
                    &(span.div_ceil(allowed) as usize),
                );
            }
        }
    }
    // The DMA document's own example: 12 pages, 5 map registers, 3 operations.
    let world = world().setting("NumberOfMapRegisters", 5);
    let records = arrives(world, Direction::Write, 0, 12 * PAGE, 0);
    assert_eq!(sizes(&records), [20480, 20480, 8192]);
}

#[test]
fn page_rule_spans_or_the_documents() {
    // 16 pages, aligned: the rule of the document leaves one page of each piece unused.
    let of_rule = |rule| {
        let world = world().hba(adapter(1 << 20, 5)).setting("PageRule", rule);
        sizes(&arrives(world, Direction::Read, 0, 16 * PAGE, 0))
    };
    assert_eq!(of_rule(0), [20480, 20480, 20480, 4096]);
    assert_eq!(of_rule(1), [16384; 4]);
    // What fits goes whole under either.
    for rule in [0, 1] {
        let world = world().hba(adapter(1 << 20, 5)).setting("PageRule", rule);
        assert_eq!(arrives(world, Direction::Read, 0, 5 * PAGE, 0).len(), 1);
    }
}

#[test]
fn page_rule_breaks() {
    let hba = || adapter(1 << 20, 4).segments(ntsim::port::SegmentRule::Breaks);
    for run_pages in 1..=5_usize {
        let world = world().hba(hba()).setting("PageRule", 2);
        let (records, _) = run(world, |stack| {
            let buffer = stack.buffer_runs(30 * PAGE, 0, run_pages);
            moves(
                stack,
                &Exchange::in_buffer(stack, Direction::Write, 0, buffer, 4),
            );
            stack.port().transfers()
        });
        assert!(records.iter().all(|record| record.breaks <= 4));
        let runs = 30_usize.div_ceil(run_pages);
        assert!(
            records.len() <= runs.div_ceil(4),
            "neighbouring runs may touch"
        );
        if run_pages == 1 {
            continue;
        }
        let spans = world_spans(run_pages);
        assert!(
            records.len() < spans,
            "{} pieces, {spans} by pages",
            records.len()
        );
    }
}

/// The pieces of the same request when pages are counted.
fn world_spans(run_pages: usize) -> usize {
    let (count, _) = run(world().hba(adapter(1 << 20, 4)), |stack| {
        let buffer = stack.buffer_runs(30 * PAGE, 0, run_pages);
        moves(
            stack,
            &Exchange::in_buffer(stack, Direction::Write, 0, buffer, 5),
        );
        stack.port().transfers().len()
    });
    count
}

#[test]
fn lba_boundary() {
    for boundary in [4096_u32, 8192, 0x1_0000, 12288] {
        for first in [0, 1, 7, 8, 100, (1 << 33) - 3] {
            let world = world()
                .disk(Disk::memory(1 << 34, 512))
                .hba(adapter(0x1_0000, 17))
                .setting("LbaBoundary", boundary);
            let records = arrives(world, Direction::Write, first * 512, 40 * 512, 0);
            let boundary = u64::from(boundary) / 512;
            for record in &records {
                let last = record.lba + u64::from(record.blocks) - 1;
                assert_eq!(record.lba / boundary, last / boundary, "crosses a stripe");
            }
            let stripes = (first + 39) / boundary - first / boundary + 1;
            check((boundary, first), &(records.len() as u64), &stripes);
        }
    }
}

#[test]
fn physical_sector_cuts() {
    for lowest_aligned in [0, 1, 7] {
        let build = || {
            let disk = Disk::memory(1 << 16, 512).physical(4096, lowest_aligned);
            world().disk(disk).hba(adapter(7168, 3))
        };
        // 7 KiB pieces of writes end at 4 KiB sectors; of reads they need not.
        let records = arrives(build(), Direction::Write, 512, 0x1_0000, 0);
        let (_, cuts) = records.split_first().expect("several pieces");
        for record in cuts {
            assert_eq!(
                record.lba % 8,
                u64::from(lowest_aligned) % 8,
                "{lowest_aligned}"
            );
        }
        let reads = arrives(build(), Direction::Read, 512, 0x1_0000, 0);
        check(lowest_aligned, &reads.len(), &0x1_0000_usize.div_ceil(7168));
        let off = build().setting("PhysicalSectorCuts", 0);
        let torn = arrives(off, Direction::Write, 512, 0x1_0000, 0);
        check(lowest_aligned, &torn.len(), &reads.len());
        assert!(records.len() > torn.len());
    }
}

#[test]
fn physical_sector_cuts_beneath_and_above_the_class_driver() {
    // There the boundaries come from StorageAccessAlignmentProperty, which counts from the other
    // side: where block 0 lies in its physical sector.
    for kind in [StackKind::Disk, StackKind::Relay] {
        for lowest_aligned in 0..8 {
            let disk = Disk::memory(1 << 16, 512).physical(4096, lowest_aligned);
            let world = world()
                .stack(kind)
                .disk(disk)
                .hba(adapter(7168, 3))
                .setting("Advertise", 2);
            let records = arrives(world, Direction::Write, 512, 0x1_0000, 0);
            let (_, cuts) = records.split_first().expect("several pieces");
            for record in cuts {
                let inside = record.lba % 8;
                check((kind, record.lba), &inside, &u64::from(lowest_aligned));
            }
        }
    }
}

#[test]
fn balanced() {
    let mut random = Random::new(5);
    for _ in 0..40 {
        let bytes = 512 * (2 + random.below(30));
        let pages = 2 + random.below(8);
        let blocks = 8 + random.below(200);
        let page_offset = random.below(8) * 512;
        let build = || world().hba(adapter(bytes as usize, pages as u32));
        let length = blocks as usize * 512;
        let even = arrives(
            build().setting("Balanced", 1),
            Direction::Read,
            0,
            length,
            page_offset as usize,
        );
        let longest = even
            .iter()
            .map(|record| u64::from(record.bytes))
            .max()
            .expect("some");
        let limits = |bytes: u64| oracle::World {
            max_bytes: Some(bytes),
            max_pages: Some(pages),
            ..oracle::World::unlimited(512)
        };
        let request = oracle::Request {
            page_offset,
            lba: 0,
            blocks,
            frames: &[],
        };
        let fewest = minimum(&limits(bytes), &request).expect("there is a split");
        check((bytes, pages, blocks), &(even.len() as u64), &fewest);
        if fewest > 1 {
            // No shorter ceiling gives as few.
            let shorter = minimum(&limits(longest - 512), &request);
            assert!(
                longest == 512 || shorter > Some(fewest),
                "{longest} could be less"
            );
        }
    }
    let records = arrives(
        world().hba(adapter(0x1_0000, 17)).setting("Balanced", 1),
        Direction::Write,
        0,
        0x1_1000,
        0,
    );
    assert_eq!(sizes(&records), [0x8800, 0x8800]);
}

#[test]
fn cdb_length() {
    let opcodes = [
        (6, 0x08, 0x0A),
        (10, 0x28, 0x2A),
        (12, 0xA8, 0xAA),
        (16, 0x88, 0x8A),
    ];
    for (length, read, write) in opcodes {
        for (direction, opcode) in BOTH.into_iter().zip([read, write]) {
            let world = world()
                .hba(adapter(0x1_0000, 17))
                .setting("CdbLength", length);
            let records = arrives(world, direction, 512 * 99, 0x4_0000, 512);
            for record in &records {
                check(
                    length,
                    &(record.cdb_length, record.cdb[0]),
                    &(length as u8, opcode),
                );
            }
            let total: u32 = records.iter().map(|record| record.blocks).sum();
            check(length, &total, &512);
        }
    }
    // By itself: 10 bytes up to 2 TiB, 16 beyond.
    for (blocks, expected) in [(1_u64 << 20, 10), (1 << 32, 10), ((1 << 32) + 1, 16)] {
        let world = world().disk(Disk::memory(blocks, 512));
        let records = arrives(world, Direction::Read, 0, 4096, 0);
        check(blocks, &records[0].cdb_length, &expected);
    }
}

#[test]
fn a_short_command_block_limits_the_piece() {
    // 6 bytes name 256 blocks, 10 bytes 65 535.
    let six = arrives(
        world().setting("CdbLength", 6),
        Direction::Write,
        0,
        1000 * 512,
        0,
    );
    assert_eq!(pieces(&six), [(0, 256), (256, 256), (512, 256), (768, 232)]);
    let (ten, _) = run(
        world()
            .disk(Disk::pattern(1 << 20, 512, 4))
            .setting("CdbLength", 10),
        |stack| {
            let buffer = stack.buffer_pattern(0x1_0000 * 512, 0, 4);
            let done = stack.read(0, &buffer).send().wait();
            common::assert_success(&done, 0x1_0000 * 512);
            stack.port().transfers()
        },
    );
    // Too long for one command, so it is split, and then no piece is longer than 8 MiB.
    assert_eq!(ten.len(), 4);
    assert!(ten.iter().all(|record| record.bytes == 8 << 20));
}

#[test]
fn max_piece_bytes() {
    for cap in [0x1_0000_u32, 0x10_0000] {
        let (counts, _) = run(
            world()
                .hba(adapter(16 << 20, 4097))
                .disk(Disk::pattern(1 << 17, 512, 4))
                .setting("MaxPieceBytes", cap),
            |stack| {
                // Fits the adapter: goes whole. Does not: no piece is longer than the cap.
                for (length, expected) in [(16 << 20, 1), (17 << 20, (17 << 20) / cap)] {
                    stack.port().forget_records();
                    let buffer = stack.buffer_pattern(length as usize, 0, 4);
                    let done = stack.read(0, &buffer).send().wait();
                    common::assert_success(&done, length as usize);
                    check(cap, &stack.port().transfers().len(), &(expected as usize));
                }
                stack.port().counts()
            },
        );
        assert_eq!(counts.largest_bytes, 16 << 20);
    }
}

#[test]
fn a_boundary_that_sectors_cannot_keep_to_is_ignored() {
    for (sector, mask, boundary, ignored) in [
        (512, 0, 513, true),
        (512, 0, 0x600, false),
        (4096, 0, 0x600, true),
        (4096, 0, 512, true),
        (4096, 0, 0x3000, false),
        (512, 0xFFF, 0x600, true),
        (512, 0xFFF, 0x2000, false),
    ] {
        let world = world()
            .disk(Disk::memory(1 << 14, sector))
            .hba(adapter(0x1_0000, 17).alignment_mask(mask))
            .setting("LbaBoundary", boundary);
        let (pieces, report) = run(world, |stack| {
            for direction in BOTH {
                moves(stack, &Exchange::new(stack, direction, 0, 0x2_0000, 0, 6));
            }
            stack.port().transfers().len()
        });
        let said = common::logged(&report, "LbaBoundary");
        check((sector, mask, boundary), &said.len(), &usize::from(ignored));
        check((sector, mask, boundary), &(pieces == 4), &ignored);
    }
}

#[test]
fn a_limit_below_everything_still_moves() {
    // One sector at a time.
    let world = world()
        .setting("MaximumTransferLength", 512)
        .setting("Window", 3);
    let records = arrives(world, Direction::Write, 0, 100 * 512, 256);
    assert_eq!(records.len(), 100);
    // But not less than a sector of the disk: start.rs has that.
    let (done, _) = run(
        common::world()
            .disk(Disk::memory(1 << 14, 4096))
            .setting("MaximumPhysicalPages", 1),
        |stack| {
            let buffer = stack.buffer(8192, 512);
            stack.read(0, &buffer).send().wait()
        },
    );
    assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
}
