//! A disk starts whatever the adapter, the device, the registry or the memory have to say; where
//! the driver can't work it passes everything through, and says why.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{
    BOTH, Exchange, MILLISECOND, adapter, assert_everything_came_back, assert_failure, check,
    logged, moves, run, run_unchecked, world,
};
use ntsim::abi::{IRP_MJ_READ, IRP_MJ_SCSI, STATUS_INVALID_DEVICE_REQUEST, STATUS_NOT_SUPPORTED};
use ntsim::machine::{self, AllocationKind};
use ntsim::port::{AdapterReply, Direction, Disk, Hba, ProductPages, Sense};
use ntsim::registry::Kind;
use ntsim::{Report, Shape, Stack, World};

/// Whether READs arrive at the port as they were sent.
fn passes_through(stack: &Stack) -> bool {
    stack.port().forget_records();
    let buffer = stack.buffer(512, 0);
    let done = stack.read(0, &buffer).send().wait();
    let majors: Vec<u32> = stack
        .port()
        .records()
        .iter()
        .map(|record| u32::from(record.major))
        .collect();
    if majors == [IRP_MJ_READ] {
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        return true;
    }
    assert_eq!(majors, [IRP_MJ_SCSI]);
    assert!(done.succeeded());
    false
}

/// The disk starts, everything passes through, and the log says so with these words.
#[track_caller]
fn starts_without_service(world: World, why: &str) -> Report {
    let (passes, report) = run(world, passes_through);
    assert!(passes, "{why}");
    let said = logged(&report, "passing everything through");
    assert_eq!(said.len(), 1, "{:#?}", report.debug_log);
    assert!(said[0].contains(why), "{said:?} should say {why:?}");
    report
}

/// The disk starts and requests are split.
#[track_caller]
fn starts(world: World) -> Report {
    let (passes, report) = run(world, passes_through);
    assert!(!passes, "{:#?}", report.debug_log);
    report
}

/// The longest piece of a request of 1 MiB, in bytes.
fn longest_piece(world: World) -> u32 {
    let (longest, _) = run(world, |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 1 << 20, 0, 1),
        );
        stack.port().counts().largest_bytes
    });
    longest
}

#[test]
fn an_adapter_that_says_nothing_of_itself() {
    let reply = AdapterReply::Refused(STATUS_NOT_SUPPORTED);
    let hba = adapter(16384, 5).adapter_reply(reply);
    starts_without_service(world().hba(hba), "StorageAdapterProperty");
}

#[test]
fn descriptors_that_contradict_themselves() {
    let cases = [
        // Shorter than it says.
        (8, 32),
        (20, 32),
        (31, 32),
        // It says that it ends before the limits do.
        (8, 8),
        (32, 8),
        (32, 19),
        (32, 0),
        // Absurd.
        (32, 0x10_0000),
        (32, u32::MAX),
    ];
    for (length, claims) in cases {
        let reply = AdapterReply::Cut { length, claims };
        let hba = adapter(16384, 5).adapter_reply(reply);
        starts_without_service(world().hba(hba), "adapter descriptor");
    }
}

#[test]
fn older_shorter_descriptors_are_enough() {
    for length in [20, 24, 28, 30, 32] {
        let reply = AdapterReply::Cut {
            length,
            claims: length as u32,
        };
        let hba = adapter(16384, 5).adapter_reply(reply);
        check(length, &longest_piece(world().hba(hba)), &16384);
    }
}

#[test]
fn a_header_that_comes_with_a_warning_is_a_header() {
    let hba = adapter(16384, 5).adapter_reply(AdapterReply::Overflow);
    assert_eq!(longest_piece(world().hba(hba)), 16384);
}

#[test]
fn limits_of_nothing() {
    starts_without_service(world().hba(Hba::profile("zero-length")), "limits");
    let below = world()
        .disk(Disk::memory(1 << 14, 4096))
        .hba(adapter(2048, 2));
    starts_without_service(below, "limits");
    let setting = world()
        .disk(Disk::memory(1 << 14, 4096))
        .setting("MaximumTransferLength", 512);
    starts_without_service(setting, "limits");
}

