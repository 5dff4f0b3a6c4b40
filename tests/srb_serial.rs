//! A request whose sender wants order, or wants to look at an error before anything else is done, is
//! carried out one piece at a time and stops at its first failure. The queue that an error froze is
//! the sender's to release: its SRB says that it is frozen, and nobody else releases it.

mod common;

use common::block::{Block, HEAD_OF_QUEUE, ORDERED, SIMPLE, flag, srb_status, u8_at, u32_at};
use common::post::{Posted, Returned, post};
use common::{BOTH, FINAL, RETRYABLE, adapter, check, noise, on_disk, run, srb_pieces_of};
use ntsim::abi::{
    SRB_FUNCTION_FLUSH_QUEUE, SRB_FUNCTION_LOCK_QUEUE, SRB_FUNCTION_QUIESCE_DEVICE,
    SRB_FUNCTION_RELEASE_QUEUE, SRB_FUNCTION_UNLOCK_QUEUE, STATUS_IO_DEVICE_ERROR,
};
use ntsim::port::{Completion, Direction, Disk, Fault, Kind};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Stack, World};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;
const COUNT: usize = 6;
const FIRST: u64 = 64;
/// An hour, in 100 ns units.
const HOUR: u64 = 36_000_000_000;

const FREE: u32 = flag::NO_QUEUE_FREEZE | flag::QUEUE_ACTION_ENABLE;

/// How a sender says that its requests are to be carried out in order: flags taken away, tag.
const ORDERLY: [(u32, u8); 7] = [
    (flag::NO_QUEUE_FREEZE, SIMPLE),
    (flag::QUEUE_ACTION_ENABLE, SIMPLE),
    (FREE, SIMPLE),
    (0, ORDERED),
    (0, HEAD_OF_QUEUE),
    (0, 0),
    (flag::NO_QUEUE_FREEZE, ORDERED),
];

/// A request of six pieces with these flags taken away and this tag.
fn orderly(direction: Direction, extended: bool, without: u32, tag: u8) -> Block {
    let cdb = read_write_cdb(direction, FIRST, (COUNT as u64 * BLOCKS) as u32, 10);
    let block = Block::of(extended, &cdb);
    let at = block.at.tag;
    block.flags(|flags| flags & !without).with(at, [tag])
}

/// The same, as senders of a fixed disk ask for it.
fn free(direction: Direction, extended: bool) -> Block {
    orderly(direction, extended, 0, SIMPLE)
}

/// Pieces that take their time, and a window that would let all of them be in flight.
fn slow() -> World {
    let hba = adapter(PIECE, 2).completion(Completion::Later(10..2_000));
    srb_pieces_of(PIECE).hba(hba).setting("Window", 8)
}

fn removable() -> Disk {
    Disk::memory(1 << 12, 512).removable(true)
}

/// Memory with data in it that differ from what is on the disk.
fn filled(stack: &Stack, direction: Direction) -> Buffer {
    let buffer = stack.buffer(COUNT * PIECE, 0);
    match direction {
        Direction::Write => buffer.write(0, &noise(1, COUNT * PIECE)),
        Direction::Read => stack.disk().poke(FIRST * 512, &noise(1, COUNT * PIECE)),
    }
    buffer
}

/// Every byte is where it belongs.
fn arrived(stack: &Stack, direction: Direction, buffer: &Buffer) -> bool {
    let data = match direction {
        Direction::Read => buffer.bytes(),
        Direction::Write => on_disk(stack.disk(), FIRST * 512, COUNT * PIECE),
    };
    data == noise(1, COUNT * PIECE)
}

/// How many requests with this SRB function the port has seen.
fn seen(stack: &Stack, function: u32) -> usize {
    let records = stack.port().records();
    let wanted = |record: &&ntsim::port::PortRecord| record.srb_function == Some(function as u8);
    records.iter().filter(wanted).count()
}

/// Nobody but the test releases the queue.
#[track_caller]
fn assert_nobody_released(stack: &Stack) {
    assert_eq!(seen(stack, SRB_FUNCTION_RELEASE_QUEUE), 0);
    assert_eq!(seen(stack, SRB_FUNCTION_FLUSH_QUEUE), 0);
}

