//! Requests of the private interface that wait for other limits: how they end, once each.

#[path = "port_paired_support/mod.rs"]
mod support;

use ntsim::abi::{
    SCSI_REQUEST_BLOCK, SRB_STATUS_ABORTED, SRB_STATUS_ERROR, SRB_STATUS_NO_DEVICE,
    STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_IO_DEVICE_ERROR, STATUS_NO_SUCH_DEVICE,
    STATUS_PENDING,
};
use ntsim::port::{Paired, PortLimits, Reply, Timing};
use ntsim::{Clock, ntddk};
use support::{Answer, Ask, at, world};

const FIVE: PortLimits = PortLimits::registers(5);
const TWO: PortLimits = PortLimits::registers(2);

const REMOVED: (i32, u32) = (STATUS_NO_SUCH_DEVICE, SRB_STATUS_NO_DEVICE);
const CANCELLED: (i32, u32) = (STATUS_CANCELLED, SRB_STATUS_ABORTED);

#[test]
fn a_change_answers_everybody_who_waits_for_it() {
    world(Paired::new(FIVE))
        .run(|stack| {
            let waits: Vec<_> = (0..3).map(|_| Ask::new(stack, 1).send(stack)).collect();
            for wait in &waits {
                assert_eq!(wait.request.returned(), STATUS_PENDING);
                assert!(!wait.is_done());
            }
            assert_eq!(stack.port().paired_counts().waiting, 3);
            stack.port().change_port_limits(TWO);
            for wait in waits {
                let answer = wait.wait();
                assert_eq!(answer.limits(), (2, TWO));
                assert!(answer.done.irp.pending_returned);
            }
            // Who still knows the first generation is told at once.
            assert_eq!(Ask::new(stack, 1).answer(stack).limits(), (2, TWO));
            let wait = Ask::new(stack, 2).send(stack);
            stack.port().change_port_limits(FIVE);
            assert_eq!(wait.wait().limits(), (3, FIVE));
        })
        .expect("no bug check");
}

#[test]
fn a_wait_is_cancelled_once_and_the_others_go_on() {
    world(Paired::new(FIVE))
        .run(|stack| {
            let (first, second) = (
                Ask::new(stack, 1).send(stack),
                Ask::new(stack, 1).send(stack),
            );
            assert!(first.request.cancel(), "it has a cancel routine");
            let cancelled = first.wait();
            assert_eq!(cancelled.statuses(), CANCELLED);
            assert_eq!(cancelled.done.irp.completions, 1);
            stack.port().change_port_limits(TWO);
            assert!(!second.request.cancel(), "too late");
            assert_eq!(second.wait().limits(), (2, TWO));
        })
        .expect("no bug check");
}

/// Cancels the IRP of a request that is about to be sent.
fn cancel_before(srb: &mut [u8]) {
    let srb: *mut SCSI_REQUEST_BLOCK = srb.as_mut_ptr().cast();
    // SAFETY: a block of the first format, which names its IRP; the sender still has that.
    let had_routine = unsafe { ntddk::IoCancelIrp((*srb).OriginalRequest.cast()) };
    assert_eq!(had_routine, 0, "nobody has it yet");
}

#[test]
fn who_was_cancelled_on_the_way_does_not_wait() {
    world(Paired::new(FIVE))
        .run(|stack| {
            let cancelled = |generation| {
                let ask = Ask::new(stack, generation);
                ask.changed(stack, |scsi| scsi.patched(cancel_before))
            };
            assert_eq!(cancelled(1).statuses(), CANCELLED);
            let counts = stack.port().paired_counts();
            assert_eq!((counts.cancelled, counts.waiting), (1, 0));
            assert_eq!(cancelled(0).limits(), (1, FIVE), "there is nothing to stop");
        })
        .expect("no bug check");
}

#[test]
fn the_end_of_the_device_ends_every_wait() {
    for surprise in [true, false] {
        world(Paired::new(FIVE))
            .run(move |stack| {
                let wait = Ask::new(stack, 1).send(stack);
                if surprise {
                    stack.surprise_remove().expect("it goes");
                    let late = Ask::new(stack, 0).answer(stack);
                    assert_eq!(late.statuses(), REMOVED);
                } else {
                    stack.remove().expect("it goes");
                }
                assert_eq!(wait.wait().statuses(), REMOVED);
                assert_eq!(stack.port().paired_counts().waiting, 0);
            })
            .expect("no bug check");
    }
}

#[test]
fn a_stopped_device_still_tells_of_changes() {
    world(Paired::new(FIVE))
        .run(|stack| {
            let wait = Ask::new(stack, 1).send(stack);
            stack.stop().expect("it stops");
            assert!(!wait.is_done());
            stack.port().change_port_limits(TWO);
            assert_eq!(wait.wait().limits(), (2, TWO));
            stack.start().expect("it starts");
            assert_eq!(Ask::new(stack, 0).answer(stack).limits(), (2, TWO));
        })
        .expect("no bug check");
}

/// Change, cancellation and removal at the same time: one of them ends the request, once, and what
/// it says fits.
fn race(clock: Clock, removal: bool) {
    world(Paired::new(FIVE))
        .clock(clock)
        .run(move |stack| {
            let waits: Vec<_> = (0..4).map(|_| Ask::new(stack, 1).send(stack)).collect();
            let changer = stack.spawn("changer", |stack| stack.port().change_port_limits(TWO));
            let remover = stack.spawn("remover", move |stack| {
                if removal {
                    stack.port().unplug();
                }
            });
            for wait in &waits[..3] {
                wait.request.cancel();
            }
            changer.join();
            remover.join();
            for wait in waits {
                let answer = wait.wait();
                assert_eq!(answer.done.irp.completions, 1);
                match answer.statuses() {
                    (0, _) => assert_eq!(answer.limits(), (2, TWO)),
                    statuses => {
                        let told = [CANCELLED, REMOVED].contains(&statuses);
                        assert!(told, "{statuses:x?}");
                        assert!(removal || statuses == CANCELLED);
                    }
                }
            }
            let counts = stack.port().paired_counts();
            assert_eq!((counts.asked, counts.waiting), (4, 0));
        })
        .expect("no bug check");
}