#[test]
fn odd_limits_are_mended() {
    let ragged = world().hba(Hba::profile("ragged-65535"));
    assert_eq!(longest_piece(ragged), 65024);
    let no_pages = world().hba(Hba::profile("zero-pages"));
    assert_eq!(longest_piece(no_pages), 4096);
    let report = starts(world().hba(Hba::profile("ragged-65535")));
    assert_eq!(logged(&report, "rounded down").len(), 1);
    let report = starts(world().hba(Hba::profile("zero-pages")));
    assert_eq!(logged(&report, "taken as 1").len(), 1);
}

#[test]
fn the_log_says_what_holds_and_who_says_so() {
    let report = starts(world().hba(adapter(0x1_0000, 17)));
    assert_eq!(
        logged(&report, "65536 bytes (adapter), 17 pages (adapter)").len(),
        1
    );
    let settings = world()
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 8192)
        .setting("NumberOfMapRegisters", 5);
    let report = starts(settings);
    assert_eq!(
        logged(&report, "8192 bytes (setting), 5 pages (map registers)").len(),
        1
    );
    let report = starts(world());
    assert_eq!(logged(&report, "unlimited bytes").len(), 1);
}

#[test]
fn no_medium_means_no_capacity() {
    let world = world().prepare(|port| port.set_medium_present(false));
    starts_without_service(world, "READ CAPACITY");
}

#[test]
fn a_medium_that_comes_before_the_next_start() {
    let world = world()
        .hba(adapter(16384, 5))
        .prepare(|port| port.set_medium_present(false));
    let ((), report) = run_unchecked(world, |stack| {
        assert!(passes_through(stack));
        stack.port().set_medium_present(true);
        stack.stop().expect("the device can be stopped");
        stack.start().expect("the device can be started");
        assert!(!passes_through(stack));
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 0x1_0000, 0, 2),
        );
    });
    assert_everything_came_back(&report);
}

#[test]
fn a_unit_attention_at_power_on_is_expected() {
    let world = world().prepare(|port| port.raise_attention(Sense::RESET_OCCURRED));
    starts(world);
}

#[test]
fn the_devices_own_limit_counts_where_the_bus_is_sane() {
    // SCSI, Fibre Channel, iSCSI, SAS, virtual, file-backed virtual.
    const SANE: [u8; 6] = [1, 6, 9, 10, 14, 15];
    for bus in 0..=20_u8 {
        let build = || {
            world()
                .hba(adapter(0x1_0000, 17).bus(bus))
                .disk(Disk::memory(1 << 17, 512).block_limits(32))
        };
        let honoured = if SANE.contains(&bus) {
            32 * 512
        } else {
            0x1_0000
        };
        check(bus, &longest_piece(build()), &honoured);
        check(
            bus,
            &longest_piece(build().setting("HonorBlockLimits", 0)),
            &0x1_0000,
        );
        check(
            bus,
            &longest_piece(build().setting("HonorBlockLimits", 2)),
            &(32 * 512),
        );
    }
}

#[test]
fn a_devices_limit_that_makes_no_sense_does_not_count() {
    for blocks in [1, 4, 7] {
        let build = || {
            world()
                .hba(adapter(0x1_0000, 17))
                .disk(Disk::memory(1 << 17, 512).block_limits(blocks))
        };
        check(blocks, &longest_piece(build()), &0x1_0000);
        assert_eq!(logged(&starts(build()), "ignored").len(), 1);
    }
    for blocks in [0, 8, 128, 1 << 20, u32::MAX] {
        let disk = Disk::memory(1 << 17, 512).block_limits(blocks);
        let world = world().hba(adapter(0x1_0000, 17)).disk(disk);
        let expected = if blocks == 8 { 4096 } else { 0x1_0000 };
        check(blocks, &longest_piece(world), &expected);
    }
}

