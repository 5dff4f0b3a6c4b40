//! The whole stack: the disk class driver above the filter, the filter above the port. What the
//! class driver was told decides who splits; nothing that the adapter cannot take ever reaches it.

mod common;

use common::{
    BOTH, Exchange, PAGE, Random, adapter, assert_success, check, moves, run, run_unchecked, world,
};
use ntsim::abi::STATUS_DEVICE_DATA_ERROR;
use ntsim::pnp::DevicePower;
use ntsim::port::{
    Completion, Direction, Disk, Fault, Hba, Kind, Limits, OnViolation, PortRecord, Violation,
};
use ntsim::world::StackKind;
use ntsim::{Clock, Stack, World};

const KIB: usize = 1024;

/// The driver where an installation puts it, with no settings at all.
fn disk() -> World {
    world().stack(StackKind::Disk)
}

/// The same stack without the driver.
fn without_filter() -> World {
    World::without_filter().stack(StackKind::Disk)
}

/// An adapter that says one thing and takes another.
fn liar(said: (u32, u32), takes: (u32, u32)) -> Hba {
    let limits = |(bytes, pages)| Limits {
        bytes,
        pages,
        alignment_mask: 0,
    };
    Hba::unlimited()
        .advertised(limits(said))
        .actual(limits(takes))
        .on_violation(OnViolation::Error)
}

/// READ and WRITE packets between class driver and filter so far.
fn packets(stack: &Stack) -> u64 {
    stack.class_counts().packets
}

fn at_port(stack: &Stack) -> u64 {
    let counts = stack.port().counts();
    counts.reads + counts.writes
}

/// Moves some requests of random size, place and alignment.
fn some_requests(stack: &Stack, random: &mut Random, count: u64, longest: u64) {
    for round in 0..count {
        let sector = u64::from(stack.sector());
        let blocks = 1 + random.below(longest / sector);
        let page_offset = random.below(8) * 512;
        let offset = random.below(1024) * sector;
        let direction = random.choose(&BOTH);
        moves(
            stack,
            &Exchange::new(
                stack,
                direction,
                offset,
                (blocks * sector) as usize,
                page_offset as usize,
                round,
            ),
        );
    }
}

#[test]
fn told_the_truth_the_class_driver_leaves_nothing_to_split() {
    let mut random = Random::new(11);
    for seed in 0..250 {
        let said = (
            random.choose(&[u32::MAX, 0x2_0000, 65_024, 65_535, 0x10_0000, 0x4_1000]),
            random.choose(&[u32::MAX, 16, 17, 33, 257, 0x10_0001]),
        );
        let bytes = random.choose(&[
            4096, 4608, 0x3E00, 0x8000, 65_024, 65_535, 0x1_0000, 0x1_8000,
        ]);
        let pages = 2 + random.below(40) as u32;
        let takes = (said.0.min(bytes), said.1.min(pages));
        let sector = random.choose(&[512, 512, 1024, 2048, 4096]);
        let world = disk()
            .clock(Clock::Deterministic { seed })
            .disk(Disk::memory((32 << 20) / u64::from(sector), sector))
            .hba(liar(said, takes).extended_srb(random.below(2) == 0))
            .setting("MaximumTransferLength", bytes)
            .setting("MaximumPhysicalPages", pages)
            .setting("Advertise", 1);
        let ((), report) = run(world, |stack| {
            let before = (packets(stack), at_port(stack));
            some_requests(stack, &mut random, 4, 300 * 1024);
            let packets = packets(stack) - before.0;
            // The filter passes on what it gets: one packet above, one below.
            check((seed, said, takes), &(at_port(stack) - before.1), &packets);
            let facts = stack.class_facts().expect("the disk has started");
            assert!(
                facts.maximum_transfer_length <= takes.0 && facts.maximum_physical_pages <= takes.1
            );
        });
        assert!(report.port.largest_bytes <= takes.0 && report.port.largest_pages <= takes.1);
    }
}

