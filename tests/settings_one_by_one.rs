//! Every setting by itself: what it may be, what happens to what it may not be, and that it does
//! something. A bad value costs its setting and nothing else; a disk always starts.

mod common;

use common::{
    BOTH, Exchange, MILLISECOND, adapter, check, logged, moves, run, run_unchecked, world,
};
use ntsim::pnp::{self, Usage};
use ntsim::port::{Direction, Disk, Fault};
use ntsim::registry::{Kind, Registry, Value};
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

/// A setting: its name, values that it may have, values that it may not.
struct Setting {
    name: &'static str,
    good: &'static [u32],
    bad: &'static [u32],
}

const MAX: u32 = u32::MAX;

const fn row(name: &'static str, good: &'static [u32], bad: &'static [u32]) -> Setting {
    Setting { name, good, bad }
}

/// Boundaries, one step beyond them, and what lies far outside.
const SETTINGS: [Setting; 21] = [
    row(
        "MaximumTransferLength",
        &[0, 512, 513, 4096, MAX - 1, MAX],
        &[1, 256, 511],
    ),
    row("MaximumPhysicalPages", &[0, 1, 2, MAX - 1, MAX], &[]),
    row(
        "AlignmentMask",
        &[0, 1, 3, 7, 0x1FF, 0x7FF, 0xFFF],
        &[2, 4, 5, 0x800, 0xFFE, 0x1000, 0x1FFF, MAX],
    ),
    row("NumberOfMapRegisters", &[0, 1, 2, MAX - 1, MAX], &[]),
    row("HonorBlockLimits", &[0, 1, 2], &[3, 4, MAX]),
    row("Window", &[1, 2, 255, 256], &[0, 257, MAX]),
    row("Pieces", &[0, 1, 2, 4095, 4096], &[4097, MAX]),
    row("Serial", &[0, 1], &[2, MAX]),
    row("MaxRetries", &[0, 1, 15, 16], &[17, MAX]),
    row("RetryDelayMs", &[0, 1, 99_999, 100_000], &[100_001, MAX]),
    row("PageRule", &[0, 1, 2], &[3, MAX]),
    row("Shape", &[0, 1, 2, 3], &[4, 5, MAX]),
    row(
        "CdbLength",
        &[0, 6, 10, 12, 16],
        &[1, 5, 7, 8, 9, 11, 13, 15, 17, 32, MAX],
    ),
    row(
        "LbaBoundary",
        &[0, 512, 0x600, 0x1_0000, MAX - 511],
        // What no sector ends at says as little as what is less than one.
        &[513, 0x601, MAX, 1, 511],
    ),
    row("PhysicalSectorCuts", &[0, 1], &[2, MAX]),
    row("Balanced", &[0, 1], &[2, MAX]),
    row(
        "MaxPieceBytes",
        &[0x1_0000, 0x1_0001, 4088 * 4096 - 1, 4088 * 4096],
        &[0, 512, 0xFFFF, 4088 * 4096 + 1, MAX],
    ),
    row("Disabled", &[0, 1], &[2, MAX]),
    row("AllowBootDevice", &[0, 1], &[2, MAX]),
    row("Advertise", &[0, 1, 2], &[3, MAX]),
    row(
        "AdvertisedTransferLength",
        &[4096, 4097, 0x40_0000 - 1, 0x40_0000],
        &[0, 512, 4095, 0x40_0001, MAX],
    ),
];

/// Every kind of stack, around an honest adapter of 64 KiB and the setting that makes it 8 KiB.
fn stacks() -> [World; 3] {
    let strict = |world: World| {
        world
            .hba(adapter(0x1_0000, 17))
            .setting("NumberOfMapRegisters", 3)
    };
    [
        strict(world()),
        strict(world().stack(StackKind::Disk)),
        strict(world().stack(StackKind::Relay)),
    ]
}

/// Moves data in both directions and gives the longest piece.
fn longest(stack: &Stack) -> u32 {
    for direction in BOTH {
        moves(
            stack,
            &Exchange::new(stack, direction, 0x1_0000, 0x2_0000, 512, 1),
        );
    }
    stack.port().counts().largest_bytes
}

