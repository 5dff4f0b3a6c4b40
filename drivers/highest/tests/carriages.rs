//! How a portion travels: in an IRP of the driver's own with the portion's MDL, or in one of
//! IoBuildSynchronousFsdRequest, by a system address and never by one of the program's.

mod common;

use std::collections::BTreeSet;

use common::{BOTH, CARRIAGES, Exchange, PAGE, SECTOR, lower, moves, portions, portions_of, run};
use ntsim::abi::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IRP_DEFER_IO_COMPLETION, IRP_NOCACHE, IRP_PAGING_IO,
    IRP_SYNCHRONOUS_PAGING_IO, SL_WRITE_THROUGH,
};
use ntsim::machine::Call;
use ntsim::ntddk;
use ntsim::port::Direction;

const PAGES: usize = 4;
const COUNT: usize = 6;
const LENGTH: usize = COUNT * PAGES * PAGE;

/// IRPs that the driver had the I/O manager make, and that it allocated itself.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    io_manager: usize,
    own: usize,
}

fn irps_made(calls: &[Call]) -> Made {
    let by_driver = calls.iter().filter(|call| &*call.driver == "highest");
    let made = |name| by_driver.clone().filter(|call| call.name == name).count();
    Made {
        io_manager: made("IoBuildSynchronousFsdRequest"),
        own: made("IoAllocateIrp"),
    }
}

#[test]
fn an_irp_of_its_own_serves_all_portions() {
    for direction in BOTH {
        run(portions_of(PAGES, 0), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, direction, 0, LENGTH, 0);
            let before = stack.machine().allocations();
            moves(stack, &exchange);
            let after = stack.machine().allocations();
            assert_eq!(after.irp - before.irp, 1);
            assert_eq!(after.mdl - before.mdl, 1);
            let portions = portions(stack);
            let irps: BTreeSet<_> = portions.iter().map(|one| one.irp).collect();
            let mdls: BTreeSet<_> = portions.iter().map(|one| one.mdl).collect();
            assert_eq!((portions.len(), irps.len(), mdls.len()), (COUNT, 1, 1));
        });
    }
}

#[test]
fn the_io_manager_makes_an_irp_for_each_portion() {
    for direction in BOTH {
        run(portions_of(PAGES, 1), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, direction, 0, LENGTH, 0);
            stack.machine().watch_calls();
            moves(stack, &exchange);
            let made = irps_made(&stack.machine().calls());
            assert_eq!(
                made,
                Made {
                    io_manager: COUNT,
                    own: 0
                }
            );
            assert_eq!(portions(stack).len(), COUNT);
        });
    }
}

#[test]
fn what_goes_down() {
    for carriage in CARRIAGES {
        for direction in BOTH {
            run(portions_of(PAGES, carriage), |stack| {
                stack.watch(lower(stack));
                let process = stack.process("program");
                let start = 3 << 20;
                let exchange = Exchange::new(stack, &process, direction, start, LENGTH, 3 * SECTOR);
                moves(stack, &exchange);
                let mut next = start;
                for (index, portion) in portions(stack).iter().enumerate() {
                    assert_eq!(portion.offset, next);
                    assert_eq!(portion.mdl_bytes, portion.length);
                    assert_eq!(portion.mdls, 1);
                    // Whole pages, but for the first and the last.
                    let offset = if index == 0 { 3 * SECTOR as u32 } else { 0 };
                    assert_eq!(portion.page_offset, offset);
                    assert!(portion.span_pages <= PAGES as u32);
                    assert_eq!(portion.mode, 0, "below it is the kernel's request");
                    assert_eq!(portion.sender, "highest");
                    next += u64::from(portion.length);
                }
                assert_eq!(next, start + LENGTH as u64);
            });
        }
    }
}

#[test]
fn the_parents_key_and_flags_are_inherited() {
    for carriage in CARRIAGES {
        run(portions_of(PAGES, carriage), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, Direction::Write, 0, LENGTH, 0);
            let request = exchange.transfer(stack).key(77).flags(SL_WRITE_THROUGH);
            assert!(request.send().wait().succeeded());
            for portion in portions(stack) {
                assert_eq!(portion.key, 77);
                assert_eq!(u32::from(portion.stack_flags), SL_WRITE_THROUGH);
            }
        });
    }
}

