//! The harness: requests and their completion, buffers, clocks, and what an adapter that lies does
//! to somebody who believes it.

use ntsim::abi::{SRB_FUNCTION_LOCK_QUEUE, SRB_FUNCTION_UNLOCK_QUEUE};
use ntsim::port::{Completion, Direction, Disk, FaultMix, Hba, Kind, OnViolation, Rng, Violation};
use ntsim::world::{Sender, read_write_cdb};
use ntsim::{Clock, Pending, World};

#[test]
fn an_adapter_that_lies_fails_who_believes_it() {
    let oversize = |sender| {
        World::without_filter()
            .hba(Hba::profile("vhost-2mib"))
            .sender(sender)
            .run(|stack| {
                let buffer = stack.buffer(4 << 20, 0);
                let done = stack.write(0, &buffer).send().wait();
                (
                    done.succeeded(),
                    stack.port().counts().violations_of(Violation::Bytes),
                )
            })
            .expect("no bug check")
            .0
    };
    assert_eq!(oversize(Sender::OneToOne), (false, 1));
    assert_eq!(
        oversize(Sender::Obedient),
        (false, 1),
        "its descriptor says 4 MiB"
    );
}

#[test]
fn who_obeys_an_honest_adapter_is_served() {
    for name in [
        "ahci",
        "tiny",
        "one-sector",
        "ragged-65535",
        "one-page",
        "map-registers-5",
    ] {
        World::without_filter()
            .hba(Hba::profile(name))
            .sender(Sender::Obedient)
            .run(|stack| {
                let buffer = stack.buffer(200 * 512, 0);
                buffer.fill_with(|index| (index % 253) as u8);
                let done = stack.write(5 * 512, &buffer).send().wait();
                assert_eq!((done.status, done.information), (0, 200 * 512), "{name}");
                let mut there = vec![0; 200 * 512];
                stack.disk().peek(5 * 512, &mut there);
                assert_eq!(there, buffer.bytes());
                assert!(stack.port().violations().is_empty(), "{name}");
            })
            .expect("no bug check");
    }
}

#[test]
fn held_requests_complete_in_the_order_that_the_test_chooses() {
    World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Held))
        .run(|stack| {
            let buffers: Vec<_> = (0..3).map(|_| stack.buffer(512, 0)).collect();
            let requests: Vec<_> = buffers
                .iter()
                .zip(0_u64..)
                .map(|(buffer, lba)| stack.read(lba * 512, buffer).send())
                .collect();
            let done = || requests.iter().map(Pending::is_done).collect::<Vec<_>>();
            assert!(stack.port().complete_next(1));
            assert_eq!(done(), [false, true, false]);
            assert!(stack.port().complete_with(1, Kind::MediumError));
            assert_eq!(done(), [false, true, true]);
            assert_eq!(stack.port().held().len(), 1);
            assert!(stack.port().complete_next(0));
            assert!(!stack.port().complete_next(0));
            let ok: Vec<_> = requests
                .into_iter()
                .map(|request| request.wait().succeeded())
                .collect();
            assert_eq!(ok, [true, true, false]);
        })
        .expect("no bug check");
}

#[test]
fn requests_come_back_out_of_order_and_all_of_them() {
    World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Later(10..1000)))
        .run(|stack| {
            let buffers: Vec<_> = (0..16).map(|_| stack.buffer(512, 0)).collect();
            let requests: Vec<_> = buffers
                .iter()
                .map(|buffer| stack.read(0, buffer).send())
                .collect();
            for request in requests {
                let done = request.wait();
                assert!(done.succeeded() && done.pending_returned);
                assert_eq!(done.completions, 1);
            }
            let ends: Vec<_> = stack
                .port()
                .transfers()
                .iter()
                .map(|record| record.completed_at)
                .collect();
            assert!(!ends.is_sorted(), "{ends:?}");
            assert_eq!(stack.port().counts().in_flight_peak, 16);
        })
        .expect("no bug check");
}

#[test]
fn a_busy_adapter_lets_the_rest_wait() {
    World::without_filter()
        .hba(
            Hba::unlimited()
                .queue_depth(2)
                .completion(Completion::Later(100..101)),
        )
        .run(|stack| {
            let buffers: Vec<_> = (0..6).map(|_| stack.buffer(512, 0)).collect();
            let requests: Vec<_> = buffers
                .iter()
                .map(|buffer| stack.read(0, buffer).send())
                .collect();
            assert!(
                requests
                    .into_iter()
                    .all(|request| request.wait().succeeded())
            );
            let counts = stack.port().counts();
            assert_eq!((counts.in_flight_peak, counts.queued), (2, 4));
            assert_eq!(counts.bytes_in_flight_peak, 1024);
        })
        .expect("no bug check");
}