/// Data moves in both directions.
#[track_caller]
fn works(stack: &Stack, case: impl std::fmt::Debug + Copy) {
    for direction in BOTH {
        let exchange = Exchange::new(stack, direction, 0x1_0000, 0x2_0000, 512, 1);
        let done = exchange.transfer(stack).send().wait();
        check(case, &(done.status, done.information), &(0, 0x2_0000));
        assert!(exchange.is_complete(stack), "in {case:?}");
    }
}

/// Stacks in which a value of this setting may be ignored: above the bare port only the setting
/// `Shape` makes the driver take READ and WRITE.
fn stacks_for(name: &str) -> Vec<World> {
    let stacks = stacks().into_iter();
    stacks.skip(usize::from(name == "Shape")).collect()
}

/// The world starts with one complaint, which names the setting, and everything else counts.
#[track_caller]
fn ignored_by_name(name: &str, case: impl std::fmt::Debug, world: World) {
    let (most, report) = run(world, longest);
    let said = logged(&report, "ignored");
    check((name, &case), &said.len(), &1);
    assert!(said[0].contains(name), "{said:?} should name {name}");
    if name == "NumberOfMapRegisters" {
        check((name, &case), &most, &0x1_0000);
    } else {
        // 3 pages: 12 KiB for a buffer that starts a page, here 11.5.
        assert!(most <= 0x3000, "{name} {case:?}: {most}");
    }
    let left_alone = logged(&report, "passing everything through");
    assert!(left_alone.is_empty(), "{left_alone:?}");
}

#[test]
fn every_value_out_of_range() {
    for Setting { name, bad, .. } in SETTINGS {
        for &value in bad {
            for world in stacks_for(name) {
                ignored_by_name(name, value, world.setting(name, value));
            }
        }
    }
}

#[test]
fn every_value_of_another_type() {
    let text: Vec<u8> = "1\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let number = [1, 0, 0, 0];
    let long = [1, 0, 0, 0, 0, 0, 0, 0];
    let values: [(Kind, &[u8]); 14] = [
        (Kind::Sz, &text),
        (Kind::Sz, &[]),
        (Kind::ExpandSz, &text),
        (Kind::Binary, &number),
        (Kind::Binary, &[]),
        (Kind::Other(5), &[0, 0, 0, 1]), // REG_DWORD_BIG_ENDIAN
        (Kind::Qword, &long),
        (Kind::MultiSz, &[0, 0]),
        (Kind::MultiSz, &number),
        (Kind::None, &[]),
        (Kind::None, &number),
        (Kind::Dword, &[]),
        (Kind::Dword, &[1, 0]),
        (Kind::Dword, &long),
    ];
    for Setting { name, .. } in SETTINGS {
        for (number, (kind, bytes)) in values.into_iter().enumerate() {
            let mut choice = stacks_for(name);
            let world = choice.swap_remove(number % choice.len());
            // The last one written counts: the map registers of the stack are overwritten here.
            let world = world.setting_raw(name, kind, bytes);
            ignored_by_name(name, (kind, bytes), world);
            // The same in the service's key.
            if name != "NumberOfMapRegisters" {
                let bytes = bytes.to_vec();
                let [_, disk, _] = stacks();
                let world = disk.prepare(move |_| {
                    let key = pnp::parameters_key("xfersplit");
                    Registry::current().set(&key, name, Value::raw(kind, &bytes));
                });
                ignored_by_name(name, kind, world);
            }
        }
    }
}

#[test]
fn every_value_in_range() {
    for Setting { name, good, .. } in SETTINGS {
        for &value in good {
            // Shapes are for where they belong; the rest works everywhere.
            if name == "Shape" {
                continue;
            }
            for (kind, world) in stacks().into_iter().enumerate() {
                let world = world.setting(name, value);
                let ((), report) = run_unchecked(world, |stack| {
                    if name == "Disabled" && value == 1 && kind == 0 {
                        return;
                    }
                    works(stack, (name, value, kind));
                });
                check((name, value, kind), &logged(&report, "ignored").len(), &0);
                common::assert_everything_came_back(&report);
                common::assert_nothing_allocated(&report);
            }
        }
    }
}

