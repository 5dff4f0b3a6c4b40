//! A device that says it takes less than its adapter is believed without a single setting: Windows'
//! own class driver never asks.

mod common;

#[path = "common/bus.rs"]
mod bus;

use bus::{Answer, BUS_SAS, BUS_USB, DEVICE_PROPERTY, Node, QUERY_PROPERTY};
use common::{BOTH, Exchange, MILLISECOND, adapter, check, driver, logged, moves, run, world};
use ntsim::port::{Direction, Disk, Hba, ProductPages};
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

/// SCSI, Fibre Channel, iSCSI, SAS, virtual, file-backed virtual.
const SANE: [u8; 6] = [1, 6, 9, 10, 14, 15];
/// `IOCTL_SCSI_PASS_THROUGH`.
const PASS_THROUGH: u32 = 0x0004_D004;

/// An adapter of 64 KiB in front of a disk that says what it takes, in blocks.
fn limited(world: World, bus: u8, blocks: u32) -> World {
    world
        .hba(adapter(0x1_0000, 17).bus(bus))
        .disk(Disk::memory(1 << 17, 512).block_limits(blocks))
}

fn disk() -> World {
    world().stack(StackKind::Disk)
}

fn srb() -> World {
    world().shape(Shape::Srb)
}

/// Product pages that the driver asked for at start.
fn inquiries(stack: &Stack) -> usize {
    let records = stack.port().records().into_iter();
    records
        .filter(|record| record.control_code == PASS_THROUGH)
        .count()
}

/// The longest piece that the port sees of a request of 1 MiB through the class driver.
#[track_caller]
fn longest(world: World) -> u32 {
    let (longest, _) = run(world, |stack| {
        for direction in BOTH {
            moves(stack, &Exchange::new(stack, direction, 0, 1 << 20, 0, 1));
        }
        stack.port().counts().largest_bytes
    });
    longest
}

/// The same of one SRB of 1 MiB.
#[track_caller]
fn longest_of_srb(world: World) -> u32 {
    let (longest, _) = run(world, |stack| {
        let buffer = stack.buffer(1 << 20, 0);
        let done = stack.scsi_write(0, 2048, &buffer, 0, 1 << 20).send().wait();
        assert!(done.irp.succeeded(), "{done:?}");
        assert_eq!(done.data_length, 1 << 20);
        stack.port().counts().largest_bytes
    });
    longest
}

#[test]
fn honoured_by_default_where_the_bus_is_sane() {
    for bus in 0..=20_u8 {
        let expected = if SANE.contains(&bus) {
            32 * 512
        } else {
            0x1_0000
        };
        check(bus, &longest(limited(disk(), bus, 32)), &expected);
        check(bus, &longest_of_srb(limited(srb(), bus, 32)), &expected);
    }
}

#[test]
fn never_or_always_on_demand() {
    for bus in [1, 7, 10, 11, 17] {
        let setting = |world, value| limited(world, bus, 32).setting("HonorBlockLimits", value);
        check(bus, &longest(setting(disk(), 0)), &0x1_0000);
        check(bus, &longest(setting(disk(), 2)), &(32 * 512));
        check(bus, &longest_of_srb(setting(srb(), 0)), &0x1_0000);
        check(bus, &longest_of_srb(setting(srb(), 2)), &(32 * 512));
    }
}

#[test]
fn the_class_driver_is_told_so() {
    let (facts, report) = run(limited(disk(), 10, 32), Stack::class_facts);
    let facts = facts.expect("the disk has started");
    assert_eq!(
        (facts.maximum_transfer_length, facts.maximum_physical_pages),
        (32 * 512, 5)
    );
    let said = logged(&report, "(block limits page)");
    assert_eq!(said.len(), 1, "{:#?}", report.debug_log);
    assert!(said[0].contains("16384 bytes"), "{said:?}");
}

#[test]
fn or_split_beneath_it() {
    for advertise in [0, 2] {
        let world = limited(disk(), 10, 32).setting("Advertise", advertise);
        check(advertise, &longest(world), &(32 * 512));
    }
}

#[test]
fn in_blocks_of_the_disks_own_size() {
    for reports_alignment in [false, true] {
        let build = |world: World| {
            let medium = Disk::memory(1 << 14, 4096)
                .block_limits(8)
                .reports_alignment(reports_alignment);
            world.hba(adapter(0x1_0000, 17).bus(10)).disk(medium)
        };
        // Eight blocks of 4 KiB: each request says how long its blocks are.
        let (counts, _) = run(build(srb()), |stack| {
            let buffer = stack.buffer(1 << 18, 0);
            let done = stack.scsi_write(0, 64, &buffer, 0, 1 << 18).send().wait();
            assert!(done.irp.succeeded(), "{done:?}");
            stack.port().counts()
        });
        check(reports_alignment, &counts.largest_bytes, &0x8000);
        check(reports_alignment, &counts.writes, &8);
        // The class driver keeps to it; where nobody names the blocks' size it may be told less.
        let most = longest(build(disk()));
        assert!(most <= 0x8000, "{most}");
        if reports_alignment {
            assert_eq!(most, 0x8000);
        }
    }
}

