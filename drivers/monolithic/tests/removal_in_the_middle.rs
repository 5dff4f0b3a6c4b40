//! The device is pulled out while the controller works on a request and others wait: every request
//! ends, nothing stays mapped, and the driver lets the removal go on.

mod common;

use common::{BOTH, Exchange, PAGE, assert_failure, assert_success, complete, run, world};
use ntsim::abi::{STATUS_DELETE_PENDING, STATUS_NO_SUCH_DEVICE};
use ntsim::dma::Grants;

#[test]
fn pulled_out_during_any_operation() {
    for segments in [1, 8] {
        for direction in BOTH {
            for before in 0..6 {
                let ((), report) = run(world().map_registers(2).max_segments(segments), |stack| {
                    stack.controller().hold(true);
                    let running = Exchange::new(stack, direction, 0, 12 * PAGE, 0);
                    let waiting = Exchange::new(stack, direction, 0x2_0000, 12 * PAGE, 0);
                    let first = running.transfer(stack).send();
                    let second = waiting.transfer(stack).send();
                    for _ in 0..before {
                        complete(stack);
                    }
                    stack.pull_out().expect("nobody may refuse");
                    assert_failure(&first.wait(), STATUS_NO_SUCH_DEVICE);
                    assert_failure(&second.wait(), STATUS_NO_SUCH_DEVICE);
                    assert_eq!(waiting.moved(stack), 0);
                });
                assert_eq!(report.controller.succeeded, before);
            }
        }
    }
}

#[test]
fn what_comes_after_it_is_turned_down() {
    run(world(), |stack| {
        stack.pull_out().expect("nobody may refuse");
        let buffer = stack.buffer(PAGE, 0);
        let done = stack.read(0, &buffer).send().wait();
        assert_failure(&done, STATUS_NO_SUCH_DEVICE);
    });
}

#[test]
fn pulled_out_while_it_waits_for_map_registers() {
    for segments in [1, 8] {
        let late = world()
            .map_registers(4)
            .max_segments(segments)
            .grants(Grants::Later(5_000));
        run(late, |stack| {
            let exchange = Exchange::new(stack, BOTH[1], 0, 12 * PAGE, 0);
            let pending = exchange.transfer(stack).send();
            stack.pull_out().expect("nobody may refuse");
            assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
            assert_eq!(stack.controller().operations().len(), 0);
        });
    }
}

#[test]
fn an_orderly_removal_lets_the_request_that_runs_end() {
    run(world().map_registers(2), |stack| {
        let exchange = Exchange::new(stack, BOTH[0], 0, 12 * PAGE, 0);
        let pending = exchange.transfer(stack).send();
        stack.remove().expect("nobody objects");
        let done = pending.wait();
        if done.succeeded() {
            assert_success(&done, 12 * PAGE);
            assert_eq!(exchange.moved(stack), 12 * PAGE);
        } else {
            // It had not begun.
            let status = done.status;
            assert!(status == STATUS_NO_SUCH_DEVICE || status == STATUS_DELETE_PENDING);
        }
    });
}