#[test]
fn without_the_filter_the_same_adapters_are_overrun() {
    // What the last test is about is not there by itself.
    let ((), report) = run_unchecked(
        without_filter().hba(liar((0x2_0000, 33), (0x8000, 9)).on_violation(OnViolation::Record)),
        |stack| {
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 256 * KIB, 512, 1),
            );
        },
    );
    assert!(report.port.violations_of(Violation::Bytes) > 0);
    // And an honest adapter by the class driver's own arithmetic: the bonus for a buffer that begins
    // a page makes its second packet touch a page more than its MDL has room for.
    let world = without_filter().hba(adapter(65_024, 16));
    let overrun = world.run(|stack| {
        let exchange = Exchange::new(stack, Direction::Write, 0, 256 * KIB, 0, 1);
        exchange.transfer(stack).send().wait()
    });
    let stopped = overrun.expect_err("classpnp builds a partial MDL that is too long");
    assert_eq!(stopped.code, 0x40, "TARGET_MDL_TOO_SMALL: {stopped}");
    // With the filter between them that tells it what is safe, the same disk works.
    let set = disk().hba(adapter(65_024, 16)).setting("Advertise", 1);
    run(set, |stack| {
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 256 * KIB, 0, 1),
        );
    });
}

#[test]
fn told_more_the_class_driver_sends_whole_requests_and_the_engine_splits() {
    for extended in [false, true] {
        for direction in BOTH {
            let world = disk()
                .hba(adapter(0x1_0000, 17).extended_srb(extended))
                .setting("Advertise", 2)
                .setting("AdvertisedTransferLength", 0x40_0000);
            let ((), report) = run(world, |stack| {
                for (blocks, page_offset, pieces) in [
                    (8192_u64, 0, 64_u64),
                    (8192, 512, 64),
                    (129, 0, 2),
                    (128, 512, 1),
                    (1, 0, 1),
                ] {
                    let before = (packets(stack), at_port(stack));
                    moves(
                        stack,
                        &Exchange::new(
                            stack,
                            direction,
                            4096,
                            blocks as usize * 512,
                            page_offset,
                            blocks,
                        ),
                    );
                    check((extended, blocks), &(packets(stack) - before.0), &1);
                    check((extended, blocks), &(at_port(stack) - before.1), &pieces);
                }
                assert_eq!(stack.class_counts().largest, 0x40_0000);
                assert_eq!(stack.class_counts().split, 0);
                let transfers = stack.port().transfers().into_iter();
                assert!(
                    transfers
                        .filter(|record| record.extended != extended)
                        .count()
                        == 0
                );
            });
            assert_eq!(report.port.largest_bytes, 0x1_0000);
        }
    }
}

#[test]
fn random_worlds_that_are_told_more() {
    let mut random = Random::new(12);
    for seed in 0..150 {
        let takes = (
            random.choose(&[4096, 4608, 0x3E00, 0x8000, 65_024, 65_535, 0x1_0000]),
            1 + random.below(20) as u32,
        );
        let later = Completion::Later(1..1 + random.below(2_000));
        let completion = random.below(2) == 0;
        let hba = adapter(takes.0 as usize, takes.1.max(2))
            .extended_srb(random.below(2) == 0)
            .completion(if completion {
                later
            } else {
                Completion::Inline
            });
        let world = disk()
            .clock(Clock::Deterministic { seed })
            .hba(hba)
            .setting("Advertise", 2)
            .setting("AdvertisedTransferLength", 4096 << random.below(11))
            .setting("Window", 1 + random.below(8) as u32);
        let ((), report) = run(world, |stack| {
            some_requests(stack, &mut random, 4, 400 * 1024);
        });
        assert!(report.port.largest_bytes <= takes.0);
        assert!(report.port.largest_pages <= takes.1.max(2));
    }
}

#[test]
fn where_blocks_have_numbers_of_more_than_32_bits() {
    const BLOCKS: u64 = 1 << 33;
    for extended in [false, true] {
        for first in [(1_u64 << 32) - 20, 1 << 32, BLOCKS - 512] {
            for direction in BOTH {
                let world = disk()
                    .disk(Disk::memory(BLOCKS, 512))
                    .hba(adapter(0x4000, 5).extended_srb(extended))
                    .setting("Advertise", 2);
                run(world, |stack| {
                    stack.port().forget_records();
                    let length = 256 * KIB;
                    moves(
                        stack,
                        &Exchange::new(stack, direction, first * 512, length, 0, first),
                    );
                    let records = stack.port().transfers();
                    check((extended, first), &records.len(), &16);
                    for (number, record) in records.iter().enumerate() {
                        assert_eq!(record.cdb_length, 16);
                        assert_eq!(record.lba, first + number as u64 * 32);
                        assert_eq!(record.extended, extended);
                    }
                });
            }
        }
    }
}

