//! The private interface of a port: what is asked, what is answered, and what is no question.

#[path = "port_paired_support/mod.rs"]
mod support;

use ntsim::World;
use ntsim::abi::{
    SRB_FLAGS_DATA_OUT, SRB_STATUS_INVALID_REQUEST, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING, STATUS_REVISION_MISMATCH,
};
use ntsim::port::{Completion, Doors, Hba, Paired, PortLimits, Violation};
use ntsim::world::{Mdl, StackKind};
use support::{Ask, CODE, at, world};

const LIMITS: PortLimits = PortLimits {
    registers: 5,
    segments: 17,
    bytes: 65536,
};

#[test]
fn the_limits_are_told_at_once_with_their_generation() {
    let ((), report) = world(Paired::new(LIMITS))
        .run(|stack| {
            for extended in [false, true] {
                let ask = Ask::new(stack, 0);
                let ask = if extended { ask.extended() } else { ask };
                assert_eq!(ask.answer(stack).limits(), (1, LIMITS));
            }
            // Somebody who knows another generation than the current one is answered at once too.
            assert_eq!(Ask::new(stack, 7).answer(stack).limits(), (1, LIMITS));
            assert_eq!(stack.port().paired_counts().asked, 3);
            let seen = stack.port().records();
            assert!(seen.iter().filter(|one| one.control_code == CODE).count() == 3);
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn an_adapter_that_takes_its_time_answers_later() {
    world(Paired::new(LIMITS))
        .hba(
            Hba::unlimited()
                .paired(Paired::new(LIMITS))
                .completion(Completion::Later(500..600)),
        )
        .run(|stack| {
            let asked = Ask::new(stack, 0).send(stack);
            assert!(!asked.is_done());
            assert_eq!(asked.request.returned(), STATUS_PENDING);
            assert_eq!(asked.wait().limits(), (1, LIMITS));
        })
        .expect("no bug check");
}

#[test]
fn a_port_without_the_interface_refuses_what_it_does_not_know() {
    let ((), report) = World::without_filter()
        .run(|stack| {
            let answer = Ask::new(stack, 0).answer(stack);
            let refused = (STATUS_INVALID_DEVICE_REQUEST, SRB_STATUS_INVALID_REQUEST);
            assert_eq!(answer.statuses(), refused);
            assert_eq!(answer.word(at::RETURN_CODE), 0, "the block is untouched");
            assert_eq!(stack.port().paired_counts().generation, 0);
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn each_door_opens_to_what_it_looks_at() {
    let answers = |doors: Doors| {
        world(Paired::new(LIMITS).doors(doors))
            .run(|stack| {
                let by_code = Ask::new(stack, 0).with(at::SIGNATURE, 0).answer(stack);
                let by_block = Ask::new(stack, 0).code(0).answer(stack);
                let both = Ask::new(stack, 0).answer(stack);
                let known = stack.port().paired_counts();
                let good = |answer: &support::Answer| answer.done.irp.status == 0;
                assert!(
                    !good(&by_code),
                    "a block without the signature is never good"
                );
                assert!(good(&both));
                (good(&by_block), known.asked + known.refused)
            })
            .expect("no bug check")
            .0
    };
    assert_eq!(answers(Doors::Both), (true, 3));
    assert_eq!(answers(Doors::RequestBlock), (true, 2));
    assert_eq!(answers(Doors::ControlCode), (false, 2));
}

#[test]
fn what_does_not_fit_is_refused_with_its_own_status() {
    let ((), report) = world(Paired::new(LIMITS))
        .run(|stack| {
            for at in [at::HEADER_LENGTH, at::LENGTH, at::SIZE] {
                for wrong in [0, 1, 23, 25, 27, 29, 52, u32::MAX] {
                    let answer = Ask::new(stack, 0).with(at, wrong).answer(stack);
                    let length = (STATUS_INFO_LENGTH_MISMATCH, SRB_STATUS_INVALID_REQUEST);
                    assert_eq!(answer.statuses(), length, "{wrong} at {at}");
                }
            }
            for length in [0, 1, 27, 28, 51] {
                let answer = Ask::new(stack, 0).length(length).answer(stack);
                assert_eq!(answer.done.irp.status, STATUS_INFO_LENGTH_MISMATCH);
            }
            for version in [0, 2, u32::MAX] {
                let answer = Ask::new(stack, 0)
                    .with(at::VERSION, version)
                    .with(at::SIZE, 4096)
                    .answer(stack);
                let revision = (STATUS_REVISION_MISMATCH, SRB_STATUS_INVALID_REQUEST);
                assert_eq!(answer.statuses(), revision, "version {version}");
                assert_eq!(answer.word(at::VERSION), 1, "the one that is known");
            }
            let other = Ask::new(stack, 0).with(at::CONTROL_CODE, CODE + 4);
            let unknown = (STATUS_INVALID_DEVICE_REQUEST, SRB_STATUS_INVALID_REQUEST);
            assert_eq!(other.answer(stack).statuses(), unknown);
            assert_eq!(stack.port().paired_counts().asked, 0);
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn a_block_that_the_mdl_does_not_show_is_a_violation() {
    let ((), report) = world(Paired::new(LIMITS))
        .run(|stack| {
            let none = Ask::new(stack, 0).changed(stack, |scsi| scsi.mdl(Mdl::None));
            let short = Ask::new(stack, 0).changed(stack, |scsi| scsi.mdl(Mdl::Length(51)));
            let write = Ask::new(stack, 0).changed(stack, |scsi| scsi.flags(SRB_FLAGS_DATA_OUT));
            assert_eq!(none.done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
            assert_eq!(short.done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
            assert_eq!(write.done.irp.status, 0, "answered, and noted");
        })
        .expect("no bug check");
    let seen: Vec<_> = report.violations.iter().map(|one| one.violation).collect();
    assert_eq!(
        seen,
        [
            Violation::NoMdl,
            Violation::OutsideMdl,
            Violation::Direction
        ]
    );
}

#[test]
fn somebody_elses_io_control_is_no_affair_of_the_interface() {
    let ((), report) = world(Paired::new(LIMITS))
        .run(|stack| {
            let request = Ask::new(stack, 0)
                .code(0)
                .with(at::SIGNATURE, u32::from_le_bytes(*b"OTHR"));
            let answer = request.changed(stack, |scsi| scsi.flags(SRB_FLAGS_DATA_OUT));
            assert_eq!(answer.done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
            let counts = stack.port().paired_counts();
            assert_eq!((counts.asked, counts.refused), (0, 0));
        })
        .expect("no bug check");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn through_the_class_driver_only_the_request_block_arrives() {
    // ClassInternalIoControl hands the SRB on and nothing else of the stack location, so a port that
    // looks at the control code alone never hears of it.
    for (doors, heard) in [(Doors::Both, true), (Doors::ControlCode, false)] {
        world(Paired::new(LIMITS).doors(doors))
            .stack(StackKind::Disk)
            .run(move |stack| {
                let answer = Ask::new(stack, 0).answer(stack);
                if heard {
                    assert_eq!(answer.limits(), (1, LIMITS));
                } else {
                    assert_eq!(answer.done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
                }
                let record = stack.port().records().pop().expect("it arrived");
                assert_eq!((record.major, record.minor), (15, 1), "IRP_MN_SCSI_CLASS");
            })
            .expect("no bug check");
    }
}
