//! The class driver's life: how it joins the stack, what it asks at its first start, what it does for
//! power changes and special files, and the order in which it goes.

use ntsim::World;
use ntsim::abi::{
    FILE_REMOVABLE_MEDIA, IRP_MN_REMOVE_DEVICE, SRB_FLAGS_BYPASS_LOCKED_QUEUE,
    SRB_FLAGS_D3_PROCESSING, STATUS_DEVICE_BUSY, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_DEVICE_NOT_READY, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use ntsim::class;
use ntsim::pnp::{DevicePower, Usage};
use ntsim::port::{Completion, Disk, Fault, Hba, Kind, PortRecord};
use ntsim::world::{Stack, StackKind};

/// `IRP_MJ_PNP`, `IRP_MJ_SCSI`, `IRP_MJ_DEVICE_CONTROL`, `IRP_MJ_POWER`.
const PNP: u8 = 27;
const SCSI: u8 = 15;
const CONTROL: u8 = 14;
const POWER: u8 = 22;

/// Units of 100 ns in a second.
const SECOND: u64 = 10_000_000;

fn world() -> World {
    World::without_filter().stack(StackKind::Disk)
}

/// What arrived at the port, in words: PnP minors, SRB functions, opcodes.
fn words(records: &[PortRecord]) -> Vec<String> {
    let word = |record: &PortRecord| match (record.major, record.srb_function) {
        (PNP, _) => format!("pnp {}", record.minor),
        (POWER, _) => "power".to_owned(),
        (CONTROL, _) => "ioctl".to_owned(),
        (SCSI, Some(0)) => format!("cdb {:#04x}", record.command()[0]),
        (SCSI, Some(function)) => format!("srb {function:#04x}"),
        (major, _) => format!("major {major}"),
    };
    records.iter().map(word).collect()
}

fn opcodes(stack: &Stack) -> Vec<u8> {
    let records = stack.port().records();
    let commands = records.iter().filter(|at| at.srb_function == Some(0));
    commands.map(|at| at.command()[0]).collect()
}

#[test]
fn the_unit_is_claimed_before_it_starts_and_asked_once() {
    for extended in [false, true] {
        world()
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                let records = stack.port().records();
                let claim = records.iter().position(|at| at.srb_function == Some(1));
                let start = records
                    .iter()
                    .position(|at| (at.major, at.minor) == (PNP, 0));
                assert!(claim < start, "CLAIM_DEVICE in AddDevice");
                assert!(!records[claim.expect("claimed")].extended, "format unknown");
                assert_eq!(opcodes(stack), [0x25]);
                assert_eq!(stack.class_facts().expect("started").descriptor_queries, 2);
                // A rebalance asks nothing.
                stack.stop().expect("nobody refuses");
                stack.start().expect("it starts again");
                assert_eq!(opcodes(stack), [0x25]);
                assert_eq!(stack.class_facts().expect("started").descriptor_queries, 2);
                let buffer = stack.buffer(4096, 0);
                assert!(stack.read(0, &buffer).send().wait().succeeded());
            })
            .expect("no bug check");
    }
}

#[test]
fn facts_are_those_of_the_descriptor_and_the_disk() {
    let hba = Hba::unlimited()
        .limits(0x2_0000, 17)
        .alignment_mask(3)
        .extended_srb(true);
    let disk = Disk::memory((1 << 33) + 7, 4096);
    world()
        .hba(hba)
        .disk(disk)
        .run(|stack| {
            let facts = stack.class_facts().expect("started");
            assert_eq!(facts.maximum_transfer_length, 0x2_0000);
            assert_eq!(facts.maximum_physical_pages, 17);
            assert_eq!(facts.hardware_maximum, 0x1_0000);
            assert_eq!((facts.sector, facts.last_block), (4096, (1 << 33) + 6));
            assert!(facts.sixteen && facts.extended_srb);
            assert_eq!((facts.alignment_mask, facts.alignment_requirement), (3, 3));
            assert_eq!(opcodes(stack), [0x25, 0x9E]);
            // SAFETY: the device is there until the scenario ends.
            let characteristics = unsafe { (*stack.class_device()).Characteristics };
            assert_eq!(characteristics & FILE_REMOVABLE_MEDIA, 0);
        })
        .expect("no bug check");
}