#[test]
fn every_shape_in_its_place() {
    for (value, world, shape) in [
        (0, world().shape(Shape::Auto), "SRB"),
        (1, world().shape(Shape::Auto), "SRB"),
        (2, world().shape(Shape::Auto), "class"),
        (0, world().stack(StackKind::Disk), "SRB"),
        (1, world().stack(StackKind::Disk), "SRB"),
        (0, world().stack(StackKind::Relay), "relay"),
        (3, world().stack(StackKind::Relay), "relay"),
    ] {
        let (found, report) = run(world.setting("Shape", value), |stack| {
            let found = stack.registry_value(r"Effective\Shape");
            found.and_then(|value| value.as_text())
        });
        check((value, shape), &found.as_deref(), &Some(shape));
        assert_eq!(logged(&report, "ignored").len(), 0);
    }
}

#[test]
fn all_of_them_wrong_at_once() {
    for world in stacks_for("Shape") {
        let world = SETTINGS.iter().fold(world, |world, setting| {
            let value = setting.bad.last();
            match value {
                Some(&value) => world.setting(setting.name, value),
                None => world.setting_raw(setting.name, Kind::Sz, &[]),
            }
        });
        let (most, report) = run(world, longest);
        assert_eq!(most, 0x1_0000, "as if nothing were set");
        let said = logged(&report, "ignored");
        assert_eq!(said.len(), SETTINGS.len(), "{said:#?}");
        for (setting, line) in SETTINGS.iter().zip(said) {
            assert!(line.contains(setting.name), "{line}");
        }
    }
}

#[test]
fn the_devices_own_key_goes_before_the_services() {
    for Setting { name, good, .. } in SETTINGS {
        if ["Shape", "Disabled"].contains(&name) {
            continue;
        }
        // A good value of the service under a bad one of the device, and the other way round.
        let &value = good.last().expect("there are good values");
        let bad = |world: World| world.setting_raw(name, Kind::Sz, &[]);
        if !(name == "Advertise" || name == "NumberOfMapRegisters") {
            let [_, disk, _] = stacks();
            ignored_by_name(name, value, bad(disk.service_setting(name, value)));
        }
        let [_, disk, _] = stacks();
        let world = disk.setting(name, value).prepare(move |_| {
            let key = pnp::parameters_key("xfersplit");
            Registry::current().set(&key, name, Value::raw(Kind::Binary, &[9]));
        });
        let (_, report) = run_unchecked(world, longest);
        check(name, &logged(&report, "ignored").len(), &1);
    }
}

// ---- that each does something ----

/// Pieces of one transfer of 256 KiB.
fn pieces(stack: &Stack) -> u64 {
    stack.port().forget_records();
    moves(
        stack,
        &Exchange::new(stack, Direction::Write, 4096 + 512, 0x4_0000, 0, 1),
    );
    stack.port().transfers().len() as u64
}

/// The first piece's bytes.
fn first(stack: &Stack) -> u64 {
    pieces(stack);
    u64::from(stack.port().transfers()[0].bytes)
}

/// Pieces at the port at a time.
fn peak(stack: &Stack) -> u64 {
    stack.port().hold(true);
    let exchange = Exchange::new(stack, Direction::Write, 0, 0x4_0000, 0, 2);
    let pending = exchange.transfer(stack).send();
    while !stack.port().held().is_empty() {
        stack.port().complete_next(0);
    }
    assert!(pending.wait().succeeded() && exchange.is_complete(stack));
    u64::from(stack.port().counts().in_flight_peak)
}

/// Attempts of a piece that stays busy.
fn attempts(stack: &Stack) -> u64 {
    let fault = Fault::new(ntsim::port::Kind::Busy).at_lba(0).always();
    stack.port().fault(fault);
    let buffer = stack.buffer(0x4_0000, 0);
    let done = stack.scsi_write(0, 512, &buffer, 0, 0x4_0000).send().wait();
    assert!(!done.irp.succeeded());
    let records = stack.port().transfers().into_iter();
    records.filter(|record| record.lba == 0).count() as u64
}