#[test]
fn pieces_in_large_blocks_fit_the_mdls_that_were_made_for_small_ones() {
    // Nobody says how long a block is before the first request: the MDLs are made for 32 blocks of
    // 512 bytes, and at least 64 KiB. 32 blocks of 4 KiB are more.
    let medium = Disk::memory(1 << 14, 4096)
        .block_limits(32)
        .reports_alignment(false);
    let world = srb().hba(adapter(1 << 20, 257).bus(10)).disk(medium);
    run(world, |stack| {
        let exchange = Exchange::new(stack, Direction::Write, 0, 1 << 19, 512, 1);
        let buffer = exchange.buffer();
        let done = stack.scsi_write(0, 128, buffer, 0, 1 << 19).send().wait();
        assert!(done.irp.succeeded(), "{done:?}");
        assert!(exchange.is_complete(stack));
        assert_eq!(stack.port().counts().largest_bytes, 0x1_0000);
    });
}

#[test]
fn values_that_make_no_sense_are_ignored_and_logged() {
    for blocks in [1, 2, 4, 7] {
        for world in [limited(disk(), 10, blocks), limited(disk(), 1, blocks)] {
            let (most, report) = run(world, |stack| {
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, 0, 1 << 20, 0, 1),
                );
                stack.port().counts().largest_bytes
            });
            check(blocks, &most, &0x1_0000);
            let said = logged(&report, "ignored");
            check(blocks, &said.len(), &1);
            assert!(said[0].contains("Block Limits"), "{said:?}");
        }
    }
    // Few blocks are few, however long each is.
    for (blocks, expected) in [(4, 0x1_0000), (7, 0x1_0000), (8, 0x8000)] {
        let medium = Disk::memory(1 << 14, 4096).block_limits(blocks);
        let world = disk().hba(adapter(0x1_0000, 17).bus(10)).disk(medium);
        check(blocks, &longest(world), &expected);
    }
    for (blocks, expected) in [
        (0, 0x1_0000),
        (8, 4096),
        (9, 4096),
        (127, 0xF000),
        (128, 0x1_0000),
        (1 << 20, 0x1_0000),
        (u32::MAX, 0x1_0000),
    ] {
        // What the class driver is told is in whole pages.
        check(blocks, &longest(limited(disk(), 10, blocks)), &expected);
    }
    check(9, &longest_of_srb(limited(srb(), 10, 9)), &(9 * 512));
}

#[test]
fn it_never_raises_the_adapters() {
    let world = |blocks| {
        disk()
            .hba(adapter(0x4000, 5).bus(10))
            .disk(Disk::memory(1 << 17, 512).block_limits(blocks))
    };
    for blocks in [32, 33, 1000, u32::MAX] {
        check(blocks, &longest(world(blocks)), &0x4000);
    }
    let stricter = limited(disk(), 10, 32).setting("MaximumTransferLength", 0x2000);
    assert_eq!(longest(stricter), 0x2000);
    let looser = limited(disk(), 10, 32).setting("MaximumTransferLength", 0x8000);
    assert_eq!(longest(looser), 0x4000);
}

#[test]
fn questions_are_asked_once_and_only_where_they_are_welcome() {
    for (bus, honor, asked) in [
        (7, None, 0),
        (11, None, 0),
        (17, None, 0),
        (10, None, 2),
        (10, Some(0), 0),
        (7, Some(2), 2),
        (7, Some(1), 0),
    ] {
        for build in [srb, disk] {
            let mut world = limited(build(), bus, 32);
            if let Some(value) = honor {
                world = world.setting("HonorBlockLimits", value);
            }
            run(world, |stack| {
                check((bus, honor), &inquiries(stack), &asked);
                stack.stop().expect("the device can be stopped");
                stack.start().expect("the device can be started");
                check((bus, honor), &inquiries(stack), &asked);
            });
        }
    }
    // A device that does not list the page is not asked for it.
    for build in [srb, disk] {
        run(build().hba(adapter(0x1_0000, 17).bus(10)), |stack| {
            assert_eq!(inquiries(stack), 1);
        });
    }
}

#[test]
fn bridges_that_hang_on_product_pages_do_not_hold_up_the_start() {
    for build in [srb, disk] {
        let mute = ProductPages {
            hangs: true,
            ..ProductPages::default()
        };
        let world = build()
            .hba(Hba::profile("usb-bridge"))
            .disk(Disk::memory(1 << 17, 512).product_pages(mute));
        let (started, _) = run(world, |stack| stack.machine().now());
        assert!(started < 100 * MILLISECOND, "start waited for nothing");
    }
}

