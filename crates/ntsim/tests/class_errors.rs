//! What the class driver makes of requests that fail below it: which it sends again and when, what
//! it tells the client, and what it does for the port.

use ntsim::World;
use ntsim::abi::{
    NTSTATUS, SL_OVERRIDE_VERIFY_VOLUME, SRB_FLAGS_DISABLE_DISCONNECT, SRB_FLAGS_NO_QUEUE_FREEZE,
    SRB_FLAGS_QUEUE_ACTION_ENABLE, STATUS_DATA_OVERRUN, STATUS_DEVICE_DATA_ERROR,
    STATUS_DEVICE_HARDWARE_ERROR, STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT,
    STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS, STATUS_VERIFY_REQUIRED,
};
use ntsim::class::{self, Options};
use ntsim::port::{Completion, Disk, Fault, FaultMix, Hba, Kind};
use ntsim::world::{Done, Stack, StackKind};

/// Units of 100 ns in a second.
const SECOND: u64 = 10_000_000;

fn world() -> World {
    World::without_filter().stack(StackKind::Disk)
}

fn removable() -> World {
    world().disk(Disk::memory(1 << 17, 512).removable(true))
}

/// One READ of 4 KiB, and how long it took.
fn read(stack: &Stack) -> (Done, u64) {
    let buffer = stack.buffer(4096, 0);
    let before = stack.machine().now();
    let done = stack.read(0, &buffer).send().wait();
    (done, stack.machine().now() - before)
}

/// Kind, the status after all attempts, attempts, and seconds between two of them.
type Row = (Kind, NTSTATUS, u64, u64);

/// What a fixed disk's requests get from the tables of `ClassInterpretSenseInfo`.
const ROWS: [Row; 22] = [
    (Kind::Busy, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::QueueFull, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::BusReset, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::Timeout, STATUS_IO_TIMEOUT, 5, 1),
    (Kind::Aborted, STATUS_IO_TIMEOUT, 5, 1),
    (Kind::MediumError, STATUS_DEVICE_DATA_ERROR, 1, 0),
    (Kind::HardwareError, STATUS_DEVICE_HARDWARE_ERROR, 1, 0),
    (Kind::Frozen, STATUS_DEVICE_HARDWARE_ERROR, 1, 0),
    (Kind::RecoveredError, STATUS_SUCCESS, 1, 0),
    (Kind::UnitAttention, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::MediumChanged, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::VerifyRequired, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::NotReady, STATUS_DEVICE_NOT_READY, 5, 10),
    (Kind::AbortedCommand, STATUS_IO_DEVICE_ERROR, 5, 1),
    (Kind::NoResourcesIrp, STATUS_IO_DEVICE_ERROR, 5, 1),
    (Kind::NoResourcesSrb, STATUS_IO_DEVICE_ERROR, 5, 0),
    (Kind::SelectionTimeout, STATUS_DEVICE_NOT_CONNECTED, 1, 0),
    (Kind::NoDevice, STATUS_NO_SUCH_DEVICE, 1, 0),
    (Kind::DataOverrun, STATUS_DATA_OVERRUN, 5, 0),
    (Kind::ParityError, STATUS_IO_DEVICE_ERROR, 5, 1),
    (Kind::Flushed, STATUS_IO_DEVICE_ERROR, 5, 0),
    // One attempt, whose page is then sent by itself.
    (Kind::NoResourcesSystem, STATUS_INSUFFICIENT_RESOURCES, 2, 0),
];

#[test]
fn every_error_is_retried_as_often_and_as_late_as_the_tables_say() {
    for (kind, status, attempts, seconds) in ROWS {
        world()
            .hba(Hba::unlimited().extended_srb(attempts == 5))
            .run(|stack| {
                stack.port().fault(Fault::new(kind).always());
                let (done, time) = read(stack);
                assert_eq!(done.status, status, "{kind:?}");
                assert_eq!(done.completions, 1);
                let counts = stack.class_counts();
                assert_eq!(counts.packets, attempts, "{kind:?}");
                let waited = (attempts - 1) * seconds * SECOND;
                let within = waited..=waited + SECOND / 10;
                assert!(within.contains(&time), "{kind:?} took {time}");
                let failed = u64::from(status != STATUS_SUCCESS);
                assert_eq!(counts.failed, failed, "{kind:?}");
            })
            .expect("no bug check");
    }
}

