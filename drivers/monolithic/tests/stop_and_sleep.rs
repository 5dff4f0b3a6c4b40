//! Before the device stops or sleeps, the request that runs comes to its end; those that wait, and
//! those that come meanwhile, are served when it works again.

mod common;

use common::{BOTH, Exchange, PAGE, assert_success, run, world};
use ntsim::pnp::DevicePower;
use ntsim::world::DmaStack;

/// Sends requests before and while the device is taken out of service by `down`.
fn keeps_requests(down: fn(&DmaStack), up: fn(&DmaStack)) {
    for segments in [1, 8] {
        for direction in BOTH {
            run(world().map_registers(2).max_segments(segments), |stack| {
                let exchanges: Vec<_> = (0..4)
                    .map(|n| Exchange::new(stack, direction, n * 0x1_0000, 12 * PAGE, 0))
                    .collect();
                let mut pending: Vec<_> = exchanges[..3]
                    .iter()
                    .map(|it| it.transfer(stack).send())
                    .collect();
                down(stack);
                let sent = stack.controller().operations().len();
                assert_eq!(sent % 6, 0, "no request is left in the middle");
                pending.push(exchanges[3].transfer(stack).send());
                assert_eq!(
                    stack.controller().operations().len(),
                    sent,
                    "nothing begins"
                );
                up(stack);
                for (pending, exchange) in pending.into_iter().zip(&exchanges) {
                    assert_success(&pending.wait(), 12 * PAGE);
                    assert_eq!(exchange.moved(stack), 12 * PAGE);
                }
            });
        }
    }
}

#[test]
fn over_a_rebalance() {
    keeps_requests(
        |stack| stack.stop().expect("nobody objects"),
        |stack| stack.start().expect("the same resources"),
    );
}

#[test]
fn over_sleep() {
    keeps_requests(
        |stack| {
            stack.set_power(DevicePower::D3);
        },
        |stack| {
            stack.set_power(DevicePower::D0);
        },
    );
}

#[test]
fn a_device_that_is_stopped_can_be_removed() {
    run(world().map_registers(2), |stack| {
        stack.stop().expect("nobody objects");
        let exchange = Exchange::new(stack, BOTH[0], 0, 4 * PAGE, 0);
        let pending = exchange.transfer(stack).send();
        stack.remove().expect("nobody objects");
        assert!(!pending.wait().succeeded());
        assert_eq!(stack.controller().operations().len(), 0);
    });
}