#[test]
fn told_what_the_adapter_says_the_class_driver_is_split_where_it_must() {
    let world = disk()
        .hba(adapter(0x2_0000, 33))
        .setting("Advertise", 0)
        .setting("MaximumTransferLength", 0x8000);
    let ((), report) = run(world, |stack| {
        let facts = stack.class_facts().expect("the disk has started");
        assert_eq!(facts.maximum_transfer_length, 0x2_0000);
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 512 * KIB, 0, 1),
        );
        assert_eq!((packets(stack), at_port(stack)), (4, 16));
    });
    assert_eq!(report.port.largest_bytes, 0x8000);
}

/// What the port saw of each transfer, without addresses and times.
fn without_places(records: &[PortRecord]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let seen = |record: &PortRecord| {
        let command = record.command().to_vec();
        let of_irp = (record.stack_flags, record.irp_flags, record.priority);
        let of_srb = (
            record.srb_flags,
            record.tag,
            record.timeout,
            record.extended,
        );
        let data = (
            record.bytes,
            record.page_offset,
            record.span_pages,
            record.mdls,
        );
        (command, of_irp, of_srb, data, record.outcome)
    };
    records.iter().map(seen).collect()
}

#[test]
fn an_honest_disk_without_settings_does_not_notice_the_filter() {
    for extended in [false, true] {
        let mut seen = Vec::new();
        let mut questions = Vec::new();
        for build in [disk, without_filter] {
            let hba = adapter(0x1_0000, 17).extended_srb(extended);
            let ((records, facts), _) = run(build().hba(hba), |stack| {
                stack.port().forget_records();
                let mut random = Random::new(3);
                some_requests(stack, &mut random, 40, 300 * 1024);
                let records = stack.port().transfers();
                (without_places(&records), stack.class_facts())
            });
            assert!(records.len() > 40);
            seen.push(records);
            questions.push(facts.expect("the disk has started"));
        }
        assert_eq!(
            seen[0], seen[1],
            "the same packets with and without the filter"
        );
        assert_eq!(
            questions[0], questions[1],
            "the class driver learned the same"
        );
    }
}

#[test]
fn no_command_of_the_filter_reaches_the_disk_but_inquiries() {
    // READ CAPACITY and TEST UNIT READY would eat a unit attention that is meant for the class.
    let asked = |build: fn() -> World, bus| {
        let hba = adapter(0x1_0000, 17).bus(bus);
        let world = build()
            .hba(hba)
            .disk(Disk::memory(1 << 16, 512).block_limits(64));
        let (opcodes, _) = run(world, |stack| {
            let records = stack.port().records().into_iter();
            let commands = records.filter(|record| record.cdb_length != 0);
            commands.map(|record| record.cdb[0]).collect::<Vec<_>>()
        });
        opcodes
    };
    for bus in [1, 7, 10, 11, 17] {
        let mut with = asked(disk, bus);
        let without = asked(without_filter, bus);
        with.retain(|&opcode| opcode != 0x12);
        let others = without.into_iter().filter(|&opcode| opcode != 0x12);
        check(bus, &with, &others.collect());
    }
}

#[test]
fn a_packet_that_meets_a_passing_fault_is_sent_again_whole() {
    for kind in [
        Kind::Busy,
        Kind::QueueFull,
        Kind::BusReset,
        Kind::UnitAttention,
        Kind::AbortedCommand,
        Kind::ParityError,
    ] {
        // 128 KiB in one packet, in four of two pieces each, in eight; the second piece fails once.
        for (advertise, packets, pieces, first) in [(2, 2, 10, 2), (0, 5, 10, 2), (1, 9, 9, 1)] {
            for direction in BOTH {
                let world = disk()
                    .hba(adapter(0x8000, 9))
                    .setting("MaximumTransferLength", 0x4000)
                    .setting("Advertise", advertise)
                    .setting("AdvertisedTransferLength", 0x2_0000)
                    .setting("Window", 1);
                let ((), report) = run(world, |stack| {
                    stack.port().forget_records();
                    stack.port().fault(Fault::new(kind).at_lba(0x6000 / 512));
                    moves(stack, &Exchange::new(stack, direction, 0, 0x2_0000, 0, 1));
                    let records = stack.port().transfers();
                    check((kind, advertise), &records.len(), &pieces);
                    let again = records.iter().filter(|record| record.lba == 0).count();
                    check((kind, advertise), &again, &first);
                });
                let class = report.class.expect("there is a class driver");
                check((kind, advertise), &class.retries, &1);
                assert_eq!(class.failed, 0);
                check((kind, advertise), &class.packets, &packets);
            }
        }
    }
}