#[test]
fn what_succeeds_at_the_second_attempt_succeeds() {
    for (kind, _, attempts, _) in ROWS {
        if attempts == 1 {
            continue;
        }
        let ((), report) = world()
            .hba(Hba::unlimited().extended_srb(true))
            .run(|stack| {
                stack.disk().poke(0, &[7; 4096]);
                stack.port().fault(Fault::new(kind));
                let buffer = stack.buffer(4096, 0);
                let done = stack.read(0, &buffer).send().wait();
                assert_eq!((done.status, done.information), (STATUS_SUCCESS, 4096));
                assert!(buffer.bytes().iter().all(|&byte| byte == 7), "{kind:?}");
                assert_eq!(stack.class_counts().packets, 2, "{kind:?}");
            })
            .expect("no bug check");
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn retries_are_as_many_as_the_options_say_and_nothing_of_the_last_attempt_is_left() {
    for (retries, extended) in [(0, false), (1, true), (8, false), (8, true)] {
        let options = Options {
            retries,
            ..Options::default()
        };
        let ((), report) = world()
            .class_options(options)
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                stack.port().fault(Fault::new(Kind::QueueFull).always());
                read(stack);
                let transfers = stack.port().transfers();
                assert_eq!(transfers.len() as u32, retries + 1);
                assert!(transfers.iter().all(|at| at.bytes == 4096));
                // The last attempt goes without tags.
                let flags: Vec<_> = transfers.iter().map(|at| at.srb_flags).collect();
                let tagged = |flags: u32| flags & SRB_FLAGS_QUEUE_ACTION_ENABLE != 0;
                let (last, before) = flags.split_last().expect("one at least");
                assert!(before.iter().all(|&flags| tagged(flags)));
                assert_eq!(tagged(*last), retries == 0);
                assert_eq!(last & SRB_FLAGS_DISABLE_DISCONNECT != 0, retries != 0);
            })
            .expect("no bug check");
        // Such as a port's context that is sent again.
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn a_recovered_piece_counts_as_moved_next_to_others() {
    world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            stack.port().fault(Fault::new(Kind::RecoveredError).nth(1));
            let buffer = stack.buffer(32768, 0);
            buffer.fill(9);
            let done = stack.write(0, &buffer).send().wait();
            assert_eq!((done.status, done.information), (STATUS_SUCCESS, 32768));
            let counts = stack.class_counts();
            assert_eq!((counts.recovered, counts.retries), (1, 0));
            let mut bytes = vec![0; 32768];
            stack.disk().peek(0, &mut bytes);
            assert!(bytes.iter().all(|&byte| byte == 9));
        })
        .expect("no bug check");
}

#[test]
fn a_failed_piece_fails_the_request_whichever_comes_last() {
    for bad in 0..4 {
        for completion in [Completion::Inline, Completion::Later(1..500)] {
            world()
                .hba(
                    Hba::unlimited()
                        .limits(8192, 3)
                        .completion(completion.clone()),
                )
                .run(|stack| {
                    let at = Fault::new(Kind::MediumError).at_lba(bad * 16).always();
                    stack.port().fault(at);
                    let buffer = stack.buffer(32768, 0);
                    let done = stack.write(0, &buffer).send().wait();
                    assert_eq!(done.status, STATUS_DEVICE_DATA_ERROR);
                    // The sum of what did move is left as it is.
                    assert_eq!(done.information, 32768 - 8192);
                    assert_eq!(stack.class_counts().failed, 1);
                })
                .expect("no bug check");
        }
    }
}

#[test]
fn a_frozen_queue_is_released_by_the_class_on_a_removable_disk_flushed() {
    for extended in [false, true] {
        removable()
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                stack.port().fault(Fault::new(Kind::QueueFull));
                let (done, _) = read(stack);
                assert_eq!(done.status, STATUS_SUCCESS);
                assert!(!stack.port().is_frozen());
                assert_eq!(stack.port().counts().freezes, 1);
                assert_eq!(stack.class_counts().releases, 1);
                let function = |wanted: u8| {
                    let records = stack.port().records();
                    let of = |record: &&ntsim::port::PortRecord| {
                        record.srb_function == Some(wanted) && record.extended == extended
                    };
                    records.iter().filter(of).count()
                };
                assert_eq!((function(0x15), function(4)), (1, 0), "FLUSH_QUEUE");
            })
            .expect("no bug check");
    }
}

