//! A port driver that answers nonsense, or late, or never, costs nobody anything: the disk works on
//! with its other limits, start waits only so long, and nothing is left behind.

mod common;

#[path = "common/paired.rs"]
mod paired;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{check, logged, run};
use ntsim::abi::{
    SRB_STATUS_BUSY, SRB_STATUS_ERROR, SRB_STATUS_INVALID_REQUEST, SRB_STATUS_SUCCESS,
    STATUS_BUFFER_OVERFLOW, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_REVISION_MISMATCH,
};
use ntsim::machine::{self, AllocationKind};
use ntsim::port::{Hba, Paired, PortLimits, Reply, Timing};
use ntsim::{Report, Stack, World};
use paired::{PLACES, Place, SECOND, listening, registers};

/// Pages that the adapter itself takes.
const ADAPTER: u32 = 9;

/// What would be obeyed if it were believed.
const ONE: PortLimits = registers(1);

/// A port that tells of one map register, in a way that nobody should believe.
fn nonsense(place: Place, reply: Reply, timing: Timing) -> World {
    let offer = Paired::new(ONE).lenient().reply(reply).timing(timing);
    let bytes = 2 * ADAPTER * 4096;
    place.asking(Hba::unlimited().limits(bytes, ADAPTER).paired(offer))
}

/// The disk works, and under which limit.
#[track_caller]
fn widest(place: Place, stack: &Stack) -> u32 {
    place.widest(stack, 2 * ADAPTER as usize, 0)
}

/// By the adapter's limits alone; the class driver keeps a page of them back.
#[track_caller]
fn assert_ignored(place: Place, stack: &Stack) {
    let found = widest(place, stack);
    let expected = [ADAPTER - 1, ADAPTER];
    let expected = if place == Place::Disk {
        &expected[..]
    } else {
        &expected[1..]
    };
    assert!(expected.contains(&found), "{place:?}: {found} pages");
}

/// Every answer that must not be believed.
fn replies() -> Vec<Reply> {
    let mut all = vec![
        Reply::Signature(*b"SOMEBODY"),
        Reply::Signature([0; 8]),
        Reply::ControlCode(0),
        Reply::ReturnCode(1),
        Reply::ReturnCode(u32::MAX),
        Reply::Generation(0),
    ];
    for wrong in [0, 1, 23, 25, 27, 29, 52, u32::MAX] {
        all.extend([
            Reply::HeaderLength(wrong),
            Reply::Length(wrong),
            Reply::Size(wrong),
        ]);
    }
    for version in [0, 2, u32::MAX] {
        all.push(Reply::Version(version));
    }
    for bytes in [0, 1, 28, 32, 48, 51, 53, 4096, u64::MAX] {
        all.push(Reply::Information(bytes));
    }
    let zero = [
        registers(0),
        PortLimits {
            segments: 0,
            ..PortLimits::NONE
        },
        PortLimits {
            bytes: 0,
            ..PortLimits::NONE
        },
        PortLimits {
            bytes: 511,
            ..PortLimits::NONE
        },
    ];
    all.extend(zero.map(Reply::Values));
    all
}

/// Every way to fail.
fn failures() -> Vec<Reply> {
    let statuses = [
        (STATUS_INVALID_DEVICE_REQUEST, SRB_STATUS_INVALID_REQUEST),
        (STATUS_REVISION_MISMATCH, SRB_STATUS_INVALID_REQUEST),
        (STATUS_IO_DEVICE_ERROR, SRB_STATUS_ERROR),
        (STATUS_IO_DEVICE_ERROR, SRB_STATUS_SUCCESS),
        (STATUS_IO_TIMEOUT, SRB_STATUS_BUSY),
        (STATUS_INSUFFICIENT_RESOURCES, SRB_STATUS_SUCCESS),
        (STATUS_BUFFER_OVERFLOW, SRB_STATUS_SUCCESS),
        (0x4000_0000, SRB_STATUS_SUCCESS),
        (0, SRB_STATUS_ERROR),
        (0, 0),
    ];
    let nothing = statuses.map(|(status, srb_status)| Reply::Failed { status, srb_status });
    // An answer that is there all the same is none either.
    let failed = statuses
        .into_iter()
        .filter(|&(status, _)| status.cast_unsigned() >= 0x8000_0000);
    let all_of_it = failed.map(|(status, srb_status)| Reply::Statuses { status, srb_status });
    nothing.into_iter().chain(all_of_it).collect()
}

#[test]
fn no_nonsense_is_believed_at_start() {
    for place in PLACES {
        for reply in replies().into_iter().chain(failures()) {
            let ((), report) = run(nonsense(place, reply, Timing::Prompt), |stack| {
                assert_ignored(place, stack);
                stack.pass(10 * SECOND);
                let counts = stack.port().paired_counts();
                assert_eq!(
                    counts.asked, 1,
                    "{place:?} {reply:?}: and nobody asks again"
                );
            });
            said_once(&report, reply);
        }
    }
}

/// The log says it, once.
#[track_caller]
fn said_once(report: &Report, reply: Reply) {
    let said = logged(report, "paired port driver");
    assert_eq!(said.len(), 1, "{reply:?}: {:#?}", report.debug_log);
}

