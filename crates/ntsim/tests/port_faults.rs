//! Faults as the neighbour above sees them, and the states of the queue.

use ntsim::World;
use ntsim::abi::{
    SRB_FLAGS_BYPASS_FROZEN_QUEUE, SRB_FLAGS_BYPASS_LOCKED_QUEUE, SRB_FLAGS_NO_QUEUE_FREEZE,
    SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FUNCTION_ABORT_COMMAND, SRB_FUNCTION_CLAIM_DEVICE,
    SRB_FUNCTION_FLUSH_QUEUE, SRB_FUNCTION_LOCK_QUEUE, SRB_FUNCTION_QUIESCE_DEVICE,
    SRB_FUNCTION_RELEASE_DEVICE, SRB_FUNCTION_RELEASE_QUEUE, SRB_FUNCTION_RESET_LOGICAL_UNIT,
    SRB_FUNCTION_UNLOCK_QUEUE, STATUS_DEVICE_BUSY, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_PENDING,
    STATUS_VERIFY_REQUIRED,
};
use ntsim::port::{Completion, Direction, Fault, FaultMix, Hba, Kind};
use ntsim::world::{Buffer, PendingScsi, ScsiDone, Stack, read_write_cdb};

fn read_at(stack: &Stack, buffer: &Buffer, lba: u64) -> PendingScsi {
    let blocks = buffer.len() as u32 / 512;
    stack
        .scsi(&read_write_cdb(Direction::Read, lba, blocks, 10))
        .buffer(buffer)
        .timeout(2)
        .send()
}

fn function(stack: &Stack, function: u32) -> ScsiDone {
    stack.srb_function(function).send().wait()
}

#[test]
fn a_lack_of_resources_is_told_also_where_the_queue_freezes() {
    for extended in [false, true] {
        World::without_filter()
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                let buffer = stack.buffer(4096, 0);
                stack.port().fault(Fault::new(Kind::NoResourcesSystem));
                let cdb = read_write_cdb(Direction::Read, 0, 8, 10);
                let read = stack.scsi(&cdb).buffer(&buffer);
                let done = read.without_flags(SRB_FLAGS_NO_QUEUE_FREEZE).send().wait();
                assert_eq!((done.srb_status, done.frozen), (0x30, true));
                assert_eq!(done.system_status, STATUS_INSUFFICIENT_RESOURCES);
                assert_eq!(function(stack, SRB_FUNCTION_RELEASE_QUEUE).srb_status, 1);
            })
            .expect("no bug check");
    }
}