#[test]
fn a_unit_attention_is_left_for_the_class_driver() {
    use ntsim::port::Sense;
    for build in [disk, || World::without_filter().stack(StackKind::Disk)] {
        let world =
            limited(build(), 10, 32).prepare(|port| port.raise_attention(Sense::RESET_OCCURRED));
        // The class driver meets it in its own first command and goes on.
        run(world, |stack| {
            assert!(stack.class_facts().is_some());
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 0x1_0000, 0, 1),
            );
        });
    }
    // Without one, nobody takes it.
    let world = limited(srb(), 10, 32).prepare(|port| port.raise_attention(Sense::RESET_OCCURRED));
    common::run_unchecked(world, |stack| {
        let ready = stack.scsi(&[0; 6]).send().wait();
        assert!(ready.sense.is_some(), "still there: {ready:?}");
    });
}

// ---- pages of every kind ----

/// Page 0x00 with these pages in it.
fn list(pages: &[u8]) -> Vec<u8> {
    let mut page = vec![0, 0, 0, pages.len() as u8];
    page.extend(pages);
    page
}

/// Page 0xB0 with this MAXIMUM TRANSFER LENGTH.
fn block_limits(blocks: u32) -> Vec<u8> {
    let mut page = vec![0; 64];
    page[1] = 0xB0;
    page[3] = 60;
    page[8..12].copy_from_slice(&blocks.to_be_bytes());
    page
}

/// Starts the driver above a device of 16 KiB with these two pages; bytes of the longest piece of a
/// request of 64 KiB, and what was asked.
fn with_pages(bus: u8, listed: Option<Vec<u8>>, limits: Option<Vec<u8>>) -> (u32, Vec<Vec<u8>>) {
    bus::on_machine(|| {
        bus::setting("Shape", 1);
        let unit = Answer::of(&bus::unit_descriptor(bus));
        bus::answer(QUERY_PROPERTY, DEVICE_PROPERTY, unit);
        if let Some(page) = listed {
            bus::product_page(0x00, &page);
        }
        if let Some(page) = limits {
            bus::product_page(0xB0, &page);
        }
        let driver = driver();
        let mut node = Node::new().lower(&driver).add();
        node.start().expect("the device starts");
        let (came, status) = bus::scsi_read(node.top(), 0x1_0000);
        assert_eq!((came.status, status), (0, 1));
        let longest = bus::seen().iter().map(|seen| seen.bytes).max();
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
        (longest.expect("something arrived"), bus::commands())
    })
}

#[test]
fn the_page_must_be_listed() {
    const NONE: u32 = 0x4000;
    let sixteen = || Some(block_limits(16));
    let cases: [(Option<Vec<u8>>, u32); 9] = [
        (Some(list(&[0x00, 0x80, 0x83, 0xB0])), 16 * 512),
        (Some(list(&[0x00, 0xB0])), 16 * 512),
        (Some(list(&[0x00, 0x80, 0x83])), NONE),
        (Some(list(&[])), NONE),
        (None, NONE),
        // Standard inquiry data in place of the page, as from adapters that know no other.
        (
            Some([&[0, 0, 6, 2, 31, 0, 0, 2][..], &[0xB0; 28]].concat()),
            NONE,
        ),
        // The answer ends before its own length.
        (Some(vec![0, 0, 0, 9, 0x00, 0xB0]), NONE),
        // Another page.
        (Some(vec![0, 0x80, 0, 2, 0x00, 0xB0]), NONE),
        // No such unit.
        (Some(vec![0x60, 0, 0, 2, 0x00, 0xB0]), NONE),
    ];
    for (listed, expected) in cases {
        let (longest, commands) = with_pages(BUS_SAS, listed.clone(), sixteen());
        check(&listed, &longest, &expected);
        let asked = if expected == NONE { 1 } else { 2 };
        check(&listed, &commands.len(), &asked);
        for (command, page) in commands.iter().zip([0x00, 0xB0]) {
            assert_eq!(command[..3], [0x12, 1, page]);
            assert_eq!(command.len(), 6);
        }
    }
}

#[test]
fn a_page_that_is_cut_short_or_another_does_not_count() {
    let listed = || Some(list(&[0x00, 0xB0]));
    let whole = block_limits(16);
    for length in 0..=whole.len() {
        let mut page = whole.clone();
        page.truncate(length);
        let (longest, _) = with_pages(BUS_SAS, listed(), Some(page));
        let expected = if length == whole.len() {
            16 * 512
        } else {
            0x4000
        };
        check(length, &longest, &expected);
    }
    // Short by its own word: before the field, and just behind it.
    for (length, expected) in [(0, 0x4000), (7, 0x4000), (8, 16 * 512), (12, 16 * 512)] {
        let mut page = whole.clone();
        page[3] = length;
        let (longest, _) = with_pages(BUS_SAS, listed(), Some(page));
        check(length, &longest, &expected);
    }
    let mut other = whole;
    other[1] = 0xB1;
    assert_eq!(with_pages(BUS_SAS, listed(), Some(other)).0, 0x4000);
}

#[test]
fn a_usb_device_is_not_even_asked() {
    let (longest, commands) = with_pages(BUS_USB, Some(list(&[0, 0xB0])), Some(block_limits(16)));
    assert_eq!(longest, 0x4000);
    assert_eq!(commands, Vec::<Vec<u8>>::new());
}