/// What the class driver does once it has looked at an error.
fn release(stack: &Stack) {
    assert!(stack.port().is_frozen());
    stack.srb_function(SRB_FUNCTION_RELEASE_QUEUE).send().wait();
    assert!(!stack.port().is_frozen());
}

#[test]
fn one_piece_at_a_time_and_in_order() {
    for direction in BOTH {
        for extended in [false, true] {
            for (without, tag) in ORDERLY {
                let ((), report) = run(slow(), |stack| {
                    let buffer = filled(stack, direction);
                    let block = orderly(direction, extended, without, tag);
                    let returned = post(&block).buffer(&buffer).send(stack).wait();
                    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
                    assert!(arrived(stack, direction, &buffer));
                    let records = stack.port().transfers();
                    assert_eq!(records.len(), COUNT);
                    assert!(records.is_sorted_by_key(|record| record.lba));
                    for record in records {
                        // As the sender had it: nothing is added.
                        assert_eq!(record.srb_flags, u32_at(&block.bytes, block.at.flags));
                        assert_eq!(record.tag, tag);
                    }
                });
                check((without, tag), &report.port.in_flight_peak, &1);
            }
        }
    }
}

#[test]
fn everybody_else_has_a_window() {
    let ((), report) = run(slow(), |stack| {
        for extended in [false, true] {
            let buffer = filled(stack, Direction::Read);
            let block = free(Direction::Read, extended);
            let returned = post(&block).buffer(&buffer).send(stack).wait();
            assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
        }
    });
    assert_eq!(report.port.in_flight_peak, COUNT as u32);
}

#[test]
fn removable_media_are_served_in_order_whoever_asks() {
    let ((), report) = run(slow().disk(removable()), |stack| {
        for direction in BOTH {
            for extended in [false, true] {
                let buffer = filled(stack, direction);
                let block = free(direction, extended);
                let returned = post(&block).buffer(&buffer).send(stack).wait();
                assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
                assert!(arrived(stack, direction, &buffer));
            }
        }
        for record in stack.port().transfers() {
            assert_eq!(record.srb_flags & FREE, FREE, "the sender's flags stay");
        }
    });
    assert_eq!(report.port.in_flight_peak, 1);
}

#[test]
fn two_orderly_requests_do_not_wait_for_each_other() {
    // One at a time holds for the pieces of one request. Who sends two at once has its reasons.
    let ((), report) = run(slow(), |stack| {
        let block = orderly(Direction::Read, true, flag::QUEUE_ACTION_ENABLE, SIMPLE);
        let buffers = [
            filled(stack, Direction::Read),
            filled(stack, Direction::Read),
        ];
        let sent: Vec<Posted> = buffers
            .iter()
            .map(|buffer| post(&block).buffer(buffer).send(stack))
            .collect();
        for (sent, buffer) in sent.into_iter().zip(&buffers) {
            assert_eq!(sent.wait().raw_srb_status(), srb_status::SUCCESS);
            assert!(arrived(stack, Direction::Read, buffer));
        }
    });
    assert_eq!(report.port.in_flight_peak, 2);
}

#[test]
fn it_stops_at_its_first_failure_of_any_kind() {
    // Even where somebody asked for retries: the class driver judges what happened.
    let world = || srb_pieces_of(PIECE).setting("MaxRetries", 5);
    for extended in [false, true] {
        for (without, tag) in [(flag::QUEUE_ACTION_ENABLE, SIMPLE), (0, ORDERED), (0, 0)] {
            run(world(), |stack| {
                let buffer = filled(stack, Direction::Write);
                let block = orderly(Direction::Write, extended, without, tag);
                for kind in FINAL.into_iter().chain(RETRYABLE) {
                    for place in 0..COUNT {
                        stack.port().clear_faults();
                        stack.port().forget_records();
                        let lba = FIRST + place as u64 * BLOCKS;
                        stack.port().fault(Fault::new(kind).at_lba(lba));
                        let returned = post(&block).buffer(&buffer).send(stack).wait();
                        check((kind, place), &stack.port().transfers().len(), &(place + 1));
                        assert_ne!(returned.srb_status(), srb_status::SUCCESS);
                        assert!(
                            !returned.is_frozen(),
                            "with NO_QUEUE_FREEZE nothing freezes"
                        );
                        assert_eq!(returned.length() as usize, place * PIECE);
                    }
                }
            });
        }
    }
}

