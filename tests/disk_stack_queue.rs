//! Under the disk class driver: frozen queues, a class driver that has lost confidence, ports with
//! odd habits, and several processors.

mod common;

use common::{BOTH, Exchange, adapter, assert_success, check, moves, run, run_unchecked, world};
use ntsim::abi::{SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE};
use ntsim::machine::{self, AllocationKind};
use ntsim::port::{Completion, Direction, Disk, Fault, Hba, Kind};
use ntsim::world::StackKind;
use ntsim::{Clock, Stack, World};

const PIECE: usize = 0x4000;
const BLOCKS: u64 = 32;

/// The class driver sends whole requests, and the engine splits.
fn disk(hba: Hba) -> World {
    world()
        .stack(StackKind::Disk)
        .hba(hba)
        .setting("Advertise", 2)
}

fn small() -> Hba {
    adapter(PIECE, 5).completion(Completion::Later(10..500))
}

#[test]
fn a_queue_that_a_piece_froze_is_released_by_the_class_driver_alone() {
    // Removable: the class driver wants the queue to stop at an error, before anything else moves.
    for direction in BOTH {
        for piece in 0..4_u64 {
            let medium = Disk::memory(1 << 17, 512).removable(true);
            let ((), report) = run(disk(small()).disk(medium), |stack| {
                let fault = Fault::new(Kind::HardwareError).at_lba(piece * BLOCKS);
                stack.port().fault(fault);
                let exchange = Exchange::new(stack, direction, 0, 4 * PIECE, 0, 1);
                assert!(!exchange.transfer(stack).send().wait().succeeded());
                check(
                    piece,
                    &stack.port().transfers().len(),
                    &(piece as usize + 1),
                );
                assert!(!stack.port().is_frozen(), "somebody let it go on");
                moves(
                    stack,
                    &Exchange::new(stack, direction, 1 << 20, 4 * PIECE, 0, 2),
                );
            });
            let class = report.class.expect("there is a class driver");
            assert_eq!((report.port.freezes, class.releases), (1, 1));
            assert!(
                report.port.releases <= class.releases,
                "no release but its own"
            );
            assert_eq!(report.port.in_flight_peak, 1);
        }
    }
}

#[test]
fn fixed_disks_do_not_freeze_and_move_pieces_side_by_side() {
    for piece in 0..4_u64 {
        let ((), report) = run(disk(small()), |stack| {
            let fault = Fault::new(Kind::HardwareError).at_lba(piece * BLOCKS);
            stack.port().fault(fault);
            let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1);
            assert!(!exchange.transfer(stack).send().wait().succeeded());
        });
        let class = report.class.expect("there is a class driver");
        check(piece, &(report.port.freezes, class.releases), &(0, 0));
        assert_eq!(report.port.in_flight_peak, 4);
    }
}

#[test]
fn a_class_driver_that_has_lost_confidence_gets_one_piece_at_a_time() {
    // After a few errors of some kinds it sends without tags and lets the queue freeze.
    let both = SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE;
    let ((), report) = run(disk(small()).setting("Window", 4), |stack| {
        let port = stack.port();
        port.fault(Fault::new(Kind::Aborted).at_lba(0).times(4));
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 1),
        );
        port.forget_records();
        port.hold(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 6 * PIECE, 0, 2);
        let pending = exchange.transfer(stack).send();
        for _ in 0..6 {
            assert_eq!(port.held().len(), 1);
            port.complete_next(0);
        }
        assert_success(&pending.wait(), 6 * PIECE);
        for record in port.transfers() {
            assert_ne!(record.srb_flags & both, both, "{record:?}");
        }
        // Confidence comes back with success.
        port.hold(false);
        for round in 0..64 {
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, PIECE, 0, round),
            );
        }
        port.forget_records();
        port.hold(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 6 * PIECE, 0, 2);
        let pending = exchange.transfer(stack).send();
        assert_eq!(port.held().len(), 4);
        port.hold(false);
        port.complete_all();
        assert_success(&pending.wait(), 6 * PIECE);
    });
    let class = report.class.expect("there is a class driver");
    assert_eq!((class.retries, class.failed), (4, 0));
}