#[test]
fn bridges_that_hang_on_product_pages_are_not_asked() {
    let mute = ProductPages {
        hangs: true,
        ..ProductPages::default()
    };
    let build = || {
        world()
            .hba(Hba::profile("usb-bridge"))
            .disk(Disk::memory(1 << 17, 512).product_pages(mute))
    };
    let (started, _) = run(build(), |stack| stack.machine().now());
    assert!(started < MILLISECOND, "start waited for nothing");
    // Who insists gets an answer after the time that a command may take.
    let (started, _) = run(build().setting("HonorBlockLimits", 2), |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 1 << 20, 0, 3),
        );
        stack.machine().now()
    });
    assert!(
        (2_000 * MILLISECOND..=5_000 * MILLISECOND).contains(&started),
        "{started}"
    );
}

#[test]
fn pages_that_are_not_there() {
    let none = ProductPages {
        supported: false,
        block_limits: Some(32),
        ..ProductPages::default()
    };
    let disk = Disk::memory(1 << 17, 512).product_pages(none);
    let world = world().hba(adapter(0x1_0000, 17)).disk(disk);
    assert_eq!(longest_piece(world), 0x1_0000);
}

#[test]
fn no_memory_for_any_one_of_the_things_it_needs() {
    let mut failed = 0;
    for victim in 0.. {
        let (counted, struck) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let seen = Arc::clone(&struck);
        let world = world()
            .hba(adapter(16384, 5))
            .setting("Pieces", 3)
            .prepare(move |_| {
                // Framework objects are what the device itself is made of; see below.
                machine::with(|machine| {
                    machine.fail_allocations(Some(Box::new(move |request| {
                        let ours = request.kind != AllocationKind::Framework;
                        let strikes = ours && counted.fetch_add(1, Ordering::Relaxed) == victim;
                        if strikes {
                            seen.store(true, Ordering::Relaxed);
                        }
                        strikes
                    })));
                });
            });
        let (passes, report) = run(world, |stack| {
            stack.machine().fail_allocations(None);
            passes_through(stack)
        });
        if !struck.load(Ordering::Relaxed) {
            assert!(!passes, "with memory for everything it works");
            break;
        }
        failed += 1;
        assert!(passes, "allocation {victim}: {:#?}", report.debug_log);
        assert_eq!(
            logged(&report, "no memory").len(),
            1,
            "{:#?}",
            report.debug_log
        );
    }
    // The engine, the transfers, the pieces, three IRPs and MDLs, and the request that thaws queues.
    assert!(failed >= 10, "only {failed} allocations were seen");
}

#[test]
fn memory_that_comes_before_the_next_start() {
    let world = world().hba(adapter(16384, 5)).prepare(|_| {
        machine::with(|machine| {
            machine.fail_allocations(Some(Box::new(|request| {
                request.kind == AllocationKind::Mdl
            })));
        });
    });
    let ((), report) = run_unchecked(world, |stack| {
        assert!(passes_through(stack));
        stack.machine().fail_allocations(None);
        stack.stop().expect("the device can be stopped");
        stack.start().expect("the device can be started");
        assert!(!passes_through(stack));
    });
    assert_everything_came_back(&report);
}

#[test]
fn settings_out_of_range_are_ignored_by_name() {
    let cases = [
        ("MaximumTransferLength", 511),
        ("AlignmentMask", 0x1000),
        ("AlignmentMask", 5),
        ("HonorBlockLimits", 3),
        ("Window", 0),
        ("Window", 257),
        ("Pieces", 4097),
        ("Serial", 2),
        ("MaxRetries", 17),
        ("RetryDelayMs", 100_001),
        ("PageRule", 3),
        ("CdbLength", 8),
        ("CdbLength", 17),
        ("LbaBoundary", 511),
        ("PhysicalSectorCuts", 2),
        ("Balanced", 2),
        ("MaxPieceBytes", 0xFFFF),
        ("MaxPieceBytes", 4088 * 4096 + 1),
        ("Disabled", 2),
        ("AllowBootDevice", 2),
        ("Advertise", 3),
        ("AdvertisedTransferLength", 4095),
    ];
    for (name, value) in cases {
        let world = world()
            .hba(adapter(0x1_0000, 17))
            .setting(name, value)
            .setting("MaximumPhysicalPages", 2);
        let (longest, report) = run(world, |stack| {
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 1 << 20, 0, 4),
            );
            stack.port().counts().largest_bytes
        });
        check(name, &longest, &8192);
        let said = logged(&report, "ignored");
        check(name, &said.len(), &1);
        assert!(said[0].contains(name), "{said:?}");
    }
}