#[test]
fn a_short_piece_stops_it_too() {
    run(srb_pieces_of(PIECE), |stack| {
        for extended in [false, true] {
            let buffer = filled(stack, Direction::Read);
            let block = orderly(Direction::Read, extended, flag::QUEUE_ACTION_ENABLE, SIMPLE);
            stack.port().forget_records();
            stack
                .port()
                .fault(Fault::new(Kind::Short).at_lba(FIRST + BLOCKS));
            let returned = post(&block).buffer(&buffer).send(stack).wait();
            assert_eq!(returned.raw_srb_status(), srb_status::ERROR);
            assert_eq!(returned.done.status, STATUS_IO_DEVICE_ERROR);
            assert_eq!(stack.port().transfers().len(), 2);
        }
    });
}

/// Fails piece `place` of a request that freezes the queue.
fn freezing(stack: &Stack, block: &Block, buffer: &Buffer, kind: Kind, place: usize) -> Returned {
    stack.port().clear_faults();
    stack.port().forget_records();
    let lba = FIRST + place as u64 * BLOCKS;
    stack.port().fault(Fault::new(kind).at_lba(lba));
    post(block).buffer(buffer).send(stack).wait()
}

#[test]
fn a_frozen_queue_goes_up_and_is_the_senders_to_release() {
    for disk in [Disk::memory(1 << 12, 512), removable()] {
        run(
            srb_pieces_of(PIECE).disk(disk).setting("MaxRetries", 5),
            |stack| {
                for direction in BOTH {
                    for extended in [false, true] {
                        let buffer = filled(stack, direction);
                        let block = orderly(direction, extended, flag::NO_QUEUE_FREEZE, SIMPLE);
                        for kind in FINAL.into_iter().chain(RETRYABLE) {
                            for place in [0, 2, COUNT - 1] {
                                let returned = freezing(stack, &block, &buffer, kind, place);
                                assert!(returned.is_frozen(), "{kind:?}");
                                check((kind, place), &stack.port().transfers().len(), &(place + 1));
                                assert_nobody_released(stack);
                                // The port's word for it, from the piece that froze the queue.
                                let record = stack.port().transfers().pop().expect("it failed");
                                check(kind, &returned.raw_srb_status(), &record.outcome.srb_status);
                                check(kind, &returned.done.status, &record.outcome.status);
                                release(stack);
                                let again = post(&block).buffer(&buffer).send(stack).wait();
                                assert_eq!(again.raw_srb_status(), srb_status::SUCCESS);
                                assert!(arrived(stack, direction, &buffer));
                            }
                        }
                    }
                }
            },
        );
    }
}

#[test]
fn resources_are_not_sought_behind_a_frozen_queue() {
    // A smaller piece would wait in the frozen queue, and the sender for it: neither ever ends.
    run(srb_pieces_of(PIECE), |stack| {
        for kind in [
            Kind::NoResourcesIrp,
            Kind::NoResourcesSystem,
            Kind::NoResourcesSrb,
        ] {
            for extended in [false, true] {
                let buffer = filled(stack, Direction::Write);
                let block = orderly(Direction::Write, extended, flag::NO_QUEUE_FREEZE, SIMPLE);
                let returned = freezing(stack, &block, &buffer, kind, 1);
                assert!(returned.is_frozen());
                check(kind, &stack.port().transfers().len(), &2);
                let record = stack.port().transfers().pop().expect("it failed");
                check(kind, &returned.done.status, &record.outcome.status);
                check(kind, &returned.raw_srb_status(), &record.outcome.srb_status);
                release(stack);
            }
        }
    });
}