#[test]
fn change_cancellation_and_removal_end_a_wait_once() {
    for seed in 0..if cfg!(miri) { 2 } else { 40 } {
        for removal in [false, true] {
            race(Clock::Deterministic { seed }, removal);
        }
    }
}

#[test]
fn the_same_on_real_processors() {
    for seed in 0..if cfg!(miri) { 1 } else { 10 } {
        let clock = Clock::Threads {
            processors: 4,
            seed,
        };
        race(clock, seed % 2 == 1);
    }
}

#[test]
fn a_late_answer_can_be_cancelled_or_waited_for() {
    world(Paired::new(FIVE).timing(Timing::Late(50_000)))
        .run(|stack| {
            let before = stack.machine().now();
            assert_eq!(Ask::new(stack, 0).answer(stack).limits(), (1, FIVE));
            assert!(stack.machine().now() >= before + 50_000);
            let cancelled = Ask::new(stack, 0).send(stack);
            assert!(cancelled.request.cancel());
            assert_eq!(cancelled.wait().statuses(), CANCELLED);
            let wait = Ask::new(stack, 1).send(stack);
            stack.port().change_port_limits(TWO);
            assert!(!wait.is_done());
            assert_eq!(wait.wait().limits(), (2, TWO));
        })
        .expect("no bug check");
}

#[test]
fn who_never_answers_can_still_be_told_to_stop() {
    world(Paired::new(FIVE).timing(Timing::Never))
        .run(|stack| {
            let asked = Ask::new(stack, 0).send(stack);
            stack.port().change_port_limits(TWO);
            stack.idle();
            assert!(!asked.is_done());
            assert!(asked.request.cancel());
            assert_eq!(asked.wait().statuses(), CANCELLED);
        })
        .expect("no bug check");
}

#[test]
fn a_stubborn_port_answers_to_removal_alone() {
    world(Paired::new(FIVE).timing(Timing::Stubborn))
        .run(|stack| {
            let asked = Ask::new(stack, 0).send(stack);
            assert!(!asked.request.cancel(), "nobody takes notice");
            stack.idle();
            assert!(!asked.is_done());
            stack.surprise_remove().expect("it goes");
            assert_eq!(asked.wait().statuses(), REMOVED);
        })
        .expect("no bug check");
}

#[test]
fn an_answer_can_come_after_the_cancellation() {
    world(Paired::new(FIVE).timing(Timing::AfterCancel(20_000)))
        .run(|stack| {
            let asked = Ask::new(stack, 0).send(stack);
            stack.idle();
            assert!(!asked.is_done());
            assert!(asked.request.cancel());
            assert!(!asked.is_done());
            assert_eq!(asked.wait().limits(), (1, FIVE));
        })
        .expect("no bug check");
}

#[test]
fn a_storm_is_a_new_generation_with_every_answer() {
    world(Paired::new(FIVE).timing(Timing::Storm))
        .run(|stack| {
            let (mut generation, _) = Ask::new(stack, 0).answer(stack).limits();
            for _ in 0..10 {
                let (next, limits) = Ask::new(stack, generation).answer(stack).limits();
                assert_eq!((next, limits), (generation + 1, FIVE));
                generation = next;
            }
        })
        .expect("no bug check");
}

#[test]
fn each_kind_of_nonsense_is_told_as_set_up() {
    let answer = |reply: Reply| -> Answer {
        world(Paired::new(FIVE).lenient())
            .run(move |stack| {
                stack.port().set_paired_reply(reply);
                Ask::new(stack, 0).answer(stack)
            })
            .expect("no bug check")
            .0
    };
    assert_eq!(answer(Reply::Version(9)).word(at::VERSION), 9);
    assert_eq!(answer(Reply::Size(20)).word(at::SIZE), 20);
    assert_eq!(answer(Reply::Length(0)).word(at::LENGTH), 0);
    assert_eq!(answer(Reply::HeaderLength(32)).word(at::HEADER_LENGTH), 32);
    assert_eq!(answer(Reply::ControlCode(1)).word(at::CONTROL_CODE), 1);
    assert_eq!(answer(Reply::ReturnCode(5)).word(at::RETURN_CODE), 5);
    assert_eq!(answer(Reply::Generation(0)).word(at::GENERATION), 0);
    let signature = answer(Reply::Signature(*b"SOMEBODY"));
    assert_eq!(signature.word(at::SIGNATURE), u32::from_le_bytes(*b"SOME"));
    let values = answer(Reply::Values(PortLimits::registers(0)));
    assert_eq!(values.limits().1.registers, 0);
    let short = answer(Reply::Information(28));
    assert_eq!((short.done.irp.status, short.done.irp.information), (0, 28));
    for (status, srb_status) in [
        (STATUS_BUFFER_OVERFLOW, SRB_STATUS_ERROR),
        (STATUS_IO_DEVICE_ERROR, 1),
        (0, SRB_STATUS_ERROR),
    ] {
        let odd = answer(Reply::Failed { status, srb_status });
        assert_eq!(odd.statuses(), (status, srb_status));
        assert_eq!(odd.words[10], 0, "nothing is told");
        let odd = answer(Reply::Statuses { status, srb_status });
        assert_eq!(odd.statuses(), (status, srb_status));
        assert_eq!(odd.words[10], FIVE.registers, "all of it is");
    }
}
