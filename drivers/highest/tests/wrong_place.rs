//! A user's buffer is looked at only in the requestor's own process and at PASSIVE_LEVEL: anywhere
//! else the request is refused, with nothing locked and nothing sent.

mod common;

use common::{BOTH, Exchange, PAGE, assert_refused, moves, run, world};
use ntsim::abi::{APC_LEVEL, DISPATCH_LEVEL, STATUS_INVALID_DEVICE_REQUEST};

const LENGTH: usize = 8 * PAGE;
const REFUSED: i32 = STATUS_INVALID_DEVICE_REQUEST;

#[test]
fn another_process() {
    run(world(), |stack| {
        let (program, other) = (stack.process("program"), stack.process("other"));
        // The other program has a buffer at the very same address.
        let bystander = stack.user_buffer(&other, LENGTH, 0);
        bystander.fill(0x33);
        for direction in BOTH {
            let exchange = Exchange::new(stack, &program, direction, 0, LENGTH, 0);
            let request = exchange.transfer(stack);
            assert_refused(stack, REFUSED, request.sent_in(&other));
            let request = exchange.transfer(stack).kernel_mode();
            assert_refused(stack, REFUSED, request.sent_in(&other));
            moves(stack, &exchange);
        }
        assert!(bystander.bytes().iter().all(|&byte| byte == 0x33));
    });
}

#[test]
fn a_worker_thread_of_the_system() {
    run(world(), |stack| {
        let program = stack.process("program");
        for direction in BOTH {
            let exchange = Exchange::new(stack, &program, direction, 0, LENGTH, 0);
            assert_refused(stack, REFUSED, exchange.transfer(stack).sent_in_system());
            moves(stack, &exchange);
        }
    });
}

#[test]
fn a_request_in_the_name_of_somebody_else() {
    run(world(), |stack| {
        let (program, other) = (stack.process("program"), stack.process("other"));
        for direction in BOTH {
            let exchange = Exchange::new(stack, &program, direction, 0, LENGTH, 0);
            assert_refused(stack, REFUSED, exchange.transfer(stack).thread_of(&other));
            assert_refused(stack, REFUSED, exchange.transfer(stack).no_thread());
        }
    });
}

#[test]
fn above_passive_level() {
    for irql in [APC_LEVEL, DISPATCH_LEVEL] {
        run(world(), |stack| {
            let program = stack.process("program");
            for direction in BOTH {
                let exchange = Exchange::new(stack, &program, direction, 0, LENGTH, 0);
                let request = exchange.transfer(stack).irql(irql as u8);
                assert_refused(stack, REFUSED, request);
                moves(stack, &exchange);
            }
        });
    }
}