#[test]
fn a_recovered_error_that_froze_the_queue() {
    run(srb_pieces_of(PIECE), |stack| {
        for direction in BOTH {
            for extended in [false, true] {
                let block = orderly(direction, extended, flag::NO_QUEUE_FREEZE, SIMPLE);
                for place in 0..COUNT {
                    let buffer = filled(stack, direction);
                    let returned = freezing(stack, &block, &buffer, Kind::RecoveredError, place);
                    assert!(returned.is_frozen());
                    assert_eq!(returned.srb_status(), srb_status::ERROR);
                    assert_eq!(returned.length() as usize, (place + 1) * PIECE);
                    check(place, &stack.port().transfers().len(), &(place + 1));
                    assert_nobody_released(stack);
                    if place + 1 == COUNT {
                        // Everything moved, and the sender hears of the effort.
                        let sense = returned.valid_sense().expect("sense data");
                        assert_eq!(sense[2] & 0x0F, 1, "RECOVERED ERROR");
                        assert!(arrived(stack, direction, &buffer));
                    } else {
                        // The rest was not sent: nothing may look like success of the whole.
                        assert_eq!(returned.valid_sense(), None);
                        assert_eq!(returned.scsi_status(), 0);
                        assert_eq!(returned.done.status, STATUS_IO_DEVICE_ERROR);
                    }
                    release(stack);
                }
            }
        }
    });
}

#[test]
fn a_recovered_error_on_a_running_queue_stops_nothing() {
    run(srb_pieces_of(PIECE), |stack| {
        for extended in [false, true] {
            for (without, tag) in [(flag::QUEUE_ACTION_ENABLE, SIMPLE), (0, ORDERED)] {
                let buffer = filled(stack, Direction::Write);
                let block = orderly(Direction::Write, extended, without, tag);
                let returned = freezing(stack, &block, &buffer, Kind::RecoveredError, 2);
                assert!(!returned.is_frozen());
                assert_eq!(returned.srb_status(), srb_status::ERROR);
                let sense = returned.valid_sense().expect("sense data");
                assert_eq!(sense[2] & 0x0F, 1);
                assert_eq!(returned.length() as usize, COUNT * PIECE);
                assert!(arrived(stack, Direction::Write, &buffer));
            }
        }
    });
}

#[test]
fn other_senders_requests_wait_for_the_release_and_then_go_on() {
    // The freeze protects a changed medium: what is queued behind it is not sent before somebody has
    // looked, and nothing is lost when somebody has.
    run(srb_pieces_of(PIECE).setting("Pieces", 4), |stack| {
        for extended in [false, true] {
            let buffer = filled(stack, Direction::Write);
            let protected = orderly(Direction::Write, extended, flag::NO_QUEUE_FREEZE, SIMPLE);
            let failed = freezing(stack, &protected, &buffer, Kind::UnitAttention, 1);
            assert!(failed.is_frozen());
            let others: Vec<Posted> = [free(Direction::Write, extended), protected.clone()]
                .iter()
                .map(|block| post(block).buffer(&buffer).send(stack))
                .collect();
            stack.idle();
            assert!(others.iter().all(|other| !other.is_done()));
            assert_eq!(
                stack.port().transfers().len(),
                2,
                "nothing went past the freeze"
            );
            assert_nobody_released(stack);
            release(stack);
            for other in others {
                assert_eq!(other.wait().raw_srb_status(), srb_status::SUCCESS);
            }
            assert!(arrived(stack, Direction::Write, &buffer));
        }
    });
}

#[test]
fn a_queue_flushed_by_its_owner() {
    // FLUSH_QUEUE throws out what waits; no retry of ours hides that beneath a class driver.
    run(srb_pieces_of(PIECE), |stack| {
        for extended in [false, true] {
            let buffer = filled(stack, Direction::Write);
            let protected = orderly(Direction::Write, extended, flag::NO_QUEUE_FREEZE, SIMPLE);
            assert!(freezing(stack, &protected, &buffer, Kind::HardwareError, 0).is_frozen());
            let waiting = post(&free(Direction::Write, extended))
                .buffer(&buffer)
                .send(stack);
            assert!(!waiting.is_done());
            stack.srb_function(SRB_FUNCTION_FLUSH_QUEUE).send().wait();
            let returned = waiting.wait();
            assert_eq!(returned.srb_status(), 0x16, "REQUEST_FLUSHED");
            let again = post(&protected).buffer(&buffer).send(stack).wait();
            assert_eq!(again.raw_srb_status(), srb_status::SUCCESS);
        }
    });
}