#[test]
fn ports_with_odd_habits() {
    type Habit = fn(Hba) -> Hba;
    let habits: [Habit; 6] = [
        |hba| hba,
        |hba| hba.own_sense_buffer(true),
        |hba| hba.always_pending(false),
        |hba| hba.reports_residual(false),
        |hba| hba.reset_on_timeout(true),
        |hba| hba.maps_mdl(true),
    ];
    for (number, habit) in habits.into_iter().enumerate() {
        for extended in [false, true] {
            for inline in [false, true] {
                let mut hba = habit(small()).extended_srb(extended);
                if inline {
                    hba = hba.completion(Completion::Inline);
                }
                let ((), report) = run(disk(hba), |stack| {
                    for kind in [Kind::Busy, Kind::RecoveredError, Kind::AbortedCommand] {
                        stack.port().fault(Fault::new(kind).at_lba(BLOCKS + 3));
                        for direction in BOTH {
                            moves(
                                stack,
                                &Exchange::new(stack, direction, 0, 6 * PIECE, 512, 3),
                            );
                        }
                    }
                    stack.port().fault(Fault::new(Kind::MediumError).at_lba(40));
                    let exchange = Exchange::new(stack, Direction::Read, 0, 6 * PIECE, 0, 4);
                    assert!(!exchange.transfer(stack).send().wait().succeeded());
                });
                check((number, extended), &report.sense_buffers_left, &0);
            }
        }
    }
}

#[test]
fn without_memory_for_the_engine_nobody_is_told_anything() {
    let world = disk(adapter(PIECE, 5)).prepare(|_| {
        machine::with(|machine| {
            machine.fail_allocations(Some(Box::new(|request| {
                request.kind == AllocationKind::Mdl
            })));
        });
    });
    let ((), report) = run_unchecked(world, |stack| {
        stack.machine().fail_allocations(None);
        let facts = stack.class_facts().expect("the disk has started");
        assert_eq!(facts.maximum_transfer_length, PIECE as u32);
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, 8 * PIECE, 0, 1),
        );
    });
    assert!(report.port.largest_bytes <= PIECE as u32);
    assert_eq!(common::logged(&report, "no memory").len(), 1);
}

/// Four senders at a time, with every byte looked at.
fn under_load(stack: &Stack, rounds: u64) {
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            stack.spawn("sender", move |stack| {
                for round in 0..rounds {
                    let direction = BOTH[(round % 2) as usize];
                    let length = (1 + (thread + round) % 9) as usize * PIECE + 512;
                    let offset = thread << 20;
                    moves(
                        stack,
                        &Exchange::new(stack, direction, offset, length, 512, round),
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join();
    }
}

#[test]
fn on_real_processors() {
    for seed in 0..3 {
        for advertise in [0, 1, 2] {
            let hba = adapter(PIECE, 5).completion(Completion::Later(0..300));
            let clock = Clock::Threads {
                processors: 4,
                seed,
            };
            let world = disk(hba)
                .clock(clock)
                .setting("MaximumTransferLength", 0x2000)
                .setting("Advertise", advertise)
                .setting("Pieces", 6);
            let ((), report) = run(world, |stack| under_load(stack, 20));
            assert!(report.port.largest_bytes <= 0x2000);
        }
    }
}

#[test]
fn above_the_class_driver_on_real_processors() {
    for seed in 0..3 {
        let world = world()
            .stack(StackKind::Relay)
            .clock(Clock::Threads {
                processors: 4,
                seed,
            })
            .hba(adapter(PIECE, 5).completion(Completion::Later(0..300)))
            .setting("Pieces", 6);
        run(world, |stack| under_load(stack, 20));
    }
}