#[test]
fn a_recovered_error_is_success_with_every_byte() {
    for piece in 0..8_u64 {
        for direction in BOTH {
            for window in [1, 4] {
                let world = disk()
                    .hba(adapter(0x4000, 5))
                    .setting("Advertise", 2)
                    .setting("Window", window);
                let ((), report) = run(world, |stack| {
                    let lba = piece * 32 + 3;
                    stack
                        .port()
                        .fault(Fault::new(Kind::RecoveredError).at_lba(lba));
                    moves(
                        stack,
                        &Exchange::new(stack, direction, 0, 0x2_0000, 0, piece),
                    );
                });
                let class = report.class.expect("there is a class driver");
                check((piece, window), &(class.recovered, class.retries), &(1, 0));
                check(piece, &(report.port.reads + report.port.writes), &8);
            }
        }
    }
}

#[test]
fn a_recovered_piece_hides_no_failure() {
    for (recovered, failed) in [(0, 5), (5, 0), (3, 4), (7, 6)] {
        let world = disk().hba(adapter(0x4000, 5)).setting("Advertise", 2);
        run(world, |stack| {
            let fault = |kind, piece: u64| Fault::new(kind).at_lba(piece * 32).always();
            stack.port().fault(fault(Kind::RecoveredError, recovered));
            stack.port().fault(fault(Kind::MediumError, failed));
            let exchange = Exchange::new(stack, Direction::Write, 0, 0x2_0000, 0, 1);
            let done = exchange.transfer(stack).send().wait();
            check((recovered, failed), &done.status, &STATUS_DEVICE_DATA_ERROR);
        });
    }
}

#[test]
fn a_medium_error_reaches_the_sender() {
    for advertise in [0, 1, 2] {
        for direction in BOTH {
            let world = disk()
                .hba(adapter(0x8000, 9))
                .setting("MaximumTransferLength", 0x4000)
                .setting("Advertise", advertise);
            let ((), report) = run(world, |stack| {
                let fault = Fault::new(Kind::MediumError).at_lba(99).always();
                stack.port().fault(fault);
                let exchange = Exchange::new(stack, direction, 0, 0x1_0000, 0, 2);
                let done = exchange.transfer(stack).send().wait();
                check(
                    (advertise, direction),
                    &done.status,
                    &STATUS_DEVICE_DATA_ERROR,
                );
                // The rest of the disk still works.
                moves(
                    stack,
                    &Exchange::new(stack, direction, 1 << 20, 0x1_0000, 0, 3),
                );
            });
            let class = report.class.expect("there is a class driver");
            check(advertise, &(class.failed, class.retries), &(1, 0));
        }
    }
}

#[test]
fn a_fault_that_stays_ends_after_the_class_drivers_retries_and_no_others() {
    let world = disk()
        .hba(adapter(0x4000, 5))
        .setting("Advertise", 2)
        .setting("Window", 1);
    let ((), report) = run(world, |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::Busy).at_lba(40).always());
        let exchange = Exchange::new(stack, Direction::Write, 0, 0x1_0000, 0, 2);
        assert!(!exchange.transfer(stack).send().wait().succeeded());
    });
    let class = report.class.expect("there is a class driver");
    assert_eq!(class.failed, 1);
    // Each attempt of the packet is one attempt of its second piece: budgets do not multiply.
    assert_eq!(report.port.writes, 2 * class.packets);
    assert_eq!(class.packets, class.retries + 1);
}

#[test]
fn no_resources_below_are_met_by_shorter_pieces() {
    for kind in [
        Kind::NoResourcesIrp,
        Kind::NoResourcesSystem,
        Kind::NoResourcesSrb,
    ] {
        let world = disk().hba(adapter(0x8000, 9)).setting("Advertise", 2);
        let ((), report) = run(world, |stack| {
            stack.port().fault(Fault::new(kind).at_lba(64).times(2));
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 0x1_0000, 0, 2),
            );
        });
        let class = report.class.expect("there is a class driver");
        check(kind, &(class.retries, class.failed), &(0, 0));
    }
}

/// Senders on `count` threads; each moves `rounds` requests and lets `judge` see how each ended.
fn senders(
    stack: &Stack,
    count: u64,
    rounds: u64,
    judge: fn(&ntsim::Done, bool),
) -> Vec<ntsim::machine::NtThread> {
    let sender = |thread: u64| {
        move |stack: &Stack| {
            for round in 0..rounds {
                let offset = thread * 0x20_0000;
                let seed = thread * 1000 + round;
                let direction = BOTH[(seed % 2) as usize];
                let exchange = Exchange::new(stack, direction, offset, 160 * KIB, 512, seed);
                let done = exchange.transfer(stack).send().wait();
                judge(&done, done.succeeded() && exchange.is_complete(stack));
            }
        }
    };
    (0..count)
        .map(|thread| stack.spawn("sender", sender(thread)))
        .collect()
}

