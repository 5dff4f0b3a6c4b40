//! What can't be done is refused with a status that says why, before anything is sent; what Windows
//! would send although the adapter objects is sent.

mod common;

use common::{
    BOTH, Exchange, PAGE, adapter, assert_failure, assert_success, check, logged, moves, run,
    run_unchecked, transfer, world,
};
use ntsim::abi::{
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NONEXISTENT_SECTOR,
};
use ntsim::port::{Direction, Disk, Hba, OnViolation};
use ntsim::world::Transfer;
use ntsim::{Pending, Shape, Stack, World, ntddk};

/// An adapter on which 64 KiB is several pieces.
fn small() -> World {
    world().hba(adapter(16384, 5))
}

/// Sends what can't be done, in both directions: refused at once with `status`, nothing at the port,
/// and the next request is served.
fn is_refused<'s>(
    stack: &'s Stack,
    status: i32,
    request: impl Fn(Transfer<'s>) -> Pending<'s>,
    offset: u64,
    length: usize,
) {
    for direction in BOTH {
        let buffer = stack.buffer(length, 0);
        let before = stack.port().counts().arrived;
        let pending = request(transfer(stack, direction, offset, &buffer));
        assert_eq!(pending.returned(), status, "the dispatch routine says it");
        assert_failure(&pending.wait(), status);
        assert_eq!(stack.port().counts().arrived, before, "nothing was sent");
        moves(stack, &Exchange::new(stack, direction, 0, 0x1_0000, 512, 1));
    }
}

#[test]
fn a_chain_of_mdls() {
    run(small(), |stack| {
        let status = STATUS_INVALID_DEVICE_REQUEST;
        for (cuts, length) in [
            (vec![4096], 8192),
            (vec![512], 4096),
            (vec![0x8000], 0x1_0000),
            (vec![4096, 8192, 12288], 0x1_0000),
        ] {
            for direction in BOTH {
                let buffer = stack.buffer(length, 0);
                let before = stack.port().counts().arrived;
                let request = transfer(stack, direction, 0, &buffer);
                let done = request.mdl_chain(&cuts).send().wait();
                assert_failure(&done, status);
                check((&cuts, direction), &stack.port().counts().arrived, &before);
            }
        }
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 0x1_0000, 512, 2),
        );
    });
}

#[test]
fn an_mdl_shorter_than_the_request() {
    run(small(), |stack| {
        let status = STATUS_INVALID_DEVICE_REQUEST;
        for (mdl, length) in [(511, 512), (512, 4096), (0xFFFF, 0x1_0000), (1, 0x1_0000)] {
            is_refused(
                stack,
                status,
                |request| request.mdl_length(mdl).send(),
                0,
                length,
            );
        }
    });
}

#[test]
fn an_mdl_longer_than_the_request_is_none_of_our_business() {
    run(small(), |stack| {
        let buffer = stack.buffer(0x2_0000, 512);
        buffer.fill(0xEE);
        let length = 0x1_0000 - 512;
        let done = stack
            .read(0, &buffer)
            .length(length)
            .mdl_length(0x2_0000)
            .send()
            .wait();
        assert_success(&done, length as usize);
        let bytes = buffer.bytes();
        assert!(bytes[..length as usize].iter().all(|&byte| byte == 0));
        assert!(bytes[length as usize..].iter().all(|&byte| byte == 0xEE));
    });
}

#[test]
fn offsets_and_lengths_that_are_no_sectors() {
    run(small(), |stack| {
        let status = STATUS_INVALID_PARAMETER;
        for offset in [1, 511, 513, 0x1_0001, 1 << 40 | 256] {
            is_refused(stack, status, Transfer::send, offset, 4096);
        }
        for length in [1, 511, 513, 4095, 0xFFFF] {
            is_refused(stack, status, Transfer::send, 0, length);
        }
    });
    let large_sectors = small().disk(Disk::memory(1 << 14, 4096));
    run(large_sectors, |stack| {
        let status = STATUS_INVALID_PARAMETER;
        is_refused(stack, status, Transfer::send, 512, 4096);
        is_refused(stack, status, Transfer::send, 0, 512);
    });
}

