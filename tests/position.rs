//! Where the driver stands decides what it splits: SRBs beneath the class driver, READ and WRITE
//! above it. What it cannot tell for certain it leaves alone.

mod common;

#[path = "common/bus.rs"]
mod bus;

use bus::{Node, Seen, device_of, neighbour};
use common::{BOTH, Exchange, adapter, check, driver, moves, run, run_unchecked, world};
use ntsim::abi::{IRP_MJ_READ, IRP_MJ_SCSI, PDEVICE_OBJECT};
use ntsim::pnp::{Devnode, Driver};
use ntsim::port::Direction;
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

const NAME: &str = "xfersplit";

/// What the driver says that it splits.
fn says(stack: &Stack) -> String {
    let value = stack.registry_value(r"Effective\Shape");
    let value = value.expect("the driver says what it splits");
    value.as_text().expect("as text")
}

fn shape_in(world: World) -> String {
    run_unchecked(world, says).0
}

#[test]
fn beneath_the_class_driver_srbs() {
    let world = world()
        .stack(StackKind::Disk)
        .hba(adapter(0x4000, 5))
        .setting("Advertise", 2);
    run(world, |stack| {
        assert_eq!(says(stack), "SRB");
        for direction in BOTH {
            moves(stack, &Exchange::new(stack, direction, 0, 0x1_0000, 0, 1));
        }
        // One packet, four pieces of it.
        assert_eq!(stack.class_counts().packets, 2);
        assert_eq!(stack.port().transfers().len(), 8);
    });
}

#[test]
fn above_the_class_driver_reads_and_writes() {
    let world = world()
        .stack(StackKind::Relay)
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 0x4000);
    run(world, |stack| {
        assert_eq!(says(stack), "relay");
        for direction in BOTH {
            moves(stack, &Exchange::new(stack, direction, 0, 0x1_0000, 0, 1));
        }
        // Four requests at the class driver, each in one packet.
        let counts = stack.class_counts();
        assert_eq!((counts.requests, counts.split, counts.packets), (8, 0, 8));
    });
}

#[test]
fn directly_on_the_port_srbs() {
    run(
        world().shape(Shape::Auto).hba(adapter(0x4000, 5)),
        |stack| {
            assert_eq!(says(stack), "SRB");
            let buffer = stack.buffer(0x1_0000, 0);
            let done = stack.scsi_read(0, 128, &buffer, 0, 0x1_0000).send().wait();
            assert!(done.irp.succeeded());
            assert_eq!(stack.port().transfers().len(), 4);
        },
    );
}

#[test]
fn a_setting_forces_it() {
    let names = [
        (Shape::Srb, "SRB"),
        (Shape::Class, "class"),
        (Shape::Relay, "relay"),
    ];
    // Above the bare port too, whatever sense it makes there.
    for (shape, name) in names {
        check(shape, &shape_in(world().shape(shape)), &name.to_owned());
    }
    let above = |shape| world().stack(StackKind::Relay).shape(shape);
    assert_eq!(shape_in(above(Shape::Relay)), "relay");
    assert_eq!(shape_in(above(Shape::Auto)), "relay");
    let beneath = |shape| world().stack(StackKind::Disk).shape(shape);
    assert_eq!(shape_in(beneath(Shape::Srb)), "SRB");
    assert_eq!(shape_in(beneath(Shape::Auto)), "SRB");
    for (number, name) in [(0, "SRB"), (1, "SRB")] {
        let world = beneath(Shape::Auto).setting("Shape", number);
        check(number, &shape_in(world), &name.to_owned());
    }
}

#[test]
fn forced_to_srbs_above_the_class_driver_reads_and_writes_pass() {
    let world = world()
        .stack(StackKind::Relay)
        .shape(Shape::Srb)
        .hba(adapter(0x4000, 5));
    run(world, |stack| {
        assert_eq!(says(stack), "SRB");
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 0x1_0000, 0, 1),
        );
        let counts = stack.class_counts();
        assert_eq!((counts.requests, counts.packets), (1, 4));
    });
}

#[test]
fn no_shape_that_a_setting_leaves_out() {
    let world = world()
        .stack(StackKind::Disk)
        .setting("Shape", 4)
        .hba(adapter(0x4000, 5));
    assert_eq!(shape_in(world), "SRB");
}

// ---- stacks of all kinds ----

/// Builds and starts a stack; what does the driver make of it, and what arrives at the bottom of a
/// READ and of an SRB of 64 KiB that were sent to its device?
fn seen_below(build: impl FnOnce(Node, &Driver) -> Node + Send) -> (String, Vec<Seen>, Vec<Seen>) {
    bus::on_machine(|| {
        let driver = driver();
        let mut node = build(Node::new(), &driver).add();
        node.start().expect("the device starts");
        let found = asked_in(&node, device_of(&node, NAME));
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
        found
    })
}

fn asked_in(_node: &Devnode, device: PDEVICE_OBJECT) -> (String, Vec<Seen>, Vec<Seen>) {
    let shape = bus::effective("Shape").expect("the driver says what it splits");
    let shape = shape.as_text().expect("as text");
    assert_eq!(bus::read(device, 0x1_0000).status, 0);
    let reads = bus::seen();
    assert_eq!(bus::scsi_read(device, 0x1_0000).0.status, 0);
    (shape, reads, bus::seen())
}

fn whole(major: u32) -> Vec<Seen> {
    vec![Seen {
        major,
        bytes: 0x1_0000,
    }]
}

/// The pieces by which the engine meets 16 KiB and 5 pages.
fn pieces(major: u32) -> Vec<Seen> {
    vec![
        Seen {
            major,
            bytes: 0x4000,
        };
        4
    ]
}