#[test]
fn no_nonsense_is_believed_later() {
    for reply in replies().into_iter().chain(failures()) {
        let place = Place::Class;
        run(nonsense(place, Reply::Honest, Timing::Prompt), |stack| {
            check(reply, &widest(place, stack), &1);
            listening(stack);
            stack.port().change_port_limits(registers(4));
            check(reply, &widest(place, stack), &4);
            listening(stack);
            stack.port().set_paired_reply(reply);
            stack.port().change_port_limits(registers(2));
            check(reply, &widest(place, stack), &4);
            stack.pass(10 * SECOND);
            check(reply, &stack.port().paired_counts().waiting, &0);
            check(reply, &widest(place, stack), &4);
        });
    }
}

#[test]
fn a_port_that_does_not_wait_is_not_asked_for_ever() {
    // It answers at once and always calls its limits the same generation: there is nothing to wait
    // for.
    for place in PLACES {
        let world = nonsense(place, Reply::Generation(7), Timing::Prompt);
        run(world, |stack| {
            check(place, &widest(place, stack), &1);
            stack.pass(60 * SECOND);
            check(place, &stack.port().paired_counts().asked, &2);
            check(place, &widest(place, stack), &1);
        });
    }
}

#[test]
fn who_answered_nonsense_is_asked_again_when_the_device_starts_again() {
    let place = Place::Class;
    run(
        nonsense(place, Reply::Version(2), Timing::Prompt),
        |stack| {
            assert_ignored(place, stack);
            stack.stop().expect("it stops");
            stack.port().set_paired_reply(Reply::Honest);
            stack.start().expect("it starts");
            listening(stack);
            assert_eq!(widest(place, stack), 1);
        },
    );
}

#[test]
fn without_memory_to_ask_the_disk_works_without_an_answer() {
    // Each allocation of the start fails once, those for the question among them.
    let place = Place::Class;
    let mut unasked = 0;
    for victim in 0.. {
        let counted = AtomicU64::new(0);
        let struck = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&struck);
        let world = nonsense(place, Reply::Honest, Timing::Prompt).prepare(move |_| {
            machine::with(|machine| {
                machine.fail_allocations(Some(Box::new(move |request| {
                    // Framework objects are what the device itself is made of.
                    let ours = request.kind != AllocationKind::Framework;
                    let strikes = ours && counted.fetch_add(1, Ordering::Relaxed) == victim;
                    seen.fetch_or(strikes, Ordering::Relaxed);
                    strikes
                })));
            });
        });
        let (asked, _) = run(world, |stack| {
            stack.machine().fail_allocations(None);
            let asked = stack.port().paired_counts().asked;
            if asked == 0 {
                assert_ignored(place, stack);
            }
            asked
        });
        unasked += u32::from(asked == 0);
        if !struck.load(Ordering::Relaxed) {
            break;
        }
    }
    assert!(unasked >= 3, "an IRP, an MDL, the memory around them");
}

/// How long the stack took to start.
fn time_of_start(world: World) -> u64 {
    let (started, _) = run(world, |stack| {
        let now = stack.machine().now();
        stack.surprise_remove().expect("nobody may refuse");
        now
    });
    started
}

#[test]
fn start_does_not_wait_for_ever() {
    for place in PLACES {
        for timing in [
            Timing::Never,
            Timing::Stubborn,
            Timing::AfterCancel(SECOND),
            Timing::Late(3_600 * SECOND),
        ] {
            let time = time_of_start(nonsense(place, Reply::Honest, timing));
            assert!(time < 15 * SECOND, "{place:?} {timing:?}: {time}");
        }
    }
}

#[test]
fn the_disk_works_while_the_answer_is_awaited() {
    for place in PLACES {
        for timing in [
            Timing::Never,
            Timing::AfterCancel(SECOND),
            Timing::Late(3_600 * SECOND),
        ] {
            run(nonsense(place, Reply::Honest, timing), |stack| {
                assert_ignored(place, stack);
                stack.pass(60 * SECOND);
                assert_ignored(place, stack);
                let counts = stack.port().paired_counts();
                assert_eq!(
                    (counts.asked, counts.waiting),
                    (1, 1),
                    "{place:?} {timing:?}"
                );
                let before = stack.machine().now();
                stack.remove().expect("the device can be removed");
                let time = stack.machine().now() - before;
                assert!(
                    time < 10 * SECOND,
                    "{place:?} {timing:?}: removal takes {time}"
                );
            });
        }
    }
}

#[test]
fn a_port_that_can_not_be_cancelled_answers_when_the_device_is_pulled_out() {
    for place in PLACES {
        run(nonsense(place, Reply::Honest, Timing::Stubborn), |stack| {
            assert_ignored(place, stack);
            stack.surprise_remove().expect("nobody may refuse");
            assert_eq!(stack.port().paired_counts().waiting, 0);
        });
    }
}

#[test]
fn a_storm_of_changes_starves_nobody() {
    for place in PLACES {
        run(nonsense(place, Reply::Honest, Timing::Storm), |stack| {
            let before = stack.port().paired_counts().asked;
            for _ in 0..6 {
                check(place, &widest(place, stack), &1);
                stack.pass(10 * SECOND);
            }
            let asked = stack.port().paired_counts().asked - before;
            assert!(asked > 60, "{place:?}: it goes on listening: {asked}");
            assert!(asked <= 60 * 20, "{place:?}: {asked} questions in a minute");
        });
    }
}

#[test]
fn a_storm_blows_itself_out() {
    run(
        nonsense(Place::Class, Reply::Honest, Timing::Storm),
        |stack| {
            stack.pass(5 * SECOND);
            stack.port().set_paired_timing(Timing::Prompt);
            listening(stack);
            stack.port().change_port_limits(registers(3));
            assert_eq!(widest(Place::Class, stack), 3);
        },
    );
}
