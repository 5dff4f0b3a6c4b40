//! A portion that fails, or moves less than it should, ends the request with its own status; short
//! transfers count truly.

mod common;

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, SECTOR, assert_failure, assert_success, lower, moves,
    portions, portions_of, run,
};
use ntsim::abi::{
    STATUS_DEVICE_DATA_ERROR, STATUS_DEVICE_HARDWARE_ERROR, STATUS_DEVICE_NOT_CONNECTED,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE, STATUS_VERIFY_REQUIRED,
};
use ntsim::port::{Completion, Fault, Hba, Kind};

const COUNT: usize = 6;
const PAGES: usize = 2;
const PORTION: usize = PAGES * PAGE;
const BLOCKS: u64 = (PORTION / SECTOR) as u64;

#[test]
fn every_failure_at_every_portion() {
    let failures = [
        (Kind::MediumError, STATUS_DEVICE_DATA_ERROR),
        (Kind::HardwareError, STATUS_DEVICE_HARDWARE_ERROR),
        (Kind::VerifyRequired, STATUS_VERIFY_REQUIRED),
        (Kind::SelectionTimeout, STATUS_DEVICE_NOT_CONNECTED),
        (Kind::NoDevice, STATUS_NO_SUCH_DEVICE),
    ];
    for carriage in CARRIAGES {
        for completion in [Completion::Inline, Completion::Later(1..100)] {
            for (kind, status) in failures {
                for portion in 0..COUNT {
                    let hba = Hba::unlimited().completion(completion.clone());
                    run(portions_of(PAGES, carriage).hba(hba), |stack| {
                        stack.watch(lower(stack));
                        let process = stack.process("program");
                        let length = COUNT * PORTION;
                        let exchange = Exchange::new(stack, &process, BOTH[0], 0, length, 0);
                        let fault = Fault::new(kind).at_lba(portion as u64 * BLOCKS);
                        stack.port().fault(fault);
                        let done = exchange.transfer(stack).send().wait();
                        assert_failure(&done, status);
                        assert!(exchange.has_moved(stack, 0..portion * PORTION));
                        let after = (portion + 1) * PORTION..length;
                        assert!(exchange.is_as_before(stack, after), "nothing more was sent");
                        assert_eq!(portions(stack).len(), portion + 1);
                        assert_eq!(process.locked_pages(), 0);
                        moves(stack, &exchange);
                    });
                }
            }
        }
    }
}

#[test]
fn a_short_portion_ends_the_request_and_counts() {
    for carriage in CARRIAGES {
        for portion in 0..COUNT {
            for moved in [SECTOR, 3 * SECTOR, PORTION - SECTOR] {
                run(portions_of(PAGES, carriage), |stack| {
                    stack.watch(lower(stack));
                    let process = stack.process("program");
                    let length = COUNT * PORTION;
                    let exchange = Exchange::new(stack, &process, BOTH[1], 0, length, 0);
                    let fault = Fault::new(Kind::Short)
                        .at_lba(portion as u64 * BLOCKS)
                        .bytes(moved as u32);
                    stack.port().fault(fault);
                    let done = exchange.transfer(stack).send().wait();
                    let all = portion * PORTION + moved;
                    assert_success(&done, all);
                    assert!(exchange.has_moved(stack, 0..all));
                    assert!(exchange.is_as_before(stack, all..length));
                    assert_eq!(portions(stack).len(), portion + 1);
                });
            }
        }
    }
}

#[test]
fn no_resources_below_is_the_drivers_below_own_affair() {
    // Only what cannot be *locked* is tried again in halves: what the driver below lacks it can say
    // itself, and a filter like xfersplit halves its pieces.
    let world = portions_of(PAGES, 0).setting("MaxRetries", 0);
    run(world, |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, COUNT * PORTION, 0);
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesIrp).always());
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
        assert_eq!(portions(stack).len(), 1);
    });
}

#[test]
fn beyond_the_end_of_the_disk() {
    for carriage in CARRIAGES {
        run(portions_of(PAGES, carriage), |stack| {
            let process = stack.process("program");
            let end = 64 << 20;
            let buffer = stack.user_buffer(&process, 4 * PORTION, 0);
            buffer.fill(0x44);
            let done = stack
                .user_write(end - PORTION as u64, &buffer)
                .send()
                .wait();
            assert!(!done.succeeded(), "{done:?}");
            assert_eq!(done.information, 0);
            let mut last = vec![0; PORTION];
            stack.disk().peek(end - PORTION as u64, &mut last);
            assert!(
                last.iter().all(|&byte| byte == 0x44),
                "the first portion fits"
            );
        });
    }
}