/// Lets the power manager's part of a class driver lock the queue and wait until it is quiet.
fn lock_and_quiesce(stack: &Stack) -> ntsim::world::PendingScsi {
    let function = |number| {
        stack
            .srb_function(number)
            .with_flags(flag::BYPASS_LOCKED_QUEUE)
    };
    function(SRB_FUNCTION_LOCK_QUEUE).send().wait();
    function(SRB_FUNCTION_QUIESCE_DEVICE).send()
}

#[test]
fn a_queue_locked_at_every_moment_of_a_transfer() {
    // As classpnp does before a power change (power.c): lock, quiesce, and unlock when power is back.
    for extended in [false, true] {
        for window in [1, 3] {
            for moment in 0..=COUNT {
                run(srb_pieces_of(PIECE).setting("Window", window), |stack| {
                    stack.port().hold(true);
                    let buffer = filled(stack, Direction::Write);
                    let block = free(Direction::Write, extended);
                    let sent = post(&block).buffer(&buffer).send(stack);
                    for _ in 0..moment {
                        stack.port().complete_next(0);
                    }
                    let quiesced = lock_and_quiesce(stack);
                    let before = stack.port().transfers().len() + stack.port().held().len();
                    stack.port().complete_all();
                    assert!(quiesced.is_done(), "nothing of ours keeps the device busy");
                    assert_eq!(quiesced.wait().srb_status, srb_status::SUCCESS);
                    // The device is off for hours: no timer of ours takes that for a failure.
                    ntsim::ke::delay(10 * HOUR);
                    let finished = before == COUNT;
                    check(moment, &sent.is_done(), &finished);
                    check(moment, &stack.port().transfers().len(), &before);
                    assert_eq!(stack.port().in_flight().len(), 0);
                    stack.port().hold(false);
                    stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
                    let returned = sent.wait();
                    assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
                    assert!(arrived(stack, Direction::Write, &buffer));
                });
            }
        }
    }
}

#[test]
fn what_may_pass_a_locked_queue_is_not_held_behind_waiting_requests() {
    run(srb_pieces_of(PIECE).setting("Pieces", 1), |stack| {
        stack.port().hold(true);
        let buffer = filled(stack, Direction::Write);
        let block = free(Direction::Write, true);
        let sent: Vec<Posted> = (0..3)
            .map(|_| post(&block).buffer(&buffer).send(stack))
            .collect();
        stack.port().hold(false);
        let lock = stack.srb_function(SRB_FUNCTION_LOCK_QUEUE).send();
        assert!(lock.is_done());
        // STOP UNIT on the way to D3, past all that waits.
        let stop = [0x1B, 0, 0, 0, 0, 0];
        let flags = flag::BYPASS_LOCKED_QUEUE | flag::D3_PROCESSING | flag::NO_QUEUE_FREEZE;
        let stopped = stack.scsi(&stop).flags(flags).send();
        assert!(stopped.is_done(), "it waits for nobody");
        stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
        stack.port().complete_all();
        for sent in sent {
            assert_eq!(sent.wait().raw_srb_status(), srb_status::SUCCESS);
        }
    });
}

#[test]
fn small_requests_pass_at_once_while_pieces_wait() {
    // An ordered request that fits may overtake what has not been sent of an earlier one, as it may
    // overtake what a class driver has not sent yet.
    run(srb_pieces_of(PIECE).setting("Window", 1), |stack| {
        stack.port().hold(true);
        let buffer = filled(stack, Direction::Write);
        let sent = post(&free(Direction::Write, false))
            .buffer(&buffer)
            .send(stack);
        let small = stack.buffer(512, 0);
        let fits = stack.scsi_read(0, 1, &small, 0, 512);
        let fits = fits.tag(u32::from(ORDERED)).send();
        assert_eq!(stack.port().held().len(), 2, "it is with the adapter");
        stack.port().complete_all();
        assert_eq!(fits.wait().srb_status, srb_status::SUCCESS);
        let returned = sent.wait();
        assert_eq!(u8_at(&returned.block, 3), srb_status::SUCCESS);
    });
}
