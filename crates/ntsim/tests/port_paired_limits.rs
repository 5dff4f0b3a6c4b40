//! What a port tells is what its adapter takes: a sender that does not listen is found out, also
//! after a change; and the sector count of a disk controller.

use ntsim::abi::STATUS_INVALID_DEVICE_REQUEST;
use ntsim::port::{
    Completion, Disk, Hba, OnViolation, Paired, PortLimits, PortRegistry, SegmentRule, Violation,
};
use ntsim::registry::{Kind, Value};
use ntsim::world::Sender;
use ntsim::{Report, Stack, World};

const PAGE: usize = 4096;

/// What a read of `length` bytes at `page_offset` breaks.
fn broken(hba: Hba, length: usize, page_offset: usize) -> Vec<Violation> {
    let ((), report) = World::without_filter()
        .hba(hba.on_violation(OnViolation::Record))
        .run(move |stack| read(stack, length, page_offset))
        .expect("no bug check");
    kinds(&report)
}

fn read(stack: &Stack, length: usize, page_offset: usize) {
    let buffer = stack.buffer(length, page_offset);
    assert!(stack.read(0, &buffer).send().wait().succeeded());
}

fn kinds(report: &Report) -> Vec<Violation> {
    let seen = report.violations.iter();
    seen.map(|record| record.violation).collect()
}

#[test]
fn map_registers_are_the_pages_that_a_transfer_touches() {
    let paired = || Hba::unlimited().paired(Paired::new(PortLimits::registers(5)));
    let registry = || Hba::unlimited().port_registry(PortRegistry::new(PortLimits::registers(5)));
    for hba in [paired, registry] {
        assert_eq!(broken(hba(), 5 * PAGE, 0), []);
        assert_eq!(broken(hba(), 4 * PAGE + 512, PAGE - 512), []);
        assert_eq!(broken(hba(), 5 * PAGE, 512), [Violation::MapRegisters]);
        assert_eq!(broken(hba(), 6 * PAGE, 0), [Violation::MapRegisters]);
    }
}

#[test]
fn segments_are_counted_as_the_hardware_counts_them() {
    let limits = PortLimits {
        segments: 2,
        bytes: 16384,
        ..PortLimits::NONE
    };
    let hba = || Hba::unlimited().paired(Paired::new(limits));
    assert_eq!(broken(hba(), 2 * PAGE, 0), []);
    assert_eq!(broken(hba(), 2 * PAGE, 512), [Violation::Pages]);
    let breaks = hba().segments(SegmentRule::Breaks);
    assert_eq!(
        broken(breaks, 5 * PAGE, 0),
        [Violation::Bytes, Violation::Breaks]
    );
}

#[test]
fn a_port_that_is_lenient_takes_more_than_it_tells() {
    let offer = Paired::new(PortLimits::registers(1)).lenient();
    assert_eq!(broken(Hba::unlimited().paired(offer), 9 * PAGE, 0), []);
    let registry = PortRegistry::new(PortLimits::registers(1)).lenient();
    let hba = Hba::unlimited().port_registry(registry);
    assert_eq!(broken(hba, 9 * PAGE, 0), []);
}

#[test]
fn a_request_is_judged_by_the_limits_at_its_arrival() {
    let hba = Hba::unlimited()
        .paired(Paired::new(PortLimits::registers(4)))
        .completion(Completion::Held)
        .queue_depth(1);
    let ((), report) = World::without_filter()
        .hba(hba)
        .run(|stack| {
            let buffer = stack.buffer(4 * PAGE, 0);
            let requests = [stack.read(0, &buffer).send(), stack.read(0, &buffer).send()];
            stack.port().change_port_limits(PortLimits::registers(3));
            stack.port().complete_all();
            for request in requests {
                assert!(request.wait().succeeded(), "it was there before the change");
            }
            let late = stack.read(0, &buffer).send();
            stack.port().complete_all();
            assert_eq!(late.wait().status, STATUS_INVALID_DEVICE_REQUEST);
            stack.port().change_port_limits(PortLimits::NONE);
            let free = stack.read(0, &buffer).send();
            stack.port().complete_all();
            assert!(free.wait().succeeded());
        })
        .expect("no bug check");
    assert_eq!(kinds(&report), [Violation::MapRegisters]);
}

#[test]
fn the_registry_has_what_the_port_left_there() {
    let limits = PortLimits {
        registers: 5,
        segments: u32::MAX,
        bytes: 65536,
    };
    let registry =
        PortRegistry::new(limits)
            .value("Version", 2)
            .raw("NumberOfSegments", Kind::Sz, b"x\0\0\0");
    World::without_filter()
        .hba(Hba::unlimited().port_registry(registry))
        .run(|stack| {
            let value = |name: &str| stack.registry_value(&format!(r"Port\{name}"));
            assert_eq!(value("NumberOfMapRegisters"), Some(Value::dword(5)));
            assert_eq!(value("MaximumTransferLength"), Some(Value::dword(65536)));
            assert_eq!(value("Version"), Some(Value::dword(2)));
            let segments = value("NumberOfSegments").expect("it is there");
            assert_eq!((segments.kind, segments.as_dword()), (Kind::Sz, None));
        })
        .expect("no bug check");
}

#[test]
fn an_at_disk_takes_256_sectors_in_one_request_whatever_their_size() {
    for sector in [512, 4096_u32] {
        let ((), report) = World::without_filter()
            .sender(Sender::OneToOne)
            .disk(Disk::memory(4096, sector))
            .hba(Hba::profile("at-disk").limits(u32::MAX, u32::MAX))
            .run(move |stack| {
                let most = stack.buffer(256 * sector as usize, 2);
                assert!(stack.read(0, &most).send().wait().succeeded());
                let more = stack.buffer(257 * sector as usize, 0);
                let done = stack.read(0, &more).send().wait();
                assert_eq!(done.status, STATUS_INVALID_DEVICE_REQUEST);
            })
            .expect("no bug check");
        assert_eq!(kinds(&report), [Violation::Sectors]);
    }
}