#[test]
fn negative_offsets() {
    run(small(), |stack| {
        let status = STATUS_INVALID_PARAMETER;
        for offset in [-512, -1, i64::MIN, i64::MIN + 512] {
            is_refused(stack, status, Transfer::send, offset.cast_unsigned(), 4096);
        }
    });
}

#[test]
fn nothing_to_move_is_success_without_a_request() {
    run(small(), |stack| {
        for direction in BOTH {
            let buffer = stack.buffer(4096, 0);
            let before = stack.port().counts().arrived;
            let done = transfer(stack, direction, 0, &buffer)
                .length(0)
                .send()
                .wait();
            assert_success(&done, 0);
            let done = transfer(stack, direction, 0, &buffer)
                .length(0)
                .no_mdl()
                .send();
            assert_success(&done.wait(), 0);
            assert_eq!(stack.port().counts().arrived, before);
        }
    });
}

#[test]
fn places_beyond_the_end_are_for_the_device_to_refuse() {
    for cdb_length in [0, 6, 10, 12, 16] {
        let world = small().setting("CdbLength", cdb_length);
        run(world, |stack| {
            let disk = 512 << 17;
            for offset in [disk, disk - 512, 1 << 31, 1 << 41, i64::MAX as u64 - 511] {
                for length in [1024, 0x1_0000] {
                    let buffer = stack.buffer(length, 0);
                    let offset = offset / 512 * 512;
                    let done = stack.write(offset, &buffer).send().wait();
                    assert_failure(&done, STATUS_NONEXISTENT_SECTOR);
                }
            }
        });
    }
}

#[test]
fn a_command_block_that_cannot_name_the_place_gives_way() {
    // 6 bytes: 21 bits of block number; 10 and 12 bytes: 32.
    for (cdb_length, edge) in [(6, 1_u64 << 21), (10, 1 << 32), (12, 1 << 32)] {
        let world = small()
            .disk(Disk::memory(1 << 33, 512))
            .setting("CdbLength", cdb_length);
        run(world, |stack| {
            for first in [edge - 64, edge - 63, edge - 1, edge, edge + 8] {
                stack.port().forget_records();
                let offset = first * 512;
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, offset, 0x8000, 0, first),
                );
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Read, offset, 0x8000, 512, first),
                );
                for record in stack.port().transfers() {
                    let fits = first + 64 <= edge;
                    let expected = if fits { cdb_length as u8 } else { 16 };
                    check((cdb_length, first), &record.cdb_length, &expected);
                }
            }
        });
    }
}

#[test]
fn no_legal_split_because_a_setting_forbids_it() {
    // One page, and a sector that lies on two.
    let one_page = [
        small().setting("MaximumPhysicalPages", 1),
        small().setting("NumberOfMapRegisters", 1),
        // The documents' rule leaves pages - 1.
        small()
            .setting("MaximumPhysicalPages", 1)
            .setting("PageRule", 1),
    ];
    for world in one_page {
        let ((), report) = run(world, |stack| {
            for direction in BOTH {
                for length in [4096, 8192, 0x1_0000] {
                    let buffer = stack.buffer(length, 256);
                    let before = stack.port().counts().arrived;
                    let done = transfer(stack, direction, 0, &buffer).send().wait();
                    assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
                    assert_eq!(stack.port().counts().arrived, before, "nothing was sent");
                }
            }
        });
        assert_eq!(
            logged(&report, "6 refused").len(),
            1,
            "{:#?}",
            report.debug_log
        );
    }
}

#[test]
fn a_stretch_without_a_legal_split_stops_the_whole_request() {
    // Whole sectors lie in the first page; the ninth lies on two.
    let world = small()
        .disk(Disk::memory(1 << 14, 520))
        .setting("MaximumPhysicalPages", 1);
    run(world, |stack| {
        let buffer = stack.buffer(520 * 64, 0);
        let before = stack.port().counts().arrived;
        let done = stack.write(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(
            stack.port().counts().arrived,
            before,
            "not even what could be sent"
        );
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 520 * 7, 0, 3),
        );
    });
}