#[test]
fn what_only_a_device_may_say_is_ignored_for_all_devices() {
    let name = "Advertise";
    let build = || world().hba(adapter(0x1_0000, 17));
    for (world, ignored) in [
        (build().service_setting(name, 2), 1),
        (build().service_setting(name, 1), 0),
        (build().setting(name, 2), 0),
    ] {
        let ((), report) = run(world, |_| ());
        let said = logged(&report, "ignored");
        assert_eq!(said.len(), ignored, "{said:?}");
        assert!(said.iter().all(|line| line.contains(name)), "{said:?}");
    }
}

#[test]
fn settings_of_another_type_are_ignored_by_name() {
    let text: Vec<u8> = "4\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(Kind, &[u8]); 6] = [
        (Kind::Sz, &text),
        (Kind::Binary, &[1, 0, 0, 0]),
        (Kind::Qword, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (Kind::MultiSz, &[0, 0, 0, 0]),
        (Kind::Dword, &[1, 0]),
        (Kind::Dword, &[]),
    ];
    for (kind, bytes) in cases {
        for name in ["Window", "MaximumTransferLength", "Disabled", "PageRule"] {
            let world = world()
                .hba(adapter(0x1_0000, 17))
                .setting_raw(name, kind, bytes)
                .setting("MaximumPhysicalPages", 2);
            let (longest, report) = run(world, |stack| {
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, 0, 1 << 20, 0, 5),
                );
                stack.port().counts().largest_bytes
            });
            check((name, kind), &longest, &8192);
            let said = logged(&report, "ignored");
            check((name, kind), &said.len(), &1);
            assert!(said[0].contains(name), "{said:?}");
        }
    }
}

#[test]
fn the_devices_own_key_goes_before_the_services() {
    let build = || world().hba(adapter(0x1_0000, 17));
    let service = build().service_setting("MaximumTransferLength", 8192);
    assert_eq!(longest_piece(service), 8192);
    let both = build()
        .service_setting("MaximumTransferLength", 8192)
        .setting("MaximumTransferLength", 4096);
    assert_eq!(longest_piece(both), 4096);
    // A bad value of its own does not hide the service's.
    let bad = build()
        .service_setting("MaximumTransferLength", 8192)
        .setting("MaximumTransferLength", 7);
    assert_eq!(longest_piece(bad), 8192);
}

#[test]
fn nothing_is_split_that_nobody_asked_to_split() {
    starts_without_service(world().setting("Disabled", 1), "disabled");
    // Beneath a class driver reads and writes come as SRBs, and only those are split.
    for shape in [Shape::Auto, Shape::Srb] {
        let (passes, _) = run(world().shape(shape), passes_through);
        assert!(passes, "{shape:?}");
    }
    // Above one it asks for the size of a sector, which a port that says nothing of it does not know.
    let mute = Disk::memory(1 << 17, 512).reports_alignment(false);
    starts_without_service(world().disk(mute).shape(Shape::Relay), "no answer");
}

#[test]
fn started_twice_it_keeps_what_it_learned_first() {
    run(world().hba(adapter(16384, 5)), |stack| {
        let before = stack.machine().allocations();
        for round in 0..3 {
            stack.stop().expect("the device can be stopped");
            stack.port().forget_records();
            stack.start().expect("the device can be started");
            let asked = stack.port().records().into_iter();
            let questions = asked.filter(|record| record.control_code != 0).count();
            check(round, &questions, &0);
            for direction in BOTH {
                moves(
                    stack,
                    &Exchange::new(stack, direction, 0, 0x2_0000, 0, round),
                );
            }
        }
        assert_eq!(stack.machine().allocations().total(), before.total());
    });
}
