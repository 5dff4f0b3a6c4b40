//! What a device works by stands in the registry, below its own key, for a person to read: the
//! limits, who set them, what the adapter said, what the stack above was told. Until the next restart.

mod common;

#[path = "common/bus.rs"]
mod bus;

use bus::{Answer, Node, QUERY_PROPERTY};
use common::effective::{number, text, value};
use common::{adapter, check, driver, run, world};
use ntsim::abi::STATUS_NOT_SUPPORTED;
use ntsim::port::{AdapterReply, Disk, Hba};
use ntsim::registry::Registry;
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

const UNLIMITED: u32 = u32::MAX;

const NUMBERS: [&str; 9] = [
    "MaximumTransferLength",
    "MaximumPhysicalPages",
    "AlignmentMask",
    "AdapterMaximumTransferLength",
    "AdapterMaximumPhysicalPages",
    "AdapterAlignmentMask",
    "AdvertisedTransferLength",
    "AdvertisedPhysicalPages",
    "BlockLimitsBlocks",
];
const TEXTS: [&str; 4] = [
    "Shape",
    "TransferLengthSetBy",
    "PhysicalPagesSetBy",
    "Reason",
];

/// Everything that the driver has written, in the order of the two lists.
type Written = ([Option<u32>; 9], [Option<String>; 4]);

fn written(world: World) -> Written {
    let read = |stack: &Stack| {
        (
            NUMBERS.map(|name| number(stack, name)),
            TEXTS.map(|name| text(stack, name)),
        )
    };
    common::run_unchecked(world, read).0
}

fn texts(shape: &str, bytes: &str, pages: &str) -> [Option<String>; 4] {
    [
        Some(shape.into()),
        Some(bytes.into()),
        Some(pages.into()),
        None,
    ]
}

#[test]
fn an_honest_adapter() {
    let hba = || adapter(0x1_0000, 17).alignment_mask(3);
    let numbers = [
        Some(0x1_0000),
        Some(17),
        Some(3),
        Some(0x1_0000),
        Some(17),
        Some(3),
        None,
        None,
        None,
    ];
    let cases = [
        (world(), "class"),
        (world().shape(Shape::Srb), "SRB"),
        (world().shape(Shape::Auto), "SRB"),
        (world().stack(StackKind::Disk), "SRB"),
        (world().stack(StackKind::Relay), "relay"),
    ];
    for (number, (world, shape)) in cases.into_iter().enumerate() {
        let found = written(world.hba(hba()));
        check(
            (number, shape),
            &found,
            &(numbers, texts(shape, "adapter", "adapter")),
        );
    }
}

#[test]
fn an_adapter_without_limits() {
    let (numbers, words) = written(world().stack(StackKind::Disk));
    assert_eq!(
        numbers[..6],
        [UNLIMITED, UNLIMITED, 0, UNLIMITED, UNLIMITED, 0].map(Some)
    );
    assert_eq!(numbers[6..], [None; 3]);
    assert_eq!(words, texts("SRB", "adapter", "adapter"));
}

#[test]
fn every_source_by_its_name() {
    let base = || {
        world()
            .stack(StackKind::Disk)
            .hba(adapter(0x1_0000, 17).bus(10))
    };
    let limited = || base().disk(Disk::memory(1 << 17, 512).block_limits(32));
    let cases = [
        (base(), (0x1_0000, "adapter"), (17, "adapter")),
        (
            base().setting("MaximumTransferLength", 0x8000),
            (0x8000, "setting"),
            (17, "adapter"),
        ),
        (
            base().setting("MaximumPhysicalPages", 9),
            (0x1_0000, "adapter"),
            (9, "setting"),
        ),
        (
            base().setting("NumberOfMapRegisters", 5),
            (0x1_0000, "adapter"),
            (5, "map registers"),
        ),
        (
            base()
                .setting("NumberOfMapRegisters", 5)
                .setting("MaximumPhysicalPages", 6),
            (0x1_0000, "adapter"),
            (5, "map registers"),
        ),
        (limited(), (32 * 512, "block limits page"), (17, "adapter")),
        (
            limited().setting("MaximumTransferLength", 0x2000),
            (0x2000, "setting"),
            (17, "adapter"),
        ),
        (
            limited().setting("HonorBlockLimits", 0),
            (0x1_0000, "adapter"),
            (17, "adapter"),
        ),
        // Who asks for more than there is has set nothing.
        (
            base().setting("MaximumTransferLength", 0x10_0000),
            (0x1_0000, "adapter"),
            (17, "adapter"),
        ),
    ];
    for (case, (world, bytes, pages)) in cases.into_iter().enumerate() {
        let (numbers, words) = written(world);
        check(case, &words, &texts("SRB", bytes.1, pages.1));
        check(
            case,
            &[numbers[0], numbers[1]],
            &[Some(bytes.0), Some(pages.0)],
        );
        check(case, &[numbers[3], numbers[4]], &[Some(0x1_0000), Some(17)]);
    }
}