#[test]
fn no_legal_split_because_the_adapter_says_so_is_sent_as_windows_would() {
    let hba = Hba::profile("one-page").on_violation(OnViolation::Record);
    let ((), report) = run_unchecked(world().hba(hba), |stack| {
        for direction in BOTH {
            for length in [512, 4096, 0x1_0000] {
                moves(stack, &Exchange::new(stack, direction, 0, length, 256, 4));
            }
        }
        let longest = stack
            .port()
            .transfers()
            .iter()
            .map(|record| record.bytes)
            .max();
        assert_eq!(
            longest,
            Some(PAGE as u32),
            "a page at a time, wherever in a page it begins"
        );
        // What has a legal split gets it.
        stack.port().forget_records();
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 0x1_0000, 512, 5),
        );
        let spans = stack.port().transfers();
        assert!(spans.iter().all(|record| record.span_pages == 1));
    });
    assert_eq!(
        logged(&report, "leave no legal split").len(),
        1,
        "said once"
    );
    assert_eq!(
        logged(&report, "4 overstretched").len(),
        1,
        "counted each time"
    );
}

#[test]
fn overstretched_requests_are_counted_where_they_pass_untouched_too() {
    let hba = Hba::profile("one-page").on_violation(OnViolation::Record);
    let ((), report) = run_unchecked(world().hba(hba).shape(Shape::Srb), |stack| {
        let buffer = stack.buffer(4096, 256);
        for _ in 0..3 {
            assert!(
                stack
                    .scsi_write(0, 8, &buffer, 0, 4096)
                    .send()
                    .wait()
                    .irp
                    .succeeded()
            );
        }
    });
    assert_eq!(logged(&report, "3 overstretched").len(), 1);
    assert_eq!(report.port.writes, 3, "as they came");
}

#[test]
fn overstretched_for_the_adapter_but_not_beyond_a_setting() {
    // The adapter objects and so does a setting, which counts.
    let hba = Hba::profile("one-page").on_violation(OnViolation::Record);
    let world = world().hba(hba).setting("MaximumPhysicalPages", 1);
    run(world, |stack| {
        let buffer = stack.buffer(8192, 256);
        let done = stack.write(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(stack.port().transfers().len(), 0);
    });
}

#[test]
fn a_buffer_that_breaks_the_adapters_alignment_is_cut_at_sectors_and_sent() {
    let hba = adapter(16384, 5)
        .alignment_mask(1023)
        .on_violation(OnViolation::Record);
    let ((), report) = run_unchecked(world().hba(hba), |stack| {
        for direction in BOTH {
            moves(stack, &Exchange::new(stack, direction, 0, 0x1_0000, 512, 6));
            moves(stack, &Exchange::new(stack, direction, 0, 512, 512, 7));
        }
    });
    assert_eq!(
        logged(&report, "4 misaligned").len(),
        1,
        "{:#?}",
        report.debug_log
    );
}

#[test]
fn a_stack_that_has_grown_beyond_the_drivers_irps_gets_none_of_them() {
    run(small(), |stack| {
        // SAFETY: the devices of a started stack are alive, and nothing is on its way.
        unsafe {
            let lower = ntddk::IoGetLowerDeviceObject(stack.top());
            (*lower).StackSize += 4;
            (*stack.top()).StackSize += 4;
            ntddk::ObfDereferenceObject(lower.cast());
        }
        let buffer = stack.buffer(0x1_0000, 0);
        let before = stack.port().counts().arrived;
        let done = stack.write(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(stack.port().counts().arrived, before, "nothing was sent");
    });
}

#[test]
fn a_refusal_does_not_disturb_requests_in_flight() {
    run(small(), |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 0x1_0000, 0, 8);
        let pending = exchange.transfer(stack).send();
        let buffer = stack.buffer(4096, 0);
        assert_failure(
            &stack.read(1, &buffer).send().wait(),
            STATUS_INVALID_PARAMETER,
        );
        let refused = stack.read(0, &buffer).no_mdl().send();
        assert_failure(&refused.wait(), STATUS_INVALID_DEVICE_REQUEST);
        stack.port().complete_all();
        assert_success(&pending.wait(), 0x1_0000);
        assert!(exchange.is_complete(stack));
    });
}