fn all_is_well(done: &ntsim::Done, complete: bool) {
    assert_success(done, 160 * KIB);
    assert!(complete, "every byte in its place");
}

fn whole_or_failed(done: &ntsim::Done, complete: bool) {
    assert_eq!(done.completions, 1);
    assert!(complete || !done.succeeded(), "success means every byte");
}

fn slow(advertise: u32, seed: u64) -> World {
    let hba = adapter(0x4000, 5).completion(Completion::Later(100..2_000));
    disk()
        .hba(hba)
        .clock(Clock::Deterministic { seed })
        .setting("MaximumTransferLength", 0x2000)
        .setting("Advertise", advertise)
}

#[test]
fn asleep_and_awake_again_in_the_middle_of_transfers() {
    for seed in 0..20 {
        for advertise in [0, 1, 2] {
            let ((), report) = run(slow(advertise, seed), move |stack| {
                let threads = senders(stack, 3, 4, all_is_well);
                let buffer = stack.buffer(PAGE, 0);
                for _ in 0..3 {
                    let tick = stack.read(1 << 24, &buffer).send();
                    let _ = tick.wait_for(500 + seed * 13);
                    assert_eq!(stack.set_power(DevicePower::D3), 0);
                    assert_eq!(stack.set_power(DevicePower::D0), 0);
                    assert!(tick.wait().succeeded());
                }
                for thread in threads {
                    thread.join();
                }
            });
            let class = report.class.expect("there is a class driver");
            assert_eq!(class.failed, 0);
        }
    }
}

#[test]
fn pulled_out_in_the_middle_of_transfers() {
    for seed in 0..30 {
        for advertise in [0, 1, 2] {
            run(slow(advertise, seed), move |stack| {
                let threads = senders(stack, 3, 4, whole_or_failed);
                let buffer = stack.buffer(PAGE, 0);
                let tick = stack.read(1 << 24, &buffer).send();
                let _ = tick.wait_for(300 + seed * 211);
                stack.surprise_remove().expect("nobody may refuse");
                let _ = tick.wait();
                for thread in threads {
                    thread.join();
                }
            });
        }
    }
}

#[test]
fn stopped_and_started_again() {
    run(slow(2, 1), |stack| {
        for round in 0..3 {
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 96 * KIB, 0, round),
            );
            stack.stop().expect("the device can be stopped");
            stack.start().expect("the device can be started");
        }
        let facts = stack.class_facts().expect("the disk has started");
        assert_eq!(facts.maximum_transfer_length, 0x10_0000);
    });
}

#[test]
fn removed_while_the_class_driver_waits_to_send_a_packet_again() {
    for advertise in [0, 1, 2] {
        let world = slow(advertise, 3);
        let ((), report) = run(world, |stack| {
            stack
                .port()
                .fault(Fault::new(Kind::NotReady).at_lba(0).always());
            let exchange = Exchange::new(stack, Direction::Write, 0, 64 * KIB, 0, 1);
            let pending = exchange.transfer(stack).send();
            assert!(pending.wait_for(5_000).is_none(), "it waits for a retry");
            stack.remove().expect("the device can be removed");
            let done = pending.wait();
            assert!(!done.succeeded());
            assert_eq!(done.completions, 1);
        });
        let class = report.class.expect("there is a class driver");
        assert!(
            class.after_remove > 0,
            "a late packet met the filter: {class:?}"
        );
    }
}

#[test]
fn low_memory_in_the_class_driver() {
    // It then sends a page at a time; the filter has nothing to split and nothing to allocate.
    let options = ntsim::class::Options {
        low_memory: true,
        packets: 1,
        ..ntsim::class::Options::default()
    };
    for advertise in [0, 1, 2] {
        let world = disk()
            .class_options(options)
            .hba(adapter(0x8000, 9))
            .setting("MaximumTransferLength", 0x2000)
            .setting("Advertise", advertise);
        let ((), report) = run(world, |stack| {
            for direction in BOTH {
                moves(
                    stack,
                    &Exchange::new(stack, direction, 0, 0x1_0000, 512, advertise.into()),
                );
            }
        });
        assert!(report.port.largest_bytes <= 0x2000);
    }
}
