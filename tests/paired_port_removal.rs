//! A question that waits in the port driver for other limits goes with the device: it holds nothing
//! up, is answered or called back once, and nothing of it is touched afterwards.

mod common;

#[path = "common/paired.rs"]
mod paired;

use common::{Exchange, PAGE, logged, run};
use ntsim::abi::STATUS_NOT_SUPPORTED;
use ntsim::port::{AdapterReply, Completion, Direction, Hba, Paired, PairedCounts, Timing};
use ntsim::world::Stack;
use ntsim::{Clock, ntddk};
use paired::{PLACES, Place, SECOND, listening, registers};

fn offer() -> Paired {
    Paired::new(registers(5))
}

/// The port has given every question back.
#[track_caller]
fn assert_over(counts: &PairedCounts) {
    assert_eq!(counts.waiting, 0, "{counts:?}");
}

#[test]
fn removed_while_a_question_waits() {
    for place in PLACES {
        run(place.paired(offer()), |stack| {
            let before = listening(stack);
            let now = stack.machine().now();
            stack.remove().expect("the device can be removed");
            let counts = stack.port().paired_counts();
            assert_over(&counts);
            assert_eq!(counts.cancelled, before.cancelled + 1, "called back");
            assert!(stack.machine().now() - now < SECOND, "nobody waits for it");
        });
    }
}

#[test]
fn pulled_out_while_a_question_waits() {
    for place in PLACES {
        run(place.paired(offer()), |stack| {
            listening(stack);
            stack.surprise_remove().expect("nobody may refuse");
            assert_over(&stack.port().paired_counts());
            let asked = stack.port().paired_counts().asked;
            stack.pass(10 * SECOND);
            assert_eq!(
                stack.port().paired_counts().asked,
                asked,
                "nobody asks again"
            );
        });
    }
}

#[test]
fn removed_in_the_pause_between_two_questions() {
    for place in PLACES {
        for surprise in [false, true] {
            run(place.paired(offer()), |stack| {
                listening(stack);
                stack.port().change_port_limits(registers(4));
                assert_over(&stack.port().paired_counts());
                if surprise {
                    stack.surprise_remove().expect("nobody may refuse");
                } else {
                    stack.remove().expect("the device can be removed");
                }
                stack.pass(10 * SECOND);
                assert_over(&stack.port().paired_counts());
            });
        }
    }
}

#[test]
fn stopped_and_started_with_a_question_that_waits() {
    for place in PLACES {
        run(place.paired(offer()), |stack| {
            for round in 1..4 {
                listening(stack);
                stack.stop().expect("it stops");
                stack.port().change_port_limits(registers(round));
                stack.start().expect("it starts");
                listening(stack);
                assert_eq!(stack.port().paired_counts().generation, 1 + round);
                let widest = place.widest(stack, 12, 0);
                assert!(widest <= round, "{place:?}: {widest} pages");
            }
        });
    }
}

#[test]
fn a_device_that_passes_everything_through_takes_its_question_along() {
    // The adapter says nothing of itself, so there is no engine; the port was asked all the same.
    for surprise in [false, true] {
        let hba = Hba::unlimited()
            .paired(offer())
            .adapter_reply(AdapterReply::Refused(STATUS_NOT_SUPPORTED));
        run(Place::Class.asking(hba), |stack| {
            if surprise {
                stack.surprise_remove().expect("nobody may refuse");
            }
            stack.remove().expect("the device can be removed");
            assert_over(&stack.port().paired_counts());
        });
    }
}

#[test]
fn a_stack_that_has_grown_beyond_the_question_is_not_asked_again() {
    for place in [Place::Class, Place::Srb] {
        let (asked, report) = run(place.paired(offer()), |stack| {
            let before = listening(stack);
            // SAFETY: the devices of a started stack are alive, and a sender's IRP fits what it sees.
            unsafe {
                let lower = ntddk::IoGetLowerDeviceObject(stack.top());
                (*lower).StackSize += 4;
                (*stack.top()).StackSize += 4;
                ntddk::ObfDereferenceObject(lower.cast());
            }
            stack.port().change_port_limits(registers(4));
            stack.pass(10 * SECOND);
            let counts = stack.port().paired_counts();
            assert_over(&counts);
            counts.asked - before.asked
        });
        assert_eq!(asked, 0, "{place:?}");
        let said = logged(&report, "asked no more");
        assert_eq!(said.len(), 1, "{:#?}", report.debug_log);
    }
}

#[test]
fn every_question_comes_back_when_an_answer_is_slow() {
    for timing in [
        Timing::Never,
        Timing::Late(20 * SECOND),
        Timing::AfterCancel(SECOND),
    ] {
        for surprise in [false, true] {
            let world = Place::Disk.paired(offer().lenient().timing(timing));
            run(world, |stack| {
                assert_eq!(stack.port().paired_counts().waiting, 1);
                if surprise {
                    stack.surprise_remove().expect("nobody may refuse");
                }
                stack.remove().expect("the device can be removed");
                assert_over(&stack.port().paired_counts());
            });
        }
    }
}

/// Changes, requests and the end of the device at the same time.
fn race(clock: Clock, surprise: bool, pause: u64) {
    let hba = Hba::unlimited()
        .paired(offer().lenient())
        .completion(Completion::Mixed(50, 10..500));
    let world = Place::Class.asking(hba).clock(clock);
    run(world, move |stack| {
        let changer = stack.spawn("port", move |stack: &Stack| {
            for count in [1, 2, 3, 4] {
                stack.port().change_port_limits(registers(count));
                stack.pass(pause);
            }
        });
        let sender = stack.spawn("sender", move |stack: &Stack| {
            for number in 0..4 {
                let exchange = Exchange::new(
                    stack,
                    Direction::Write,
                    number << 18,
                    6 * PAGE,
                    0,
                    number + 1,
                );
                let done = exchange.transfer(stack).send().wait();
                if done.succeeded() {
                    assert!(exchange.is_complete(stack));
                }
                stack.pass(pause / 2);
            }
        });
        stack.pass(2 * pause);
        if surprise {
            stack.surprise_remove().expect("nobody may refuse");
            sender.join();
        } else {
            sender.join();
            stack.remove().expect("the device can be removed");
        }
        changer.join();
        stack.idle();
        assert_over(&stack.port().paired_counts());
    });
}

#[test]
fn changes_meet_the_end_of_the_device() {
    for seed in 0..40 {
        for pause in [0, 300, 600_000, 1_200_000] {
            race(Clock::Deterministic { seed }, seed % 2 == 0, pause);
        }
    }
}

/// The end of the device comes at the moment when the pause between two questions is over.
fn at_the_end_of_the_pause(clock: Clock, early: u64) {
    run(Place::Class.paired(offer()).clock(clock), move |stack| {
        listening(stack);
        stack.port().change_port_limits(registers(4));
        stack.pass(SECOND / 10 - early);
        stack.remove().expect("the device can be removed");
        assert_over(&stack.port().paired_counts());
    });
}

#[test]
fn the_next_question_meets_the_end_of_the_device() {
    for seed in 0..50 {
        for early in [0, 1, 10, 100] {
            at_the_end_of_the_pause(Clock::Deterministic { seed }, early);
            let clock = Clock::Threads {
                processors: 2,
                seed,
            };
            at_the_end_of_the_pause(clock, early);
        }
    }
}

#[test]
fn and_on_real_processors() {
    for seed in 0..20 {
        let clock = Clock::Threads {
            processors: 2,
            seed,
        };
        race(clock, seed % 2 == 0, 300);
    }
}
