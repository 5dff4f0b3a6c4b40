//! A request that waits is cancelled at once; the one that runs, between two operations, or not at
//! all if it has none left. Either way it ends once.

mod common;

use common::{BOTH, Exchange, PAGE, assert_failure, assert_success, complete, run, world};
use ntsim::abi::STATUS_CANCELLED;

#[test]
fn one_that_waits() {
    run(world().map_registers(2), |stack| {
        stack.controller().hold(true);
        let running = Exchange::new(stack, BOTH[1], 0, 4 * PAGE, 0);
        let waiting = Exchange::new(stack, BOTH[1], 0x1_0000, 4 * PAGE, 0);
        let first = running.transfer(stack).send();
        let second = waiting.transfer(stack).send();
        assert!(second.cancel(), "it waits in a cancel-safe queue");
        assert_failure(&second.wait(), STATUS_CANCELLED);
        assert_eq!(waiting.moved(stack), 0);
        assert!(!first.is_done());
        stack.controller().hold(false);
        assert_success(&first.wait(), 4 * PAGE);
    });
}

#[test]
fn one_that_runs_ends_after_its_operation() {
    for segments in [1, 8] {
        for direction in BOTH {
            run(world().map_registers(2).max_segments(segments), |stack| {
                for before in 0..5 {
                    let sent = stack.controller().operations().len();
                    stack.controller().hold(true);
                    let exchange = Exchange::new(stack, direction, 0, 12 * PAGE, 0);
                    let pending = exchange.transfer(stack).send();
                    for _ in 0..before {
                        complete(stack);
                    }
                    assert!(!pending.cancel(), "a running request has no cancel routine");
                    assert!(!pending.is_done(), "the controller has its memory");
                    complete(stack);
                    assert_failure(&pending.wait(), STATUS_CANCELLED);
                    assert_eq!(stack.controller().operations().len() - sent, before + 1);
                    assert_eq!(exchange.moved(stack), (before + 1) * 2 * PAGE);
                    stack.controller().hold(false);
                }
            });
        }
    }
}

#[test]
fn one_whose_last_operation_runs_succeeds() {
    run(world().map_registers(2), |stack| {
        stack.controller().hold(true);
        let exchange = Exchange::new(stack, BOTH[0], 0, 4 * PAGE, 0);
        let pending = exchange.transfer(stack).send();
        complete(stack);
        pending.cancel();
        complete(stack);
        assert_success(&pending.wait(), 4 * PAGE);
        assert_eq!(exchange.moved(stack), 4 * PAGE);
        stack.controller().hold(false);
    });
}

#[test]
fn of_many_that_wait_any_can_be_cancelled_and_the_others_keep_their_order() {
    for chosen in 0..6_usize {
        run(world().map_registers(2), |stack| {
            stack.controller().hold(true);
            let exchanges: Vec<_> = (0..6)
                .map(|n| Exchange::new(stack, BOTH[1], n * 0x1_0000, 2 * PAGE, 0))
                .collect();
            let first = Exchange::new(stack, BOTH[1], 0x7_0000, 2 * PAGE, 0);
            let running = first.transfer(stack).send();
            let mut waiting: Vec<_> = exchanges
                .iter()
                .map(|it| it.transfer(stack).send())
                .collect();
            let cancelled = waiting.remove(chosen);
            assert!(cancelled.cancel());
            assert_failure(&cancelled.wait(), STATUS_CANCELLED);
            stack.controller().hold(false);
            assert_success(&running.wait(), 2 * PAGE);
            for pending in waiting {
                assert_success(&pending.wait(), 2 * PAGE);
            }
            let order: Vec<_> = stack
                .controller()
                .operations()
                .iter()
                .map(|it| it.lba)
                .collect();
            let mut sorted = order[1..].to_vec();
            sorted.sort_unstable();
            assert_eq!(order[1..], sorted, "in order of arrival");
        });
    }
}