#[test]
fn a_thousand_held_requests_that_end_inline_need_no_more_stack_than_one() {
    let stack_for = |count: usize| {
        World::without_filter()
            .run(move |stack| {
                let buffer = stack.buffer(512, 0);
                stack.srb_function(SRB_FUNCTION_LOCK_QUEUE).send().wait();
                let cdb = read_write_cdb(Direction::Read, 0, 1, 10);
                let waiting: Vec<_> = (0..count)
                    .map(|_| stack.scsi(&cdb).buffer(&buffer).send())
                    .collect();
                stack.machine().reset_stack_high_water();
                stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
                assert!(
                    waiting
                        .into_iter()
                        .all(|request| request.wait().srb_status == 1)
                );
                stack.machine().stack_high_water()
            })
            .expect("no bug check")
            .0
    };
    let (one, many) = (stack_for(1), stack_for(1000));
    assert!(
        many <= one + 1024,
        "{one} bytes for one, {many} for a thousand"
    );
}

fn trace(seed: u64) -> (u64, u64) {
    let ((), report) = World::without_filter()
        .clock(Clock::Deterministic { seed })
        .hba(Hba::profile("virtio-scsi").completion(Completion::Mixed(30, 5..700)))
        .run(|stack| {
            stack.port().fault_mix(FaultMix::new().everything(0.01));
            let mut rng = Rng::new(99);
            let buffers: Vec<_> = (0..8).map(|_| stack.buffer(8192, 512)).collect();
            for _ in 0..40 {
                let requests: Vec<_> = buffers
                    .iter()
                    .map(|buffer| stack.write(rng.below(1000) * 512, buffer).send())
                    .collect();
                for request in requests {
                    request.wait();
                }
            }
        })
        .expect("no bug check");
    (report.trace_hash, report.elapsed)
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = trace(7);
    assert_eq!(first, trace(7));
    assert_ne!(first.0, trace(8).0);
}

#[test]
fn a_gigabyte_moves_through_a_few_host_pages() {
    const LENGTH: usize = 1 << 30;
    World::without_filter()
        .disk(Disk::pattern(3 << 20, 512, 4))
        .hba(Hba::profile("vhost-2mib").on_violation(OnViolation::Record))
        .sender(Sender::Obedient)
        .run(|stack| {
            let buffer = stack.buffer_pattern(LENGTH, 512, 4);
            assert_eq!(buffer.host_bytes(), 4 * 4096);
            stack.port().track_placement(true);
            let done = stack.read(8192, &buffer).send().wait();
            assert_eq!((done.status, done.information), (0, LENGTH as u64));
            assert!(buffer.matches_pattern(8192));
            let whole = buffer.placement(Direction::Read, 8192, LENGTH, 512);
            assert_eq!(stack.port().placement(), whole);
            assert!(stack.write(8192, &buffer).send().wait().succeeded());
            assert_eq!(stack.disk().mismatched(), 0);
            assert_eq!(stack.port().counts().bytes_in_flight_peak, 4 << 20);
        })
        .expect("no bug check");
}

#[test]
fn the_placement_sum_sees_one_sector_in_the_wrong_place() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(8192, 512);
            stack.port().track_placement(true);
            for (lba, at) in [(0, 0), (8, 4096)] {
                stack.scsi_read(lba, 8, &buffer, at, 4096).send().wait();
            }
            let whole = buffer.placement(Direction::Read, 0, 8192, 512);
            assert_eq!(stack.port().placement(), whole);
            stack.port().track_placement(true);
            for (lba, at) in [(0, 0), (9, 4096)] {
                stack.scsi_read(lba, 8, &buffer, at, 4096).send().wait();
            }
            assert_ne!(stack.port().placement(), whole);
        })
        .expect("no bug check");
}

#[test]
fn real_threads_share_one_port() {
    let ((), report) = World::without_filter()
        .clock(Clock::Threads {
            processors: 2,
            seed: 5,
        })
        .disk(Disk::memory(4096, 512))
        .hba(Hba::profile("virtio-scsi").completion(Completion::Mixed(50, 1..50)))
        .run(|stack| {
            let threads: Vec<_> = (0..4_u64)
                .map(|index| {
                    stack.spawn("sender", move |stack| {
                        let (buffer, copy) = (stack.buffer(16384, 512), stack.buffer(16384, 0));
                        let base = index * 64 * 512;
                        for round in 0..50_u8 {
                            buffer.fill(round ^ index as u8);
                            assert!(stack.write(base, &buffer).send().wait().succeeded());
                            assert!(stack.read(base, &copy).send().wait().succeeded());
                            assert_eq!(copy.bytes(), buffer.bytes());
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join();
            }
        })
        .expect("no bug check");
    assert_eq!((report.sent, report.finished), (400, 400));
    assert_eq!((report.port.reads, report.port.writes), (200, 200));
}

#[test]
fn a_port_that_never_completes_is_a_hang_with_a_story() {
    let stopped = World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Held))
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            stack.read(0, &buffer).send().wait();
        })
        .expect_err("nobody completes the request");
    assert!(
        stopped.to_string().to_lowercase().contains("hang"),
        "{stopped}"
    );
}