/// Milliseconds until a piece that was busy once has been sent again.
fn delay(stack: &Stack) -> u64 {
    let fault = Fault::new(ntsim::port::Kind::Busy).at_lba(0);
    stack.port().fault(fault);
    let before = stack.machine().now();
    let buffer = stack.buffer(0x4_0000, 0);
    let done = stack.scsi_write(0, 512, &buffer, 0, 0x4_0000).send().wait();
    assert!(done.irp.succeeded());
    (stack.machine().now() - before) / MILLISECOND
}

/// The longest transfer that the class driver is told of.
fn told(stack: &Stack) -> u64 {
    let facts = stack.class_facts().expect("the disk has started");
    u64::from(facts.maximum_transfer_length)
}

fn alignment(stack: &Stack) -> u64 {
    let facts = stack.class_facts().expect("the disk has started");
    u64::from(facts.alignment_requirement)
}

fn command_length(stack: &Stack) -> u64 {
    pieces(stack);
    u64::from(stack.port().transfers()[0].cdb_length)
}

fn memory_descriptors(stack: &Stack) -> u64 {
    stack.machine().allocations().mdl
}

fn pieces_with_a_paging_file(stack: &Stack) -> u64 {
    assert_eq!(stack.usage(Usage::Paging, true), 0);
    let found = pieces(stack);
    // A class driver does not let a disk with a paging file go.
    assert_eq!(stack.usage(Usage::Paging, false), 0);
    found
}

type Effect = (
    &'static str,
    u32,
    fn() -> World,
    fn(&Stack) -> u64,
    u64,
    u64,
);

/// Beneath a class driver that keeps to what this adapter says.
fn honest(bytes: usize, pages: u32) -> World {
    let hba = adapter(bytes, pages).bus(10).queue_depth(64);
    world().stack(StackKind::Disk).hba(hba)
}

/// The class driver is told of 1 MiB, and the engine has it all to split.
fn whole(bytes: usize, pages: u32) -> World {
    honest(bytes, pages).setting("Advertise", 2)
}

fn disk() -> World {
    whole(0x8000, 9)
}

/// A page less than the bytes may span.
fn tight() -> World {
    whole(0x8000, 8)
}

/// Pieces that do not come out even.
fn uneven() -> World {
    whole(0x7000, 8)
}

fn wide() -> World {
    whole(0x2_0000, 33)
}

fn with_block_limits() -> World {
    disk().disk(Disk::memory(1 << 17, 512).block_limits(16))
}

fn with_physical_sectors() -> World {
    whole(0x7C00, 9).disk(Disk::memory(1 << 17, 512).physical(4096, 0))
}

fn honest_disk() -> World {
    honest(0x8000, 9)
}

fn limited_disk() -> World {
    honest(0x10_0000, 257).setting("MaximumTransferLength", 0x8000)
}

fn srb() -> World {
    world().shape(Shape::Srb).hba(adapter(0x8000, 9))
}

fn retrying() -> World {
    srb().setting("MaxRetries", 2)
}

fn class() -> World {
    world().hba(adapter(0x8000, 9))
}

fn counting_breaks() -> World {
    let hba = adapter(0x10_0000, 9).segments(ntsim::port::SegmentRule::Breaks);
    world().hba(hba)
}

fn relay() -> World {
    let hba = adapter(0x8000, 9).queue_depth(64);
    world().stack(StackKind::Relay).hba(hba)
}

fn limited_relay() -> World {
    let world = world().stack(StackKind::Relay).hba(adapter(0x10_0000, 257));
    world.setting("MaximumTransferLength", 0x8000)
}

/// Pieces of a transfer whose pages are neighbours.
fn pieces_of_one_run(stack: &Stack) -> u64 {
    let buffer = stack.buffer_contiguous(0x4_0000, 0);
    moves(
        stack,
        &Exchange::in_buffer(stack, Direction::Write, 0, buffer, 1),
    );
    stack.port().transfers().len() as u64
}

