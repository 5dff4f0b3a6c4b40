//! A disk that gets a paging, hibernation or dump file, or the boot files, is left alone for good,
//! unless somebody said that it may be worked with, or the stack above relies on the splitting.

mod common;

#[path = "common/bus.rs"]
mod bus;

use bus::Node;
use common::{BOTH, Exchange, PAGE, adapter, check, logged, moves, run, run_unchecked, world};
use ntsim::pnp::Usage;
use ntsim::port::{Completion, Direction};
use ntsim::world::StackKind;
use ntsim::{Report, Shape, Stack, World};

const USAGES: [Usage; 4] = [Usage::Paging, Usage::Hibernation, Usage::Dump, Usage::Boot];

/// SRBs of 16 KiB are split in two, and the stack above has not been told more than that.
fn srb() -> World {
    world()
        .shape(Shape::Srb)
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 0x2000)
        .setting("Advertise", 0)
}

fn relay() -> World {
    world()
        .stack(StackKind::Relay)
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 0x2000)
}

/// Pieces that one SRB of 16 KiB becomes.
fn pieces_of_srb(stack: &Stack) -> usize {
    stack.port().forget_records();
    let buffer = stack.buffer(0x4000, 0);
    let done = stack.scsi_write(0, 32, &buffer, 0, 0x4000).send().wait();
    assert!(done.irp.succeeded(), "{done:?}");
    stack.port().transfers().len()
}

/// Pieces that one WRITE of 16 KiB becomes.
fn pieces_of_write(stack: &Stack) -> usize {
    stack.port().forget_records();
    moves(
        stack,
        &Exchange::new(stack, Direction::Write, 0, 0x4000, 0, 1),
    );
    stack.port().transfers().len()
}

/// A file comes; then `scenario` runs; then it goes, for no device with one may be removed.
fn with_file(stack: &Stack, usage: Usage, scenario: impl FnOnce()) {
    assert_eq!(stack.usage(usage, true), 0);
    scenario();
    assert_eq!(stack.usage(usage, false), 0);
}

#[track_caller]
fn assert_said(report: &Report, times: usize) {
    let said = logged(report, "passing everything through: ");
    assert_eq!(said.len(), times, "{:#?}", report.debug_log);
}

#[test]
fn srbs_pass_from_then_on() {
    for usage in USAGES {
        let ((), report) = run(srb(), |stack| {
            assert_eq!(pieces_of_srb(stack), 2);
            with_file(stack, usage, || check(usage, &pieces_of_srb(stack), &1));
        });
        assert_said(&report, 1);
    }
}

#[test]
fn and_so_do_reads_and_writes_above_the_class_driver() {
    for usage in USAGES {
        let ((), report) = run(relay(), |stack| {
            assert_eq!(pieces_of_write(stack), 2);
            with_file(stack, usage, || {
                check(usage, &pieces_of_write(stack), &1);
            });
        });
        assert_said(&report, 1);
    }
}

#[test]
fn for_good() {
    let ((), report) = run(srb(), |stack| {
        assert_eq!(stack.usage(Usage::Paging, true), 0);
        assert_eq!(pieces_of_srb(stack), 1);
        // The file goes again; a start, other files: it stays as it is.
        assert_eq!(stack.usage(Usage::Paging, false), 0);
        assert_eq!(pieces_of_srb(stack), 1);
        stack.stop().expect("the device can be stopped");
        stack.start().expect("the device can be started");
        assert_eq!(pieces_of_srb(stack), 1);
        for usage in USAGES {
            assert_eq!(stack.usage(usage, true), 0);
            assert_eq!(stack.usage(usage, false), 0);
        }
        assert_eq!(pieces_of_srb(stack), 1);
    });
    assert_said(&report, 1);
}

#[test]
fn a_file_that_goes_is_no_file_that_comes() {
    for usage in USAGES {
        let ((), report) = run(srb(), |stack| {
            assert_eq!(stack.usage(usage, false), 0);
            check(usage, &pieces_of_srb(stack), &2);
        });
        assert_said(&report, 0);
    }
}

#[test]
fn unless_somebody_said_that_it_may_be_worked_with() {
    for usage in USAGES {
        for (world, pieces) in [
            (srb(), pieces_of_srb as fn(&Stack) -> usize),
            (relay(), pieces_of_write),
        ] {
            let ((), report) = run(world.setting("AllowBootDevice", 1), |stack| {
                with_file(stack, usage, || check(usage, &pieces(stack), &2));
            });
            assert_said(&report, 0);
            let world = srb().service_setting("AllowBootDevice", 1);
            let ((), report) = run(world, |stack| {
                with_file(stack, usage, || check(usage, &pieces_of_srb(stack), &2));
            });
            assert_said(&report, 0);
        }
    }
}

#[test]
fn or_the_stack_above_was_told_more_than_the_adapter_takes() {
    for usage in USAGES {
        let more = srb()
            .setting("Advertise", 2)
            .setting("AdvertisedTransferLength", 0x2_0000);
        let ((), report) = run(more, |stack| {
            with_file(stack, usage, || check(usage, &pieces_of_srb(stack), &2));
        });
        assert_said(&report, 0);
        // Told a longer length that the adapter takes all the same: nobody relies on the driver.
        let less = srb()
            .setting("Advertise", 2)
            .setting("AdvertisedTransferLength", 0x8000);
        let ((), report) = run(less, |stack| {
            with_file(stack, usage, || check(usage, &pieces_of_srb(stack), &1));
        });
        assert_said(&report, 1);
    }
}