#[test]
fn a_unit_attention_at_start_is_asked_past_and_a_disk_without_a_medium_starts() {
    world()
        .prepare(|port| {
            port.raise_attention(ntsim::port::Sense::RESET_OCCURRED);
        })
        .run(|stack| {
            assert_eq!(opcodes(stack), [0x25, 0x25]);
            let facts = stack.class_facts().expect("started");
            assert_eq!(facts.last_block, (1 << 17) - 1);
        })
        .expect("no bug check");
    world()
        .disk(Disk::memory(1 << 17, 512).removable(true))
        .prepare(|port| port.set_medium_present(false))
        .run(|stack| {
            let facts = stack.class_facts().expect("started");
            assert_eq!((facts.sector, facts.last_block), (512, 0));
            // SAFETY: the device is there until the scenario ends.
            let characteristics = unsafe { (*stack.class_device()).Characteristics };
            assert_ne!(characteristics & FILE_REMOVABLE_MEDIA, 0);
        })
        .expect("no bug check");
}

#[test]
fn down_the_queue_is_locked_quiesced_flushed_and_unlocked_behind_the_power_irp() {
    for extended in [false, true] {
        world()
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                stack.port().forget_records();
                assert_eq!(stack.set_power(DevicePower::D3), STATUS_SUCCESS);
                let records = stack.port().records();
                let order = [
                    "srb 0x18", "srb 0x1a", "cdb 0x35", "cdb 0x1b", "power", "srb 0x19",
                ];
                assert_eq!(words(&records), order);
                let down = SRB_FLAGS_BYPASS_LOCKED_QUEUE | SRB_FLAGS_D3_PROCESSING;
                for record in &records[1..4] {
                    assert_eq!(record.srb_flags & down, down);
                }
                stack.port().forget_records();
                assert_eq!(stack.set_power(DevicePower::D0), STATUS_SUCCESS);
                let records = stack.port().records();
                assert_eq!(
                    words(&records),
                    ["srb 0x18", "power", "cdb 0x1b", "srb 0x19"]
                );
                assert_eq!(records[2].srb_flags & down, SRB_FLAGS_BYPASS_LOCKED_QUEUE);
                assert!(
                    records
                        .iter()
                        .all(|at| at.major == POWER || at.extended == extended)
                );
            })
            .expect("no bug check");
    }
}

#[test]
fn a_second_request_for_the_same_state_only_passes() {
    world()
        .run(|stack| {
            stack.set_power(DevicePower::D0);
            stack.set_power(DevicePower::D3);
            stack.port().forget_records();
            stack.set_power(DevicePower::D3);
            assert_eq!(words(&stack.port().records()), ["power"]);
            stack.set_power(DevicePower::D0);
        })
        .expect("no bug check");
}

