//! Whatever is not a read or write of the device's shape arrives at the port exactly as it would
//! without the driver, and costs the driver nothing.

mod common;

use common::{adapter, driver, run, world};
use ntsim::abi::{
    SRB_FLAGS_BYPASS_FROZEN_QUEUE, SRB_FLAGS_BYPASS_LOCKED_QUEUE, SRB_FLAGS_D3_PROCESSING,
    SRB_FUNCTION_ABORT_COMMAND, SRB_FUNCTION_CLAIM_DEVICE, SRB_FUNCTION_FLUSH,
    SRB_FUNCTION_FLUSH_QUEUE, SRB_FUNCTION_IO_CONTROL, SRB_FUNCTION_LOCK_QUEUE,
    SRB_FUNCTION_QUIESCE_DEVICE, SRB_FUNCTION_RELEASE_DEVICE, SRB_FUNCTION_RELEASE_QUEUE,
    SRB_FUNCTION_RESET_BUS, SRB_FUNCTION_RESET_DEVICE, SRB_FUNCTION_RESET_LOGICAL_UNIT,
    SRB_FUNCTION_SHUTDOWN, SRB_FUNCTION_UNLOCK_QUEUE, SRB_ORDERED_QUEUE_TAG_REQUEST,
};
use ntsim::pnp::Driver;
use ntsim::port::{Capture, Direction, Hba};
use ntsim::world::read_write_cdb;
use ntsim::{Shape, Stack, World};

/// What a lower driver sees of one request, without the addresses, which differ from run to run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    location: [u8; 3],
    parameters: [u64; 4],
    irp_flags: u32,
    has_mdl: bool,
    has_file_object: bool,
    srb: Vec<u8>,
    status: i32,
    information: u64,
}

/// Offsets of pointers in a `SCSI_REQUEST_BLOCK` and a `STORAGE_REQUEST_BLOCK` with one CDB of 16
/// bytes, on a 64-bit system.
const LEGACY_POINTERS: [usize; 5] = [24, 32, 40, 48, 56];
const EXTENDED_POINTERS: [usize; 5] = [64, 72, 80, 88, 96];

fn without_addresses(srb: &[u8]) -> Vec<u8> {
    let extended = srb.len() > 88;
    let mut bytes = srb.to_vec();
    let places = if extended {
        EXTENDED_POINTERS
    } else {
        LEGACY_POINTERS
    };
    for place in places {
        // Whether there is one counts; which one it is does not, but for its place in a page.
        let set = bytes[place..place + 8].iter().any(|&byte| byte != 0);
        let low = [bytes[place], bytes[place + 1] & 0x0F];
        bytes[place..place + 8].fill(u8::from(set));
        if place == places[0] {
            bytes[place..place + 2].copy_from_slice(&low);
        }
    }
    if extended {
        // The sense buffer's pointer in the CDB extension.
        let end = bytes.len();
        bytes[end - 40..end].fill(0);
    }
    bytes
}

/// Everything but plain READ and WRITE IRPs.
fn everything_else(stack: &Stack) {
    let buffer = stack.buffer(0x2_0000, 512);
    for function in [
        SRB_FUNCTION_CLAIM_DEVICE,
        SRB_FUNCTION_FLUSH,
        SRB_FUNCTION_LOCK_QUEUE,
        SRB_FUNCTION_QUIESCE_DEVICE,
        SRB_FUNCTION_UNLOCK_QUEUE,
        SRB_FUNCTION_RELEASE_QUEUE,
        SRB_FUNCTION_FLUSH_QUEUE,
        SRB_FUNCTION_RESET_LOGICAL_UNIT,
        SRB_FUNCTION_RESET_DEVICE,
        SRB_FUNCTION_RESET_BUS,
        SRB_FUNCTION_ABORT_COMMAND,
        SRB_FUNCTION_IO_CONTROL,
        SRB_FUNCTION_SHUTDOWN,
        SRB_FUNCTION_RELEASE_DEVICE,
        0xEE,
    ] {
        for flags in [0, SRB_FLAGS_D3_PROCESSING, SRB_FLAGS_BYPASS_LOCKED_QUEUE] {
            stack.srb_function(function).with_flags(flags).send().wait();
        }
    }
    // Commands: from TEST UNIT READY to vendor codes, with data and without.
    for opcode in [
        0x00, 0x12, 0x1A, 0x25, 0x28, 0x2A, 0x2E, 0x35, 0x42, 0x5A, 0x88, 0x8A, 0x8E, 0x9E, 0xC0,
        0xFF,
    ] {
        let cdb = [opcode, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0];
        stack.scsi(&cdb).buffer(&buffer).length(512).send().wait();
        stack
            .scsi(&cdb[..10])
            .irp_flags(0x43)
            .timeout(77)
            .send()
            .wait();
    }
    // Reads and writes as SRBs, of all sizes and kinds: in this shape they are not the driver's.
    for length in [512, 0x8000, 0x2_0000] {
        for form in [6, 10, 12, 16] {
            for direction in common::BOTH {
                let cdb = read_write_cdb(direction, 8, length / 512, form);
                let request = || stack.scsi(&cdb).buffer(&buffer).length(length);
                request().send().wait();
                request()
                    .with_flags(SRB_FLAGS_BYPASS_FROZEN_QUEUE)
                    .send()
                    .wait();
                request()
                    .tag(SRB_ORDERED_QUEUE_TAG_REQUEST)
                    .sense_room(18)
                    .send()
                    .wait();
            }
        }
    }
    stack.scsi_read(4, 8, &buffer, 512, 4096).send().wait();
    // Device control: known and unknown.
    for code in [
        0x002D_1400,
        0x0004_1010,
        0x0004_1018,
        0x0007_0000,
        0x0004_D004,
    ] {
        for room in [0, 8, 32, 512] {
            stack.ioctl(code, &[0; 12], room).send().wait();
            stack
                .ioctl(code, &[1, 0, 0, 0, 0, 0, 0, 0], room)
                .send()
                .wait();
        }
    }
}