#[test]
fn a_fixed_disk_that_lost_no_queue_freeze_has_its_queue_released() {
    world()
        .run(|stack| {
            // Four errors that count against the device, and no more parallel requests.
            stack.port().fault(Fault::new(Kind::ParityError).times(4));
            assert_eq!(read(stack).0.status, STATUS_SUCCESS);
            read(stack);
            let flags = stack.port().transfers().last().expect("sent").srb_flags;
            let gone = SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE;
            assert_eq!(flags & gone, 0);
            stack.port().fault(Fault::new(Kind::QueueFull));
            assert_eq!(read(stack).0.status, STATUS_SUCCESS);
            assert_eq!(stack.class_counts().releases, 1);
            assert_eq!(stack.port().counts().releases, 1);
            // Sixteen good requests make up for an error; three there have been.
            for _ in 3..16 {
                read(stack);
            }
            let flags = stack.port().transfers().last().expect("sent").srb_flags;
            assert_eq!(
                flags & gone,
                0,
                "the sixteenth was made before it succeeded"
            );
            read(stack);
            let flags = stack.port().transfers().last().expect("sent").srb_flags;
            assert_eq!(flags & gone, gone);
        })
        .expect("no bug check");
}

#[test]
fn freezes_that_come_together_are_released_with_one_request_at_a_time() {
    let ((), report) = removable()
        .hba(
            Hba::unlimited()
                .limits(8192, 3)
                .queue_depth(8)
                .completion(Completion::Later(10..20)),
        )
        .run(|stack| {
            stack.port().fault(Fault::new(Kind::QueueFull).times(3));
            let buffer = stack.buffer(65536, 0);
            let done = stack.read(0, &buffer).send().wait();
            assert_eq!((done.status, done.information), (STATUS_SUCCESS, 65536));
            stack.idle();
            assert!(!stack.port().is_frozen());
            let releases = stack.class_counts().releases;
            assert!((1..=3).contains(&releases), "{releases}");
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn a_changed_medium_is_verified_before_anything_else_is_sent() {
    removable()
        .run(|stack| {
            stack.port().fault(Fault::new(Kind::MediumChanged));
            assert_eq!(read(stack).0.status, STATUS_VERIFY_REQUIRED);
            let counts = stack.class_counts();
            assert_eq!((counts.packets, counts.verifies), (1, 1));
            assert_eq!(read(stack).0.status, STATUS_VERIFY_REQUIRED);
            assert_eq!(stack.class_counts().packets, 1, "refused by the class");
            // The file system looks at the medium itself.
            let buffer = stack.buffer(4096, 0);
            let looking = stack.read(0, &buffer).flags(SL_OVERRIDE_VERIFY_VOLUME);
            assert_eq!(looking.send().wait().status, STATUS_SUCCESS);
            // While it does, another attention is an error like others.
            stack.port().fault(Fault::new(Kind::MediumChanged));
            let looking = stack.read(0, &buffer).flags(SL_OVERRIDE_VERIFY_VOLUME);
            assert_eq!(looking.send().wait().status, STATUS_SUCCESS);
            assert!(class::volume_verified(stack.machine()));
            assert_eq!(read(stack).0.status, STATUS_SUCCESS);
        })
        .expect("no bug check");
}

#[test]
fn a_sense_buffer_of_the_ports_is_freed_at_every_end_of_a_packet() {
    for extended in [false, true] {
        let ((), report) = world()
            .hba(
                Hba::unlimited()
                    .limits(8192, 3)
                    .own_sense_buffer(true)
                    .extended_srb(extended),
            )
            .run(|stack| {
                let buffer = stack.buffer(32768, 0);
                for kind in [
                    Kind::MediumError,
                    Kind::RecoveredError,
                    Kind::UnitAttention,
                    Kind::AbortedCommand,
                ] {
                    stack.port().fault(Fault::new(kind).times(3));
                    stack.read(0, &buffer).send().wait();
                }
                assert_eq!(stack.port().sense_buffers_left(), 0);
            })
            .expect("no bug check");
        assert_eq!(report.sense_buffers_left, 0);
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn no_resources_below_means_page_by_page_for_that_piece_alone() {
    let ((), report) = world()
        .hba(Hba::unlimited().limits(16384, 5))
        .run(|stack| {
            let first = Fault::new(Kind::NoResourcesSystem).at_lba(40).times(1);
            stack.port().fault(first);
            let buffer = stack.buffer(49152, 512);
            buffer.fill_with(|index| (index % 253) as u8);
            let done = stack.write(0, &buffer).send().wait();
            assert_eq!((done.status, done.information), (STATUS_SUCCESS, 49152));
            let counts = stack.class_counts();
            assert_eq!((counts.low_memory, counts.retries), (1, 0));
            let mut bytes = vec![0; 49152];
            stack.disk().peek(0, &mut bytes);
            assert_eq!(bytes, buffer.bytes());
            let transfers = stack.port().transfers();
            let (whole, parts): (Vec<_>, Vec<_>) =
                transfers.iter().partition(|at| at.bytes == 16384);
            assert_eq!(whole.len(), 3);
            let sizes: Vec<_> = parts.iter().map(|at| (at.lba, at.bytes)).collect();
            let expected = [(32, 3584), (39, 4096), (47, 4096), (55, 4096), (63, 512)];
            assert_eq!(sizes, expected);
            assert!(parts.iter().all(|at| at.span_pages == 1));
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn too_few_packets_mean_one_and_none_means_waiting() {
    for clock in [
        ntsim::Clock::Deterministic { seed: 5 },
        ntsim::Clock::Threads {
            processors: 2,
            seed: 5,
        },
    ] {
        let options = Options {
            packets: 2,
            low_memory: true,
            ..Options::default()
        };
        let ((), report) = world()
            .clock(clock)
            .class_options(options)
            .hba(
                Hba::unlimited()
                    .limits(8192, 3)
                    .completion(Completion::Mixed(50, 10..100)),
            )
            .run(|stack| {
                let buffers: Vec<_> = (0..12_u8)
                    .map(|byte| {
                        let buffer = stack.buffer(24576, 512 * (usize::from(byte) % 3));
                        buffer.fill(byte + 1);
                        buffer
                    })
                    .collect();
                let sent: Vec<_> = buffers
                    .iter()
                    .zip(0..)
                    .map(|(buffer, index)| stack.write(index * 32768, buffer).send())
                    .collect();
                for pending in sent {
                    let done = pending.wait();
                    assert_eq!((done.status, done.information), (STATUS_SUCCESS, 24576));
                }
                for (buffer, index) in buffers.iter().zip(0..) {
                    let mut bytes = vec![0; 24576];
                    stack.disk().peek(index * 32768, &mut bytes);
                    assert_eq!(bytes, buffer.bytes());
                }
                let counts = stack.class_counts();
                assert_eq!(counts.low_memory, 12, "each needs three packets");
                assert_eq!(counts.largest, 4096);
            })
            .expect("no bug check");
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn a_timeout_is_retried_after_the_port_gave_up() {
    world()
        .run(|stack| {
            stack.port().fault(Fault::new(Kind::Hang));
            let (done, time) = read(stack);
            assert_eq!(done.status, STATUS_SUCCESS);
            let waited = 11 * SECOND;
            assert!((waited..waited + SECOND / 10).contains(&time), "{time}");
        })
        .expect("no bug check");
}

#[test]
fn whatever_goes_wrong_success_means_every_byte_and_nothing_is_left() {
    let seeds = if cfg!(miri) { 1 } else { 12 };
    for seed in 0..seeds {
        let threads = ntsim::Clock::Threads {
            processors: 2,
            seed,
        };
        let clocks = [ntsim::Clock::Deterministic { seed }, threads];
        let removable = seed % 3 == 2;
        for clock in clocks {
            let options = Options {
                packets: 3,
                low_memory: seed % 2 == 1,
                ..Options::default()
            };
            let ((), report) = world()
                .clock(clock)
                .disk(Disk::memory(1 << 17, 512).removable(removable))
                .class_options(options)
                .hba(
                    Hba::unlimited()
                        .limits(16384, 5)
                        .extended_srb(seed % 2 == 0)
                        .own_sense_buffer(true)
                        .maps_mdl(true)
                        .queue_depth(4)
                        .completion(Completion::Mixed(40, 10..300)),
                )
                .run(|stack| weather(stack, removable))
                .expect("no bug check");
            assert_eq!(report.sent, report.finished);
            assert_eq!(report.sense_buffers_left, 0);
            assert!(report.violations.is_empty(), "{:?}", report.violations);
        }
    }
}

/// Writes and reads back in bad weather.
fn weather(stack: &Stack, removable: bool) {
    let mix = FaultMix::new().everything(0.01);
    stack.port().fault_mix(mix);
    let rounds = if cfg!(miri) { 2 } else { 12 };
    for round in 0..rounds {
        let buffers: Vec<_> = (0..4_u8)
            .map(|byte| {
                let buffer = stack.buffer_contiguous(50_176, 512 * usize::from(byte));
                buffer.fill(byte + round * 4 + 1);
                buffer
            })
            .collect();
        let place = |index: u64| index * 65536;
        let sent: Vec<_> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, index)| stack.write(place(index), buffer).send())
            .collect();
        for ((pending, buffer), index) in sent.into_iter().zip(&buffers).zip(0..) {
            let done = pending.wait();
            assert_eq!(done.completions, 1);
            // A piece that moved less than it was asked to makes the sum less.
            if done.succeeded() && done.information == 50_176 {
                let mut bytes = vec![0; 50_176];
                stack.disk().peek(place(index), &mut bytes);
                assert!(bytes == buffer.bytes(), "written, and not there");
            }
        }
        if removable {
            class::volume_verified(stack.machine());
        }
    }
}