#[test]
fn requests_wait_while_the_queue_is_locked_and_quiesce_waits_for_them() {
    let ((), report) = world()
        .hba(
            Hba::unlimited()
                .limits(8192, 3)
                .completion(Completion::Later(1000..2000)),
        )
        .run(|stack| {
            let buffer = stack.buffer(65536, 0);
            buffer.fill(3);
            for round in 0..6_u64 {
                let pending = stack.write(round * 65536, &buffer).send();
                let power = if round % 2 == 0 {
                    DevicePower::D3
                } else {
                    DevicePower::D0
                };
                assert_eq!(stack.set_power(power), STATUS_SUCCESS);
                assert!(pending.wait().succeeded());
            }
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn a_start_unit_that_fails_is_tried_again_and_then_forgotten() {
    world()
        .run(|stack| {
            stack.set_power(DevicePower::D3);
            stack
                .port()
                .raise_attention(ntsim::port::Sense::RESET_OCCURRED);
            let before = stack.machine().now();
            assert_eq!(stack.set_power(DevicePower::D0), STATUS_SUCCESS);
            assert!(stack.machine().now() - before < 2 * SECOND);
            let buffer = stack.buffer(4096, 0);
            assert!(stack.read(0, &buffer).send().wait().succeeded());
        })
        .expect("no bug check");
}

#[test]
fn a_paging_file_keeps_the_disk() {
    world()
        .run(|stack| {
            assert_eq!(stack.usage(Usage::Paging, true), STATUS_SUCCESS);
            assert_eq!(stack.usage(Usage::Hibernation, true), STATUS_SUCCESS);
            assert_eq!(stack.stop(), Err(STATUS_DEVICE_BUSY));
            assert_eq!(stack.remove(), Err(STATUS_DEVICE_BUSY));
            assert_eq!(stack.usage(Usage::Paging, false), STATUS_SUCCESS);
            assert_eq!(stack.usage(Usage::Hibernation, false), STATUS_SUCCESS);
            stack.stop().expect("nobody refuses");
            assert_eq!(stack.usage(Usage::Paging, true), STATUS_DEVICE_NOT_READY);
            stack.start().expect("it starts again");
            assert_eq!(stack.usage(Usage::Boot, true), STATUS_SUCCESS);
        })
        .expect("no bug check");
}

#[test]
fn remove_goes_down_before_what_is_out_has_come_back() {
    let ((), report) = world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            stack.port().hold(true);
            let buffer = stack.buffer(32768, 0);
            let pending = stack.read(0, &buffer).send();
            stack.remove().expect("nobody refuses");
            let done = pending.wait();
            assert_eq!(done.status, STATUS_NO_SUCH_DEVICE);
            assert_eq!(done.completions, 1);
            let records = stack.port().records();
            let removed = records
                .iter()
                .find(|at| at.major == PNP && u32::from(at.minor) == IRP_MN_REMOVE_DEVICE);
            assert!(removed.is_some());
            assert_eq!(class::blocks_left(), 0);
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn retries_that_wait_come_after_remove() {
    for completion in [Completion::Inline, Completion::Later(10..100)] {
        let ((), report) = world()
            .hba(Hba::unlimited().limits(8192, 3).completion(completion))
            .run(|stack| {
                stack.port().fault(Fault::new(Kind::NotReady).times(3));
                let buffer = stack.buffer(32768, 0);
                let pending = stack.read(0, &buffer).send();
                assert!(pending.wait_for(SECOND).is_none(), "ten seconds to go");
                let before = stack.machine().now();
                stack.remove().expect("nobody refuses");
                assert!(stack.machine().now() - before > 8 * SECOND, "drained");
                assert_eq!(pending.wait().status, STATUS_NO_SUCH_DEVICE);
                assert_eq!(stack.class_counts().after_remove, 3);
                assert_eq!(class::blocks_left(), 0);
            })
            .expect("no bug check");
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn after_surprise_removal_nothing_new_is_served() {
    world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            stack.port().hold(true);
            let buffer = stack.buffer(32768, 0);
            let pending = stack.read(0, &buffer).send();
            stack.surprise_remove().expect("nobody refuses");
            assert_eq!(pending.wait().status, STATUS_NO_SUCH_DEVICE);
            let packets = stack.class_counts().packets;
            let late = stack.read(0, &buffer).send().wait();
            assert_eq!(late.status, STATUS_DEVICE_DOES_NOT_EXIST);
            assert_eq!(stack.class_counts().packets, packets);
            assert_eq!(stack.class_counts().after_remove, 0);
        })
        .expect("no bug check");
}

#[test]
fn a_disk_that_loses_its_device_under_load_leaves_nothing() {
    let clocks = [
        ntsim::Clock::Deterministic { seed: 11 },
        ntsim::Clock::Threads {
            processors: 2,
            seed: 11,
        },
    ];
    for clock in clocks {
        world()
            .clock(clock)
            .hba(
                Hba::unlimited()
                    .limits(8192, 3)
                    .completion(Completion::Mixed(30, 10..400)),
            )
            .run(|stack| {
                stack.port().fault_mix(
                    ntsim::port::FaultMix::new()
                        .with(Kind::UnitAttention, 0.2)
                        .with(Kind::AbortedCommand, 0.1),
                );
                let buffers: Vec<_> = (0..10).map(|_| stack.buffer(40960, 512)).collect();
                let sent: Vec<_> = buffers
                    .iter()
                    .zip(0..)
                    .map(|(buffer, index)| stack.write(index * 65536, buffer).send())
                    .collect();
                stack.surprise_remove().expect("nobody refuses");
                stack.remove().expect("nobody refuses");
                for pending in sent {
                    assert_eq!(pending.wait().completions, 1);
                }
                assert_eq!(class::blocks_left(), 0);
            })
            .expect("no bug check");
    }
}