#[test]
fn every_kind_of_fault_looks_as_a_port_would_show_it() {
    use Kind::{
        Aborted, AbortedCommand, BusReset, Busy, DataOverrun, Flushed, Frozen, Hang, HardwareError,
        MediumChanged, MediumError, NoDevice, NoResourcesIrp, NoResourcesSrb, NoResourcesSystem,
        NotReady, ParityError, QueueFull, RecoveredError, SelectionTimeout, Short, Timeout,
        UnitAttention, VerifyRequired,
    };
    // Kind, SRB status, SCSI status, sense key, bytes of 4096 that moved.
    let table = [
        (Short, 0x01, 0x00, None, 2048),
        (Busy, 0x05, 0x08, None, 0),
        (QueueFull, 0x04, 0x28, None, 0),
        (BusReset, 0x0E, 0x00, None, 0),
        (Timeout, 0x0B, 0x00, None, 0),
        (MediumError, 0x04, 0x02, Some(3), 0),
        (HardwareError, 0x04, 0x02, Some(4), 0),
        (RecoveredError, 0x04, 0x02, Some(1), 4096),
        (UnitAttention, 0x04, 0x02, Some(6), 0),
        (MediumChanged, 0x04, 0x02, Some(6), 0),
        (VerifyRequired, 0x04, 0x02, Some(6), 0),
        (NotReady, 0x04, 0x02, Some(2), 0),
        (AbortedCommand, 0x04, 0x02, Some(0xB), 0),
        (Aborted, 0x02, 0x00, None, 0),
        (NoResourcesIrp, 0x04, 0x00, None, 0),
        (NoResourcesSystem, 0x30, 0x00, None, 0),
        (NoResourcesSrb, 0x26, 0x00, None, 0),
        (Frozen, 0x04, 0x02, Some(4), 0),
        (SelectionTimeout, 0x0A, 0x00, None, 0),
        (NoDevice, 0x08, 0x00, None, 0),
        (DataOverrun, 0x12, 0x00, None, 4096),
        (ParityError, 0x0F, 0x00, None, 0),
        (Flushed, 0x16, 0x00, None, 0),
        (Hang, 0x0B, 0x00, None, 0),
    ];
    assert_eq!(table.map(|row| row.0), Kind::ALL);
    for extended in [false, true] {
        World::without_filter()
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                let buffer = stack.buffer(4096, 0);
                for (kind, srb_status, scsi_status, sense, moved) in table {
                    stack.port().fault(Fault::new(kind));
                    let done = read_at(stack, &buffer, 64).wait();
                    let seen_sense = done.sense.as_ref().map(|sense| sense[2]);
                    assert_eq!(
                        (
                            done.srb_status,
                            done.scsi_status,
                            seen_sense,
                            done.data_length
                        ),
                        (srb_status, scsi_status, sense, moved),
                        "{kind:?}"
                    );
                    let success = kind == Short;
                    assert_eq!(done.irp.succeeded(), success, "{kind:?}");
                    assert!(!done.frozen, "the request asked for no freeze");
                    assert_eq!(stack.port().fault_counts().of(kind), 1);
                    assert_eq!(
                        read_at(stack, &buffer, 64).wait().srb_status,
                        1,
                        "after {kind:?}"
                    );
                }
            })
            .expect("no bug check");
    }
}

#[test]
fn the_three_forms_of_no_resources_and_the_verify_status_are_told_apart() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            let status = |kind| {
                stack.port().fault(Fault::new(kind));
                let done = read_at(stack, &buffer, 0).wait();
                (done.irp.status, done.system_status)
            };
            let short = STATUS_INSUFFICIENT_RESOURCES;
            assert_eq!(status(Kind::NoResourcesIrp).0, short);
            assert_eq!(status(Kind::NoResourcesSystem), (short, short));
            assert_eq!(status(Kind::NoResourcesSrb).0, short);
            assert_eq!(status(Kind::VerifyRequired).0, STATUS_VERIFY_REQUIRED);
            assert_eq!(status(Kind::MediumChanged).0, STATUS_IO_DEVICE_ERROR);
            assert_eq!(status(Kind::Timeout).0, STATUS_IO_TIMEOUT);
        })
        .expect("no bug check");
}

#[test]
fn a_bad_block_lets_the_blocks_before_it_move_and_is_named() {
    World::without_filter()
        .run(|stack| {
            stack.disk().poke(0, &[7; 8192]);
            let buffer = stack.buffer(4096, 0);
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(6).always());
            let done = read_at(stack, &buffer, 2).wait();
            assert_eq!(done.data_length, 4 * 512);
            assert_eq!(done.sense.expect("sense")[3..7], [0, 0, 0, 6]);
            let bytes = buffer.bytes();
            assert!(bytes[..2048].iter().all(|&byte| byte == 7));
            assert!(bytes[2048..].iter().all(|&byte| byte == 0));
            assert_eq!(read_at(stack, &buffer, 7).wait().srb_status, 1);
        })
        .expect("no bug check");
}