#[test]
fn more_in_bytes_or_more_in_pages() {
    // What is told: 64 KiB over 17 pages.
    for (bytes, pages, relied_upon) in [
        (0x1_0000, 17, false),
        (0x10_0000, 257, false),
        (0x8000, 257, true),
        (0xFE00, 257, true),
        (0x10_0000, 16, true),
        (u32::MAX as usize, u32::MAX, false),
        (u32::MAX as usize, 16, true),
    ] {
        let world = srb()
            .hba(adapter(bytes, pages))
            .setting("Advertise", 2)
            .setting("AdvertisedTransferLength", 0x1_0000);
        let ((), report) = run(world, |stack| {
            with_file(stack, Usage::Paging, || {
                let pieces = if relied_upon { 2 } else { 1 };
                check((bytes, pages), &pieces_of_srb(stack), &pieces);
            });
        });
        assert_said(&report, usize::from(!relied_upon));
    }
}

#[test]
fn under_the_whole_stack_nothing_oversize_slips_through_afterwards() {
    for advertise in [1, 2] {
        let world = world()
            .stack(StackKind::Disk)
            .hba(adapter(0x4000, 5))
            .setting("MaximumTransferLength", 0x2000)
            .setting("Advertise", advertise);
        let ((), report) = run(world, |stack| {
            for usage in USAGES {
                assert_eq!(stack.usage(usage, true), 0);
            }
            for direction in BOTH {
                moves(stack, &Exchange::new(stack, direction, 0, 0x2_0000, 512, 1));
            }
            for usage in USAGES {
                assert_eq!(stack.usage(usage, false), 0);
            }
        });
        // The class driver goes on as it was told; where that was more, the engine stays.
        assert!(report.port.largest_bytes <= 0x2000);
        assert_said(&report, usize::from(advertise == 1));
    }
}

#[test]
fn requests_in_flight_finish() {
    for usage in USAGES {
        let hba = adapter(0x1_0000, 17).completion(Completion::Later(10..500));
        run(srb().hba(hba).setting("Window", 2), |stack| {
            stack.port().hold(true);
            let (data, room) = (stack.buffer(16 * PAGE, 0), stack.buffer(16 * PAGE, 0));
            data.fill(0x3C);
            let (whole, blocks) = (16 * PAGE as u32, 128);
            let writing = stack.scsi_write(0, blocks, &data, 0, whole).send();
            let reading = stack.scsi_read(8192, blocks, &room, 0, whole).send();
            assert_eq!(stack.port().held().len(), 4);
            with_file(stack, usage, || {
                // What comes now goes whole, past what is still being cut.
                let after = stack.buffer(0x4000, 0);
                let passed = stack.scsi_read(4096, 32, &after, 0, 0x4000).send();
                let held = stack.port().held();
                check(usage, &held.last().map(|last| last.bytes), &Some(0x4000));
                stack.port().hold(false);
                stack.port().complete_all();
                for done in [writing.wait(), reading.wait()] {
                    assert!(done.irp.succeeded(), "{done:?}");
                    assert_eq!(done.data_length, whole);
                }
                assert!(passed.wait().irp.succeeded());
            });
            let written = common::on_disk(stack.disk(), 0, 16 * PAGE);
            assert!(written.iter().all(|&byte| byte == 0x3C));
        });
    }
}

#[test]
fn the_class_shape_is_its_own_master() {
    // Above a port of its own there is no other driver that could do without the splitting.
    let world = world()
        .hba(adapter(0x1_0000, 17))
        .setting("MaximumTransferLength", 0x2000);
    let ((), report) = run_unchecked(world, |stack| {
        for usage in USAGES {
            with_file(stack, usage, || {
                check(usage, &pieces_of_write(stack), &2);
            });
        }
    });
    assert_said(&report, 0);
}

#[test]
fn a_file_that_comes_while_the_device_is_stopped() {
    run(srb(), |stack| {
        stack.stop().expect("the device can be stopped");
        with_file(stack, Usage::Boot, || {
            stack.start().expect("the device can be started");
            assert_eq!(pieces_of_srb(stack), 1);
        });
    });
}

#[test]
fn a_file_that_comes_before_the_first_start() {
    for usage in USAGES {
        bus::on_machine(|| {
            bus::setting("Shape", 1);
            bus::setting("Advertise", 0);
            bus::setting("MaximumTransferLength", 0x2000);
            let driver = common::driver();
            let mut node = Node::new().lower(&driver).add();
            assert_eq!(node.usage(usage, true), 0);
            node.start().expect("the device starts");
            let (came, _) = bus::scsi_read(node.top(), 0x4000);
            assert_eq!(came.status, 0);
            check(usage, &bus::seen().len(), &1);
            assert_eq!(node.usage(usage, false), 0);
            node.remove().expect("the device can be removed");
            driver.unload().expect("the driver can be unloaded");
        });
    }
}
