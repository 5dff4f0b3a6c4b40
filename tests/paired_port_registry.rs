//! A port driver that writes its limits into the registry is obeyed without being asked; what it
//! writes badly is ignored value by value, and said so.

mod common;

#[path = "common/paired.rs"]
mod paired;

use common::effective::number;
use common::{check, logged, run};
use ntsim::World;
use ntsim::port::{Hba, PortLimits, PortRegistry};
use ntsim::registry::Kind;
use paired::{PLACES, Place, registers};

/// A port driver that has left this in the registry; nobody asks it anything.
fn written(place: Place, registry: PortRegistry) -> World {
    place.world().hba(Hba::unlimited().port_registry(registry))
}

/// The widest piece of a request of twelve pages.
#[track_caller]
fn widest(place: Place, registry: PortRegistry) -> u32 {
    let (widest, _) = run(written(place, registry), |stack| place.widest(stack, 12, 0));
    widest
}

#[test]
fn each_value_alone_and_all_together() {
    let cases = [
        (registers(5), 5),
        (
            PortLimits {
                segments: 4,
                ..PortLimits::NONE
            },
            4,
        ),
        (
            PortLimits {
                bytes: 3 * 4096,
                ..PortLimits::NONE
            },
            3,
        ),
        (
            PortLimits {
                registers: 7,
                segments: 6,
                bytes: 2 * 4096,
            },
            2,
        ),
        (PortLimits::NONE, 12),
    ];
    for (limits, pages) in cases {
        // The adapter is held to them: `run` looks at its complaints.
        for place in PLACES {
            let found = widest(place, PortRegistry::new(limits));
            check((place, limits), &found, &pages);
        }
    }
}

#[test]
fn without_its_version_nothing_is_understood() {
    let base = || PortRegistry::new(registers(2)).lenient();
    let cases = [
        base().without("Version"),
        base().value("Version", 0),
        base().value("Version", 2),
        base().value("Version", u32::MAX),
        base().raw("Version", Kind::Sz, b"1\0\0\0"),
        base().raw("Version", Kind::Qword, &1_u64.to_le_bytes()),
        base().raw("Version", Kind::Binary, &1_u32.to_le_bytes()),
        base().raw("Version", Kind::Dword, &[1]),
    ];
    for (number, registry) in cases.into_iter().enumerate() {
        check(number, &widest(Place::Class, registry), &12);
    }
}

#[test]
fn a_bad_value_is_ignored_and_the_others_count() {
    let base = || PortRegistry::new(registers(3)).lenient();
    let names = ["NumberOfSegments", "MaximumTransferLength"];
    for name in names {
        let bad = [
            base().value(name, 0),
            base().raw(name, Kind::Sz, b"2\0\0\0"),
            base().raw(name, Kind::Qword, &4096_u64.to_le_bytes()),
            base().raw(name, Kind::Binary, &4096_u32.to_le_bytes()),
            base().raw(name, Kind::Dword, &[0, 16]),
            base().raw(name, Kind::Dword, &[]),
            base().raw(name, Kind::None, &[]),
        ];
        for (number, registry) in bad.into_iter().enumerate() {
            let (widest, report) = run(written(Place::Class, registry), |stack| {
                Place::Class.widest(stack, 12, 0)
            });
            check((name, number), &widest, &3);
            let said = logged(&report, name);
            assert_eq!(said.len(), 1, "{name} {number}: {:#?}", report.debug_log);
        }
    }
    let registry = base()
        .value("NumberOfMapRegisters", 0)
        .value("NumberOfSegments", 4);
    assert_eq!(widest(Place::Class, registry), 4);
}

#[test]
fn less_than_a_sector_can_not_have_been_meant() {
    let base = || PortRegistry::new(registers(3)).lenient();
    for bytes in [1, 511] {
        let registry = base().value("MaximumTransferLength", bytes);
        check(bytes, &widest(Place::Class, registry), &3);
    }
}

#[test]
fn other_voices_count_as_well() {
    for (written_down, setting, adapter, expected) in
        [(5, 7, 9, 5), (7, 5, 9, 5), (9, 7, 5, 5), (0, 5, 9, 5)]
    {
        let registry = PortRegistry::new(PortLimits::NONE)
            .value("NumberOfMapRegisters", written_down)
            .lenient();
        let hba = Hba::unlimited()
            .limits(1 << 20, adapter)
            .port_registry(registry);
        let world = Place::Class
            .world()
            .hba(hba)
            .setting("NumberOfMapRegisters", setting);
        let (widest, _) = run(world, |stack| Place::Class.widest(stack, 12, 0));
        check((written_down, setting, adapter), &widest, &expected);
    }
}

#[test]
fn it_is_read_also_where_the_port_is_not_asked() {
    for value in [0, 1] {
        let world = written(Place::Class, PortRegistry::new(registers(5)));
        let world = world.setting("PairedPort", value);
        let (widest, _) = run(world, |stack| {
            assert_eq!(number(stack, "PairedPortPages"), Some(5));
            Place::Class.widest(stack, 12, 0)
        });
        check(value, &widest, &5);
    }
}