#[test]
fn an_error_freezes_the_queue_until_it_is_released() {
    World::without_filter()
        .run(|stack| {
            let (first, second) = (stack.buffer(512, 0), stack.buffer(512, 0));
            let freezing = |buffer: &Buffer, flags| {
                stack
                    .scsi(&read_write_cdb(Direction::Read, 0, 1, 10))
                    .buffer(buffer)
                    .without_flags(SRB_FLAGS_NO_QUEUE_FREEZE)
                    .with_flags(flags)
                    .send()
            };
            stack.port().fault(Fault::new(Kind::Frozen));
            assert!(freezing(&first, 0).wait().frozen);
            assert!(stack.port().is_frozen());
            let waits = freezing(&first, 0);
            assert!(!waits.is_done());
            assert_eq!(waits.returned(), STATUS_PENDING);
            let passes = freezing(&second, SRB_FLAGS_BYPASS_FROZEN_QUEUE).wait();
            assert_eq!(passes.srb_status, 1);
            assert!(!waits.is_done());
            assert_eq!(function(stack, SRB_FUNCTION_RELEASE_QUEUE).srb_status, 1);
            assert_eq!(waits.wait().srb_status, 1);
            let counts = stack.port().counts();
            assert_eq!((counts.freezes, counts.releases, counts.held), (1, 1, 1));
        })
        .expect("no bug check");
}

#[test]
fn flush_ends_what_waits_in_a_frozen_queue() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            stack.port().fault(Fault::new(Kind::Busy));
            let cdb = read_write_cdb(Direction::Read, 0, 1, 10);
            let plain = || {
                stack
                    .scsi(&cdb)
                    .buffer(&buffer)
                    .without_flags(SRB_FLAGS_NO_QUEUE_FREEZE)
            };
            assert!(plain().send().wait().frozen);
            let waiting = plain().send();
            assert_eq!(function(stack, SRB_FUNCTION_FLUSH_QUEUE).srb_status, 1);
            assert_eq!(waiting.wait().srb_status, 0x16);
            assert_eq!(plain().send().wait().srb_status, 1);
        })
        .expect("no bug check");
}

#[test]
fn a_locked_queue_holds_everything_but_bypassing_requests() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            function(stack, SRB_FUNCTION_LOCK_QUEUE);
            let held = read_at(stack, &buffer, 0);
            stack.idle();
            assert!(!held.is_done());
            let bypass = stack
                .scsi(&[0, 0, 0, 0, 0, 0])
                .with_flags(SRB_FLAGS_BYPASS_LOCKED_QUEUE)
                .send()
                .wait();
            assert_eq!(bypass.srb_status, 1);
            assert_eq!(stack.port().waiting(), 1);
            function(stack, SRB_FUNCTION_UNLOCK_QUEUE);
            assert_eq!(held.wait().srb_status, 1);
        })
        .expect("no bug check");
}

#[test]
fn quiesce_waits_for_what_is_active() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            stack.port().hold(true);
            let active = read_at(stack, &buffer, 0);
            function(stack, SRB_FUNCTION_LOCK_QUEUE);
            let quiesce = stack.srb_function(SRB_FUNCTION_QUIESCE_DEVICE).send();
            stack.idle();
            assert!(!quiesce.is_done());
            stack.port().complete_all();
            assert_eq!(quiesce.wait().srb_status, 1);
            assert_eq!(active.wait().srb_status, 1);
            function(stack, SRB_FUNCTION_UNLOCK_QUEUE);
        })
        .expect("no bug check");
}

#[test]
fn a_hang_ends_with_the_timeout_and_not_earlier() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            stack.port().fault(Fault::new(Kind::Hang));
            let before = stack.machine().now();
            let done = read_at(stack, &buffer, 0).wait();
            assert_eq!(done.srb_status, 0x0B);
            let passed = stack.machine().now() - before;
            assert!(
                (20_000_000..20_001_000).contains(&passed),
                "two seconds, not {passed}"
            );
            assert_eq!(stack.port().counts().timeouts, 1);
        })
        .expect("no bug check");
}