#[track_caller]
fn splits_srbs(found: &(String, Vec<Seen>, Vec<Seen>)) {
    assert_eq!(found.0, "SRB");
    assert_eq!(found.1, whole(IRP_MJ_READ), "READ is not its business");
    assert_eq!(found.2, pieces(IRP_MJ_SCSI));
}

#[track_caller]
fn relays(found: &(String, Vec<Seen>, Vec<Seen>)) {
    assert_eq!(found.0, "relay");
    assert_eq!(found.1, pieces(IRP_MJ_READ));
    assert_eq!(found.2, whole(IRP_MJ_SCSI), "SRBs are not its business");
}

#[test]
fn lower_filters_wherever_they_stand() {
    let disk = || neighbour("disk", "disk");
    let other = |name| neighbour(name, name);
    splits_srbs(&seen_below(|node, driver| {
        node.lower(driver).function(&disk())
    }));
    splits_srbs(&seen_below(|node, driver| {
        node.lower(&other("first")).lower(driver).function(&disk())
    }));
    splits_srbs(&seen_below(|node, driver| {
        node.lower(driver).lower(&other("last")).function(&disk())
    }));
    splits_srbs(&seen_below(|node, driver| {
        let node = node.lower(&other("first")).lower(&other("second"));
        node.lower(driver)
            .lower(&other("last"))
            .function(&disk())
            .upper(&other("upper"))
    }));
}

#[test]
fn upper_filters_wherever_they_stand() {
    let disk = || neighbour("disk", "disk");
    let other = |name| neighbour(name, name);
    relays(&seen_below(|node, driver| {
        node.function(&disk()).upper(driver)
    }));
    relays(&seen_below(|node, driver| {
        node.lower(&other("lower"))
            .function(&disk())
            .upper(&other("partmgr"))
            .upper(driver)
            .upper(&other("last"))
    }));
}

#[test]
fn names_that_only_look_like_the_function_drivers() {
    let disk = || neighbour("disk", "disk");
    for name in ["disk2", "diskflt", "mydisk", "dis", "d", "disk.sys"] {
        let found = seen_below(|node, driver| {
            let node = node.lower(&neighbour(name, name)).lower(driver);
            node.function(&disk())
        });
        check(name, &found.0, &"SRB".to_owned());
        splits_srbs(&found);
    }
    for name in ["disk2", "diskflt", "dis"] {
        // The other way round: the function driver is the longer or the shorter one.
        let function = || neighbour(name, name);
        splits_srbs(&seen_below(|node, driver| {
            node.lower(&disk()).lower(driver).function(&function())
        }));
        relays(&seen_below(|node, driver| {
            node.lower(&disk()).function(&function()).upper(driver)
        }));
    }
}

#[test]
fn names_do_not_distinguish_case() {
    for (object, service) in [("Disk", "disk"), ("disk", "DISK"), ("DiSk", "dIsK")] {
        relays(&seen_below(|node, driver| {
            node.function(&neighbour(object, service)).upper(driver)
        }));
        splits_srbs(&seen_below(|node, driver| {
            node.lower(driver).function(&neighbour(object, service))
        }));
    }
}

#[test]
fn function_drivers_of_any_name() {
    for name in [
        "cdrom",
        "a",
        "a-function-driver-with-quite-a-long-name-in-fact-of-60-units",
    ] {
        let function = || neighbour(name, name);
        relays(&seen_below(|node, driver| {
            node.function(&function()).upper(driver)
        }));
        splits_srbs(&seen_below(|node, driver| {
            node.lower(driver).function(&function())
        }));
    }
}

#[test]
fn on_both_sides_of_the_class_driver_at_once() {
    let disk = || neighbour("disk", "disk");
    bus::on_machine(|| {
        let driver = driver();
        let mut node = Node::new()
            .lower(&driver)
            .function(&disk())
            .upper(&driver)
            .add();
        node.start().expect("the device starts");
        // The upper one sits at the top, the lower one right above the bus.
        assert_eq!(bus::read(node.top(), 0x1_0000).status, 0);
        assert_eq!(bus::seen(), pieces(IRP_MJ_READ));
        let lower = device_of(&node, NAME);
        assert_ne!(lower, node.top());
        assert_eq!(bus::scsi_read(lower, 0x1_0000).0.status, 0);
        assert_eq!(bus::seen(), pieces(IRP_MJ_SCSI));
        assert_eq!(bus::read(lower, 0x1_0000).status, 0);
        assert_eq!(bus::seen(), whole(IRP_MJ_READ));
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
    });
}

#[test]
fn a_raw_device_between_the_two() {
    // Nobody has the function of this device; a filter that stands on its bus sees SRBs.
    splits_srbs(&seen_below(Node::lower));
}

#[test]
fn where_nobody_says_what_lies_below_everything_passes() {
    // A raw device with another filter below: that may be anything.
    let other = || neighbour("other", "other");
    let (shape, reads, srbs) = seen_below(|node, driver| node.lower(&other()).lower(driver));
    assert_eq!(shape, "pass-through");
    assert_eq!(reads, whole(IRP_MJ_READ));
    assert_eq!(srbs, whole(IRP_MJ_SCSI));
}

#[test]
fn it_never_relays_where_no_function_driver_is_below() {
    let other = |name| neighbour(name, name);
    for lower in 0..3 {
        let found = seen_below(|node, driver| {
            let names = ["one", "two"];
            let node = names[..lower]
                .iter()
                .fold(node, |node, name| node.lower(&other(name)));
            node.lower(driver)
        });
        assert_ne!(found.0, "relay");
        assert_eq!(found.1, whole(IRP_MJ_READ));
    }
    // The driver itself in the function driver's place is no class driver below itself.
    let found = seen_below(Node::function);
    assert_ne!(found.0, "relay");
    assert_eq!(found.1, whole(IRP_MJ_READ));
}