#[test]
fn the_parents_kind_is_inherited() {
    // A priority hint is in bits 17 to 19 of the flags, one more than its value: this is Low.
    const LOW: u32 = 2 << 17;
    let kinds = [
        0,
        IRP_NOCACHE,
        IRP_NOCACHE | IRP_PAGING_IO,
        IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO,
    ];
    for kind in kinds {
        for hint in [0, LOW] {
            run(portions_of(PAGES, 0), |stack| {
                stack.watch(stack.top());
                stack.watch(lower(stack));
                let process = stack.process("program");
                let exchange = Exchange::new(stack, &process, Direction::Read, 0, LENGTH, 0);
                // Whose completion is deferred is the parent's own affair.
                let flags = kind | hint | IRP_DEFER_IO_COMPLETION;
                let request = exchange.transfer(stack).irp_flags(flags);
                assert!(request.send().wait().succeeded());
                let [came] = &stack.arrivals(stack.top())[..] else {
                    panic!("one request came");
                };
                for portion in portions(stack) {
                    assert_eq!(portion.irp_flags & !(7 << 17), kind);
                    assert_eq!(portion.priority, came.priority);
                    assert_eq!(portion.thread, process.thread().addr());
                }
                assert_eq!(came.priority, if hint == 0 { 2 } else { 1 });
            });
        }
    }
}

#[test]
fn in_a_guarded_region_the_driver_waits_for_irps_of_its_own() {
    // The end of one of the I/O manager's would not be heard before the region's.
    for direction in BOTH {
        run(portions_of(PAGES, 1), |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            let exchange = Exchange::new(stack, &process, direction, 0, LENGTH, 0);
            stack.machine().watch_calls();
            // SAFETY: entered and left by the same thread, at PASSIVE_LEVEL.
            unsafe { ntddk::KeEnterGuardedRegion() };
            moves(stack, &exchange);
            // SAFETY: as above.
            unsafe { ntddk::KeLeaveGuardedRegion() };
            let inside = Made {
                io_manager: 0,
                own: 1,
            };
            assert_eq!(irps_made(&stack.machine().calls()), inside);
            assert_eq!(portions(stack).len(), COUNT);
            // Outside it is as ever.
            moves(stack, &exchange);
            let both = Made {
                io_manager: COUNT,
                own: 1,
            };
            assert_eq!(irps_made(&stack.machine().calls()), both);
        });
    }
}

#[test]
fn a_device_that_takes_no_mdls_never_gets_an_address() {
    // For such a device the I/O manager would pass the address on, or copy, which it does wherever
    // DO_BUFFERED_IO is set: the portion travels by MDL all the same.
    for flags in [0, DO_BUFFERED_IO, DO_BUFFERED_IO | DO_DIRECT_IO] {
        run(portions_of(PAGES, 1), |stack| {
            let below = lower(stack);
            stack.watch(below);
            // SAFETY: the device lives as long as the stack, and nobody else looks at it now.
            unsafe {
                let place = &raw mut (*below).Flags;
                place.write(place.read() & !DO_DIRECT_IO | flags);
            }
            let process = stack.process("program");
            for direction in BOTH {
                moves(
                    stack,
                    &Exchange::new(stack, &process, direction, 0, LENGTH, 0),
                );
            }
            assert!(portions(stack).iter().all(|one| one.mdls == 1));
        });
    }
}

#[test]
fn portion_bytes_within_reason() {
    // Rounded down to whole pages; what is out of range leaves the default of 64 KiB.
    let cases = [
        (4096, 1),
        (8191, 1),
        (8192, 2),
        (100_000, 24),
        (0, 16),
        (4095, 16),
        (8 << 20, 100),
        ((8 << 20) + 1, 16),
        (u32::MAX, 16),
    ];
    for (setting, pages) in cases {
        let world = common::world().setting("PortionBytes", setting);
        run(world, |stack| {
            stack.watch(lower(stack));
            let process = stack.process("program");
            moves(
                stack,
                &Exchange::new(stack, &process, BOTH[0], 0, 100 * PAGE, 0),
            );
            assert_eq!(portions(stack)[0].span_pages, pages, "{setting}");
        });
    }
}