/// What the port sees of a scenario, with or without a driver.
fn seen(driver: Option<Driver>, hba: Hba, scenario: impl FnOnce(&Stack) + Send) -> Vec<Seen> {
    let (seen, _) = common::run_unchecked(World::new(driver).hba(hba), |stack| {
        stack.port().keep_records(1 << 16);
        stack.port().forget_records();
        stack.port().capture(true);
        scenario(stack);
        let records = stack.port().records().into_iter();
        let with_bytes = records.filter_map(|record| {
            let capture = record.capture?;
            let Capture {
                location,
                parameters,
                file_object,
                mdl,
                irp_flags,
                srb,
            } = *capture;
            // The first word of an SRB request's parameters is the SRB's address.
            let is_scsi = !srb.is_empty();
            Some(Seen {
                location,
                parameters: if is_scsi { [0; 4] } else { parameters },
                irp_flags,
                has_mdl: mdl != 0,
                has_file_object: file_object != 0,
                srb: if is_scsi {
                    without_addresses(&srb)
                } else {
                    srb
                },
                status: record.outcome.status,
                information: record.outcome.information,
            })
        });
        with_bytes.collect()
    });
    seen
}

#[test]
fn byte_for_byte_the_same_with_and_without_the_driver() {
    for extended in [false, true] {
        let hba = || adapter(0x4_0000, 65).extended_srb(extended);
        let with = seen(Some(driver()), hba(), everything_else);
        let without = seen(None, hba(), everything_else);
        assert!(without.len() > 150, "{} requests", without.len());
        assert_eq!(with.len(), without.len());
        for (with, without) in with.iter().zip(&without) {
            assert_eq!(with, without);
        }
    }
}

#[test]
fn and_nothing_is_allocated_for_it() {
    let ((), report) = common::run_unchecked(world().hba(adapter(0x4_0000, 65)), |stack| {
        for _ in 0..5 {
            everything_else(stack);
        }
    });
    common::assert_nothing_allocated(&report);
}

#[test]
fn even_what_is_too_large_for_the_adapter() {
    // The class driver's own requests are not this shape's business: the port judges them.
    let ((), report) = common::run_unchecked(world().hba(adapter(16384, 5)), |stack| {
        let buffer = stack.buffer(0x1_0000, 0);
        let done = stack.scsi_read(0, 128, &buffer, 0, 0x1_0000).send().wait();
        assert!(!done.irp.succeeded());
        let sizes: Vec<u32> = stack
            .port()
            .records()
            .iter()
            .filter(|record| record.srb_function == Some(0))
            .map(|record| record.bytes)
            .collect();
        assert_eq!(sizes, [0x1_0000]);
    });
    assert!(!report.violations.is_empty());
}

#[test]
fn reads_and_writes_of_a_device_that_passes_everything_through() {
    run(world().shape(Shape::Auto), |stack| {
        stack.port().capture(true);
        for direction in common::BOTH {
            let buffer = stack.buffer(8192, 512);
            stack.port().forget_records();
            let request = common::transfer(stack, direction, 0x12_3400, &buffer);
            let done = request.flags(4).key(99).paging().send().wait();
            assert!(!done.succeeded(), "a port speaks SRBs");
            let records = stack.port().records();
            assert_eq!(records.len(), 1);
            let capture = records[0].capture.as_ref().expect("it was captured");
            let major = if direction == Direction::Read { 3 } else { 4 };
            assert_eq!(capture.location, [major, 0, 4]);
            assert_eq!(capture.parameters[0] & 0xFFFF_FFFF, 8192);
            assert_eq!(capture.parameters[1] & 0xFFFF_FFFF, 99);
            assert_eq!(capture.parameters[2], 0x12_3400);
            assert_ne!(capture.mdl, 0);
        }
    });
}

#[test]
fn power_and_usage_reach_the_port() {
    use ntsim::pnp::{DevicePower, Usage};
    run(world(), |stack| {
        stack.port().forget_records();
        for usage in [Usage::Paging, Usage::Hibernation, Usage::Dump, Usage::Boot] {
            for in_path in [true, false] {
                assert_eq!(stack.usage(usage, in_path), 0);
            }
        }
        let pnp = stack.port().records().into_iter();
        assert_eq!(pnp.filter(|record| record.major == 0x1B).count(), 8);
        for power in [DevicePower::D3, DevicePower::D0] {
            assert_eq!(stack.set_power(power), 0);
        }
        let power = stack.port().records().into_iter();
        assert_eq!(power.filter(|record| record.major == 0x16).count(), 2);
        let buffer = stack.buffer(4096, 0);
        assert!(stack.read(0, &buffer).send().wait().succeeded());
    });
}