#[test]
fn what_the_stack_above_was_told() {
    let base = || {
        world()
            .stack(StackKind::Disk)
            .hba(adapter(0x1_0000, 17))
            .setting("MaximumTransferLength", 0x6200)
    };
    let told = |world| {
        let (numbers, _) = written(world);
        (numbers[6], numbers[7])
    };
    assert_eq!(told(base()), (Some(0x6000), Some(7)));
    assert_eq!(
        told(base().setting("Advertise", 1)),
        (Some(0x6000), Some(7))
    );
    assert_eq!(told(base().setting("Advertise", 0)), (None, None));
    let more = base().setting("Advertise", 2);
    assert_eq!(told(more), (Some(0x10_0000), Some(257)));
    // Above the class driver nothing is told; it has asked already.
    let relay = world()
        .stack(StackKind::Relay)
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 0x6200)
        .setting("Advertise", 1);
    assert_eq!(told(relay), (None, None));
    // And the class driver has really heard it.
    run(base(), |stack| {
        let facts = stack.class_facts().expect("the disk has started");
        assert_eq!(
            Some(facts.maximum_transfer_length),
            number(stack, "AdvertisedTransferLength")
        );
        assert_eq!(
            Some(facts.maximum_physical_pages),
            number(stack, "AdvertisedPhysicalPages")
        );
    });
}

#[test]
fn what_the_device_said_of_itself() {
    let build = |blocks, bus| {
        world()
            .stack(StackKind::Disk)
            .hba(adapter(0x1_0000, 17).bus(bus))
            .disk(Disk::memory(1 << 17, 512).block_limits(blocks))
    };
    for blocks in [0, 3, 8, 32, 1 << 20] {
        let (numbers, _) = written(build(blocks, 10));
        check(blocks, &numbers[8], &Some(blocks));
    }
    assert_eq!(written(build(32, 7)).0[8], None, "nobody asked");
    let silent = world()
        .stack(StackKind::Disk)
        .hba(adapter(0x1_0000, 17).bus(10));
    assert_eq!(written(silent).0[8], None, "nobody answered");
}

#[test]
fn why_a_device_is_left_alone() {
    let refused = || AdapterReply::Refused(STATUS_NOT_SUPPORTED);
    let cases = [
        (world().shape(Shape::Srb).setting("Disabled", 1), "disabled"),
        (
            world()
                .shape(Shape::Srb)
                .hba(Hba::unlimited().adapter_reply(refused())),
            "StorageAdapterProperty",
        ),
        (
            world().shape(Shape::Srb).hba(Hba::profile("zero-length")),
            "limits",
        ),
        (
            world().hba(Hba::unlimited().adapter_reply(refused())),
            "StorageAdapterProperty",
        ),
    ];
    for (world, why) in cases {
        let ((numbers, words), report) = common::run_unchecked(world, |stack| {
            (
                NUMBERS.map(|name| number(stack, name)),
                TEXTS.map(|name| text(stack, name)),
            )
        });
        assert_eq!(words[0].as_deref(), Some("pass-through"));
        let reason = words[3].as_deref().expect("a reason");
        assert!(reason.contains(why), "{reason} should say {why}");
        // The log says the same.
        let said = common::logged(&report, "passing everything through");
        assert!(said[0].contains(reason), "{said:?}: {reason}");
        assert_eq!(numbers, [None; 9], "no limits hold: {why}");
        assert_eq!(words[1..3], [None, None]);
    }
}

#[test]
fn gone_with_the_next_restart_of_the_system() {
    run(
        world()
            .stack(StackKind::Disk)
            .setting("MaximumTransferLength", 0x8000),
        |stack| {
            assert_eq!(number(stack, "MaximumTransferLength"), Some(0x8000));
            Registry::of(stack.machine()).reboot();
            for name in NUMBERS.iter().chain(&TEXTS) {
                assert_eq!(value(stack, name), None, "{name} is volatile");
            }
            let setting = stack.registry_value("MaximumTransferLength");
            let setting = setting.expect("what a person wrote stays");
            assert_eq!(setting.as_dword(), Some(0x8000));
        },
    );
}

#[test]
fn a_key_of_settings_is_not_needed() {
    // The hardware key has no `Xfersplit` below it until somebody makes one.
    bus::on_machine(|| {
        let driver = driver();
        let mut node = Node::new().lower(&driver).add();
        node.start().expect("the device starts");
        let shape = bus::effective("Shape").and_then(|value| value.as_text());
        assert_eq!(shape.as_deref(), Some("SRB"));
        let bytes = bus::effective("MaximumTransferLength");
        assert_eq!(bytes.and_then(|value| value.as_dword()), Some(16384));
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
        assert_eq!(Registry::current().open_handles(), 0);
    });
}

#[test]
fn the_values_of_an_earlier_start_do_not_stay() {
    bus::on_machine(|| {
        let driver = driver();
        let start = || {
            let mut node = Node::new().lower(&driver).add();
            node.start().expect("the device starts");
            node.remove().expect("the device can be removed");
        };
        let has = |name| bus::effective(name).is_some();
        // Limits that are told; then none are; then the device is left alone; then it is not.
        bus::setting("MaximumTransferLength", 0x2000);
        start();
        assert!(has("AdvertisedTransferLength") && has("AdvertisedPhysicalPages"));
        bus::setting("Advertise", 0);
        start();
        assert!(!has("AdvertisedTransferLength") && !has("AdvertisedPhysicalPages"));
        assert!(has("MaximumTransferLength") && !has("Reason"));
        let silent = Answer {
            status: STATUS_NOT_SUPPORTED,
            ..Answer::default()
        };
        bus::answer(QUERY_PROPERTY, bus::ADAPTER_PROPERTY, silent);
        start();
        assert!(has("Reason") && !has("MaximumTransferLength"));
        assert!(!has("TransferLengthSetBy") && !has("AdapterMaximumTransferLength"));
        let honest = Answer::of(&bus::adapter_descriptor(16384, 5));
        bus::answer(QUERY_PROPERTY, bus::ADAPTER_PROPERTY, honest);
        start();
        assert!(!has("Reason") && has("MaximumTransferLength"));
        driver.unload().expect("the driver can be unloaded");
        assert_eq!(Registry::current().open_handles(), 0);
    });
}