/// 1 for SRBs, 2 for READ and WRITE above the port.
fn shape(stack: &Stack) -> u64 {
    let shape = stack.registry_value(r"Effective\Shape");
    match shape.and_then(|value| value.as_text()).as_deref() {
        Some("SRB") => 1,
        Some("class") => 2,
        _ => 0,
    }
}

/// Setting, value, world, what is looked at, what it is without, what with.
const EFFECTS: [Effect; 29] = [
    ("MaximumTransferLength", 0x4000, disk, pieces, 8, 16),
    ("MaximumTransferLength", 0x4000, relay, pieces, 8, 16),
    ("MaximumPhysicalPages", 4, disk, pieces, 8, 16),
    ("MaximumPhysicalPages", 4, class, pieces, 8, 16),
    ("NumberOfMapRegisters", 4, disk, pieces, 8, 16),
    ("NumberOfMapRegisters", 4, relay, pieces, 8, 16),
    ("AlignmentMask", 0x1FF, disk, alignment, 0, 0x1FF),
    ("HonorBlockLimits", 0, with_block_limits, pieces, 32, 8),
    ("Window", 7, disk, peak, 4, 7),
    ("Window", 7, relay, peak, 4, 7),
    ("Pieces", 3, class, memory_descriptors, 8, 3),
    ("Pieces", 2, disk, peak, 4, 2),
    ("Serial", 1, disk, peak, 4, 1),
    ("Serial", 1, relay, peak, 4, 1),
    ("MaxRetries", 3, srb, attempts, 1, 4),
    ("RetryDelayMs", 700, retrying, delay, 100, 700),
    ("PageRule", 1, tight, pieces, 8, 10),
    ("PageRule", 2, counting_breaks, pieces_of_one_run, 8, 1),
    ("Shape", 2, srb, shape, 1, 2),
    ("CdbLength", 16, class, command_length, 10, 16),
    ("LbaBoundary", 0x8000, disk, first, 0x8000, 0x6E00),
    (
        "PhysicalSectorCuts",
        0,
        with_physical_sectors,
        first,
        0x6E00,
        0x7C00,
    ),
    ("Balanced", 1, uneven, first, 0x7000, 0x6800),
    ("MaxPieceBytes", 0x1_0000, wide, pieces, 2, 4),
    ("Disabled", 1, limited_relay, pieces, 8, 1),
    (
        "AllowBootDevice",
        1,
        limited_relay,
        pieces_with_a_paging_file,
        1,
        8,
    ),
    ("Advertise", 0, limited_disk, told, 0x8000, 0x10_0000),
    ("Advertise", 2, honest_disk, told, 0x8000, 0x10_0000),
    (
        "AdvertisedTransferLength",
        0x2_0000,
        disk,
        told,
        0x10_0000,
        0x2_0000,
    ),
];

#[test]
fn every_setting_does_something() {
    for (name, value, build, look, without, with) in EFFECTS {
        check((name, "not set"), &run_unchecked(build(), look).0, &without);
        let set = run_unchecked(build().setting(name, value), look).0;
        check((name, value), &set, &with);
    }
    let names = EFFECTS.map(|effect| effect.0);
    assert!(SETTINGS.iter().all(|setting| names.contains(&setting.name)));
}

#[test]
fn for_all_devices_and_for_one() {
    for (name, value, build, look, _, with) in EFFECTS {
        let other = SETTINGS.iter().find(|setting| setting.name == name);
        let other = other.expect("every setting has a row").good;
        let other = other.iter().copied().find(|&other| other != value);
        let other = other.expect("every setting has two values");
        // What the device says goes before what is said for all.
        let both = build().service_setting(name, other).setting(name, value);
        check((name, other, value), &run_unchecked(both, look).0, &with);
        // What is said for all counts where the device says nothing, or nothing sensible.
        if name == "Shape" || (name, value) == ("Advertise", 2) {
            continue;
        }
        let all = || build().service_setting(name, value);
        check((name, "all"), &run_unchecked(all(), look).0, &with);
        let bad = all().setting_raw(name, Kind::Sz, &[]);
        check((name, "bad"), &run_unchecked(bad, look).0, &with);
    }
}
