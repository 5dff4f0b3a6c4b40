//! A buffer larger than what can be locked moves all the same, down to a single page at a time.

mod common;

use common::{
    BOTH, CARRIAGES, Exchange, PAGE, SECTOR, assert_failure, lower, moves, portions, portions_of,
    quota, resources, run, world,
};
use ntsim::abi::{STATUS_INSUFFICIENT_RESOURCES, STATUS_WORKING_SET_QUOTA};
use ntsim::port::Disk;

#[test]
fn one_page_is_enough_for_a_mebibyte() {
    for limits in [quota(1), resources(1)] {
        for carriage in CARRIAGES {
            for direction in BOTH {
                let world = world().setting("Carriage", carriage).lock_limits(limits);
                let ((), report) = run(world, |stack| {
                    let process = stack.process("program");
                    moves(
                        stack,
                        &Exchange::new(stack, &process, direction, 0, 1 << 20, 0),
                    );
                });
                assert_eq!(report.locks.peak, 1);
                assert_eq!(report.locks.ranges, 256);
            }
        }
    }
}

#[test]
fn the_first_and_the_last_portion_end_where_their_page_does() {
    run(world().lock_limits(quota(1)), |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        let length = 2 * PAGE + 3 * SECTOR;
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, length, 7 * SECTOR);
        moves(stack, &exchange);
        let lengths: Vec<_> = portions(stack).iter().map(|one| one.length).collect();
        assert_eq!(lengths, [512, 4096, 4096, 1024]);
    });
}

#[test]
fn portions_are_halved_until_they_can_be_locked() {
    for (limit, expected) in [(16, 16), (15, 8), (8, 8), (7, 4), (3, 2), (2, 2), (1, 1)] {
        for limits in [quota(limit), resources(limit)] {
            run(world().lock_limits(limits), |stack| {
                stack.watch(lower(stack));
                let process = stack.process("program");
                let length = 8 * expected * PAGE;
                moves(
                    stack,
                    &Exchange::new(stack, &process, BOTH[1], 0, length, 0),
                );
                let sizes: Vec<_> = portions(stack).iter().map(|one| one.span_pages).collect();
                assert_eq!(sizes, [expected as u32; 8], "limit {limit}");
            });
        }
    }
}

#[test]
fn a_shortage_that_passes_is_not_remembered_for_ever() {
    run(portions_of(4, 0), |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        let exchange = Exchange::new(stack, &process, BOTH[0], 0, 64 * PAGE, 0);
        process.limit_locked_pages(1);
        let other = process.clone();
        // Room again as soon as the twelfth portion has arrived.
        let mut arrived = 0;
        stack.port().observe(Some(Box::new(move |_| {
            arrived += 1;
            if arrived == 12 {
                other.limit_locked_pages(64);
            }
        })));
        moves(stack, &exchange);
        stack.port().observe(None);
        let sizes: Vec<_> = portions(stack).iter().map(|one| one.span_pages).collect();
        // Eight at one page; two pages were tried in vain; eight more; then two and four.
        let mut expected = vec![1; 16];
        expected.extend([2; 8]);
        expected.extend([4; 8]);
        assert_eq!(sizes, expected);
    });
}

#[test]
fn a_sector_across_two_pages_needs_two_pages() {
    let unaligned = 256;
    for (limits, status) in [
        (quota(1), STATUS_WORKING_SET_QUOTA),
        (resources(1), STATUS_INSUFFICIENT_RESOURCES),
    ] {
        run(world().lock_limits(limits), |stack| {
            let process = stack.process("program");
            for direction in BOTH {
                let exchange = Exchange::new(stack, &process, direction, 0, 4 * PAGE, unaligned);
                assert_failure(&exchange.transfer(stack).send().wait(), status);
                assert!(exchange.is_as_before(stack, 0..4 * PAGE));
            }
        });
    }
    run(world().lock_limits(quota(2)), |stack| {
        let process = stack.process("program");
        for direction in BOTH {
            moves(
                stack,
                &Exchange::new(stack, &process, direction, 0, 4 * PAGE, unaligned),
            );
        }
    });
}

#[test]
fn a_portion_is_never_less_than_a_sector() {
    let sector = 2 * PAGE;
    let disk = Disk::memory(1 << 12, sector as u32);
    run(portions_of(1, 0).disk(disk), |stack| {
        stack.watch(lower(stack));
        let process = stack.process("program");
        let mut aligned = 0;
        for direction in BOTH.into_iter().cycle().take(4) {
            let exchange = Exchange::new(stack, &process, direction, 0, 4 * sector, 0);
            aligned += usize::from(exchange.buffer().address().addr().is_multiple_of(sector));
            moves(stack, &exchange);
        }
        let lengths: Vec<_> = portions(stack).iter().map(|one| one.length).collect();
        assert_eq!(lengths, [sector as u32; 4 * 4]);
        assert!(aligned > 0, "a sector can end where a page does");
    });
}

#[test]
fn nothing_can_be_locked_at_all() {
    for (limits, status) in [
        (quota(0), STATUS_WORKING_SET_QUOTA),
        (resources(0), STATUS_INSUFFICIENT_RESOURCES),
    ] {
        let ((), report) = run(world().lock_limits(limits), |stack| {
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, BOTH[0], 0, 64 * PAGE, 0);
            assert_failure(&exchange.transfer(stack).send().wait(), status);
        });
        assert_eq!(report.locks.ranges, 0);
    }
}
