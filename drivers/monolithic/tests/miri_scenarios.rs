//! Scenarios small enough to run under Miri: each way through the driver once, with a few operations,
//! on the deterministic clock. Together they reach every unsafe block.
//!
//! `cargo +nightly miri test -p xfersplit-monolithic --test miri_scenarios miri_`

mod common;

use common::{BOTH, Exchange, PAGE, SECTOR, assert_failure, assert_success, complete, run};
use ntsim::abi::{
    STATUS_CANCELLED, STATUS_DEVICE_DATA_ERROR, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE,
};
use ntsim::dma::Grants;
use ntsim::pnp::DevicePower;
use ntsim::port::Disk;
use ntsim::world::{DmaStack, DmaWorld};

/// Two map registers: three pages are two operations. Without and with scatter/gather.
fn small() -> [DmaWorld; 2] {
    [1, 4].map(|segments| {
        common::world()
            .disk(Disk::memory(1 << 8, SECTOR as u32))
            .map_registers(2)
            .max_segments(segments)
    })
}

fn request(stack: &DmaStack, direction: usize) -> Exchange {
    Exchange::new(stack, BOTH[direction], 0, 3 * PAGE, 0)
}

#[test]
fn miri_operations() {
    for world in small() {
        run(world, |stack| {
            for direction in [0, 1] {
                request(stack, direction).moves(stack);
            }
        });
    }
}

#[test]
fn miri_bounces_and_late_grants() {
    for world in small() {
        let late = world.address_bits(24).grants(Grants::Later(100));
        run(late, |stack| {
            Exchange::new(stack, BOTH[0], SECTOR as u64, 2 * SECTOR, PAGE - SECTOR).moves(stack);
        });
    }
}

#[test]
fn miri_refusals() {
    run(common::world().map_registers(1), |stack| {
        let crooked = stack.buffer(2 * SECTOR, PAGE - SECTOR / 2);
        let done = stack.read(0, &crooked).send().wait();
        assert_failure(&done, STATUS_INVALID_DEVICE_REQUEST);
        let done = stack.read(1, &crooked).send().wait();
        assert_failure(&done, STATUS_INVALID_PARAMETER);
        let done = stack.write(0, &crooked).length(0).no_mdl().send().wait();
        assert_success(&done, 0);
    });
}

#[test]
fn miri_a_medium_error() {
    for world in small() {
        run(world, |stack| {
            stack.controller().fail_sector(1, Some(1));
            let done = request(stack, 1).transfer(stack).send().wait();
            assert_failure(&done, STATUS_DEVICE_DATA_ERROR);
        });
    }
}

#[test]
fn miri_cancelled() {
    for world in small() {
        run(world, |stack| {
            stack.controller().hold(true);
            let (first, second) = (request(stack, 0), request(stack, 0));
            let running = first.transfer(stack).send();
            let waiting = second.transfer(stack).send();
            assert!(waiting.cancel());
            assert_failure(&waiting.wait(), STATUS_CANCELLED);
            running.cancel();
            complete(stack);
            assert_failure(&running.wait(), STATUS_CANCELLED);
        });
    }
}

#[test]
fn miri_pulled_out() {
    for world in small() {
        run(world, |stack| {
            stack.controller().hold(true);
            let exchanges = [request(stack, 0), request(stack, 1)];
            let pending = exchanges.each_ref().map(|it| it.transfer(stack).send());
            stack.pull_out().expect("nobody may refuse");
            for pending in pending {
                assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
            }
        });
    }
}

#[test]
fn miri_pulled_out_before_a_grant() {
    for world in small() {
        run(world.grants(Grants::Later(1_000)), |stack| {
            let exchange = request(stack, 1);
            let pending = exchange.transfer(stack).send();
            stack.pull_out().expect("nobody may refuse");
            assert_failure(&pending.wait(), STATUS_NO_SUCH_DEVICE);
        });
    }
}

#[test]
fn miri_stop_and_sleep() {
    run(common::world().map_registers(2), |stack| {
        let exchange = request(stack, 0);
        let pending = exchange.transfer(stack).send();
        stack.stop().expect("nobody objects");
        stack.start().expect("the same resources");
        stack.set_power(DevicePower::D3);
        stack.set_power(DevicePower::D0);
        assert_success(&pending.wait(), 3 * PAGE);
    });
}

#[test]
fn miri_no_registers() {
    for world in [
        common::world().map_registers(0),
        common::world().no_adapter(),
    ] {
        let (started, _) = world.try_run(|_| ()).unwrap_or_else(|it| panic!("{it}"));
        assert_eq!(started, Err(STATUS_INSUFFICIENT_RESOURCES));
    }
}