#[test]
fn unplugging_ends_everything_with_no_device() {
    World::without_filter()
        .run(|stack| {
            let buffers: Vec<_> = (0..3).map(|_| stack.buffer(512, 0)).collect();
            stack.port().hold(true);
            let active = read_at(stack, &buffers[0], 0);
            function(stack, SRB_FUNCTION_LOCK_QUEUE);
            let waiting = read_at(stack, &buffers[1], 0);
            stack.surprise_remove().expect("nobody refuses");
            let later = read_at(stack, &buffers[2], 0);
            for request in [active, waiting, later] {
                let done = request.wait();
                assert_eq!(done.srb_status, 0x08);
                assert_eq!(done.irp.status, STATUS_DEVICE_DOES_NOT_EXIST);
            }
        })
        .expect("no bug check");
}

#[test]
fn reset_and_abort_end_requests_in_the_adapter() {
    World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Held))
        .run(|stack| {
            let buffers: Vec<_> = (0..3).map(|_| stack.buffer(512, 0)).collect();
            let requests: Vec<_> = buffers
                .iter()
                .map(|buffer| read_at(stack, buffer, 0))
                .collect();
            let abort = stack
                .srb_function(SRB_FUNCTION_ABORT_COMMAND)
                .about(&requests[1])
                .send();
            assert_eq!(abort.wait().srb_status, 1);
            assert_eq!(
                function(stack, SRB_FUNCTION_RESET_LOGICAL_UNIT).srb_status,
                1
            );
            let ended: Vec<_> = requests
                .into_iter()
                .map(|sent| sent.wait().srb_status)
                .collect();
            assert_eq!(ended, [0x0E, 0x02, 0x0E]);
        })
        .expect("no bug check");
}

#[test]
fn the_port_gives_its_own_sense_buffer_where_it_may() {
    let ((), report) = World::without_filter()
        .hba(Hba::unlimited().own_sense_buffer(true))
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            let cdb = read_write_cdb(Direction::Read, 0, 1, 10);
            for flags in [SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, 0] {
                stack.port().fault(Fault::new(Kind::MediumError));
                let done = stack
                    .scsi(&cdb)
                    .buffer(&buffer)
                    .with_flags(flags)
                    .send()
                    .wait();
                assert_eq!(done.sense.expect("sense")[2], 3);
                assert_eq!(done.flags & 0x400 != 0, flags != 0, "FREE_SENSE_BUFFER");
            }
        })
        .expect("no bug check");
    assert_eq!(report.sense_buffers_left, 0);
}

#[test]
fn a_unit_is_claimed_once() {
    World::without_filter()
        .run(|stack| {
            assert_eq!(function(stack, SRB_FUNCTION_CLAIM_DEVICE).srb_status, 1);
            let again = function(stack, SRB_FUNCTION_CLAIM_DEVICE);
            assert_eq!(
                (again.srb_status, again.irp.status),
                (0x05, STATUS_DEVICE_BUSY)
            );
            assert_eq!(function(stack, SRB_FUNCTION_RELEASE_DEVICE).srb_status, 1);
            assert_eq!(function(stack, SRB_FUNCTION_CLAIM_DEVICE).srb_status, 1);
        })
        .expect("no bug check");
}

/// Miri takes its time.
const REQUESTS: u64 = if cfg!(miri) { 299 } else { 3000 };

#[test]
fn a_mix_of_everything_strikes_with_every_kind() {
    let ((), report) = World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Later(10..500)))
        .run(|stack| {
            stack.port().fault_mix(FaultMix::new().everything(0.02));
            let buffer = stack.buffer(4096, 0);
            for lba in 0..REQUESTS {
                read_at(stack, &buffer, lba).wait();
            }
        })
        .expect("no bug check");
    for (kind, count) in report.faults.iter().filter(|(kind, _)| *kind != Kind::Hang) {
        assert!(count > REQUESTS / 150, "{kind:?} struck {count} times");
    }
    assert_eq!(report.faults.of(Kind::Hang), 0);
}
