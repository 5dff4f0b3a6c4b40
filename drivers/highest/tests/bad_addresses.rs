//! Whatever address a program names: STATUS_ACCESS_VIOLATION, no bytes claimed, nothing left locked,
//! and nothing of the system's touched.

mod common;

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, SECTOR, assert_failure, assert_refused, assert_success, moves,
    portions_of, run, world,
};
use ntsim::abi::STATUS_ACCESS_VIOLATION;
use ntsim::memory::{Protection, USER_PROBE_ADDRESS};
use ntsim::port::Direction;

const PAGES: usize = 8;

#[test]
fn a_kernel_address_in_a_users_request() {
    for carriage in CARRIAGES {
        let ((), report) = run(portions_of(2, carriage), |stack| {
            let process = stack.process("program");
            let buffer = stack.user_buffer(&process, PAGES * PAGE, 0);
            let secret = stack.system_buffer(PAGES * PAGE);
            secret.fill(0x11);
            let victim = secret.address().addr();
            for request in [stack.user_read(0, &buffer), stack.user_write(0, &buffer)] {
                assert_refused(stack, STATUS_ACCESS_VIOLATION, request.address(victim));
            }
            assert!(secret.bytes().iter().all(|&byte| byte == 0x11));
        });
        assert_eq!(report.locks.kernel_ranges, 0);
    }
}

#[test]
fn a_range_that_reaches_beyond_user_memory() {
    run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer_last(&process, 2 * PAGE);
        for beyond in [SECTOR, PAGE, 1 << 20] {
            let request = stack.user_read(0, &buffer);
            let length = (2 * PAGE + beyond) as u32;
            assert_refused(stack, STATUS_ACCESS_VIOLATION, request.length(length));
        }
        for address in [USER_PROBE_ADDRESS, USER_PROBE_ADDRESS - 1] {
            let request = stack.user_write(0, &buffer).address(address);
            assert_refused(stack, STATUS_ACCESS_VIOLATION, request);
        }
        let done = stack.user_write(0, &buffer).send().wait();
        assert_success(&done, 2 * PAGE);
    });
}

#[test]
fn a_range_that_wraps_around() {
    run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGES * PAGE, 0);
        for address in [
            usize::MAX,
            usize::MAX - PAGE,
            0_usize.wrapping_sub(PAGES * PAGE - 1),
        ] {
            for direction in BOTH {
                let request = || match direction {
                    Direction::Read => stack.user_read(0, &buffer).address(address),
                    Direction::Write => stack.user_write(0, &buffer).address(address),
                };
                assert_refused(stack, STATUS_ACCESS_VIOLATION, request());
                // Not even the kernel can name such a range.
                assert_refused(stack, STATUS_ACCESS_VIOLATION, request().kernel_mode());
            }
        }
    });
}

#[test]
fn no_address_at_all() {
    run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGES * PAGE, 0);
        for request in [stack.user_read(0, &buffer), stack.user_write(0, &buffer)] {
            let done = request.address(0).send().wait();
            assert_failure(&done, STATUS_ACCESS_VIOLATION);
        }
        assert_eq!(stack.port().transfers().len(), 0);
    });
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Hole,
    NoAccess,
    ReadOnly,
}

/// A buffer with one bad page: what was portioned before it has moved, the rest has not.
fn one_bad_page(direction: Direction, wrong: Wrong, carriage: u32, page: usize, inside: usize) {
    const PORTION: usize = 2;
    run(portions_of(PORTION, carriage), |stack| {
        let process = stack.process("program");
        let length = PAGES * PAGE;
        let exchange = Exchange::new(stack, &process, direction, 0, length, inside);
        // Where the bad page begins in the buffer.
        let start = (page * PAGE).saturating_sub(inside);
        let bad = start..start + 1;
        match wrong {
            Wrong::Hole => exchange.buffer().unmap(bad),
            Wrong::NoAccess => exchange.buffer().protect(bad, Protection::NoAccess),
            Wrong::ReadOnly => exchange.buffer().protect(bad, Protection::ReadOnly),
        }
        let done = exchange.transfer(stack).send().wait();
        assert_failure(&done, STATUS_ACCESS_VIOLATION);
        assert_eq!(process.locked_pages(), 0);
        // Portions are whole pages from the first page of the buffer on.
        let good = (page / PORTION * PORTION * PAGE).saturating_sub(inside);
        assert!(
            exchange.has_moved(stack, 0..good),
            "{wrong:?} in page {page}"
        );
        assert!(
            exchange.is_as_before(stack, good..length),
            "{wrong:?} in page {page}"
        );
    });
}

#[test]
fn a_hole_at_the_start_in_the_middle_and_at_the_end() {
    for direction in BOTH {
        for carriage in CARRIAGES {
            for page in 0..PAGES {
                one_bad_page(direction, Wrong::Hole, carriage, page, 0);
                one_bad_page(direction, Wrong::Hole, carriage, page, 3 * SECTOR);
            }
        }
    }
}

#[test]
fn a_page_without_access() {
    for direction in BOTH {
        for page in 0..PAGES {
            one_bad_page(direction, Wrong::NoAccess, 0, page, 0);
        }
    }
}

#[test]
fn a_read_needs_pages_that_can_be_written() {
    for page in 0..PAGES {
        for carriage in CARRIAGES {
            one_bad_page(Direction::Read, Wrong::ReadOnly, carriage, page, 0);
        }
    }
}

#[test]
fn a_write_needs_no_more_than_reading() {
    for carriage in CARRIAGES {
        run(portions_of(2, carriage), |stack| {
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, Direction::Write, 0, PAGES * PAGE, 0);
            let whole = 0..PAGES * PAGE;
            exchange.buffer().protect(whole, Protection::ReadOnly);
            moves(stack, &exchange);
        });
    }
}

#[test]
fn the_kernel_may_name_its_own_memory() {
    for carriage in CARRIAGES {
        run(portions_of(2, carriage), |stack| {
            let process = stack.process("program");
            let length = PAGES * PAGE;
            let buffer = stack.user_buffer(&process, length, 0);
            let system = stack.system_buffer(length);
            stack.disk().poke(0, &vec![0x77; length]);
            let request = stack.user_read(0, &buffer).address(system.address().addr());
            assert_success(&request.kernel_mode().send().wait(), length);
            assert!(system.bytes().iter().all(|&byte| byte == 0x77));
        });
    }
}

#[test]
fn a_bad_request_spoils_nothing_for_the_next() {
    run(portions_of(2, 1), |stack| {
        let process = stack.process("program");
        for _ in 0..20 {
            let bad = Exchange::new(stack, &process, Direction::Read, 0, PAGES * PAGE, 0);
            bad.buffer().unmap(5 * PAGE..6 * PAGE);
            let done = bad.transfer(stack).send().wait();
            assert_failure(&done, STATUS_ACCESS_VIOLATION);
            let good = Exchange::new(stack, &process, Direction::Read, 0, PAGES * PAGE, 0);
            moves(stack, &good);
        }
    });
}
