//! An operation that fails ends its request with the error: nothing more of it is sent, it claims no
//! bytes, what was mapped is given back, and the next request is as if nothing had been.

mod common;

use common::{BOTH, Exchange, PAGE, SECTOR, assert_failure, run, world};
use ntsim::abi::STATUS_DEVICE_DATA_ERROR;

/// Sectors of an operation in this file.
const SECTORS: u64 = 2 * (PAGE / SECTOR) as u64;

#[test]
fn whichever_operation_fails() {
    for direction in BOTH {
        for segments in [1, 8] {
            let world = world().map_registers(2).max_segments(segments);
            let ((), report) = run(world, |stack| {
                for bad in 0..6 {
                    let before = stack.controller().operations().len();
                    stack.controller().fail_sector(bad * SECTORS + 3, Some(1));
                    let exchange = Exchange::new(stack, direction, 0, 12 * PAGE, 0);
                    let done = exchange.transfer(stack).send().wait();
                    assert_failure(&done, STATUS_DEVICE_DATA_ERROR);
                    let sent = stack.controller().operations().len() - before;
                    assert_eq!(sent as u64, bad + 1, "none behind the one that failed");
                    assert!(exchange.moved(stack) as u64 >= bad * SECTORS * SECTOR as u64);
                    exchange.moves(stack);
                }
            });
            assert_eq!(report.controller.failed, 6);
        }
    }
}

#[test]
fn others_that_wait_are_served() {
    run(world().map_registers(2), |stack| {
        stack.controller().fail_sector(0, Some(1));
        let bad = Exchange::new(stack, BOTH[0], 0, 4 * PAGE, 0);
        let good = Exchange::new(stack, BOTH[0], 0x2_0000, 4 * PAGE, 0);
        let (first, second) = (bad.transfer(stack).send(), good.transfer(stack).send());
        assert_failure(&first.wait(), STATUS_DEVICE_DATA_ERROR);
        common::assert_success(&second.wait(), 4 * PAGE);
        assert_eq!(good.moved(stack), 4 * PAGE);
    });
}
