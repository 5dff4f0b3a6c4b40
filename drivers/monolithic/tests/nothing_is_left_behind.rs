//! A device that has come and gone leaves nothing: no map register, no mapping, no list, no adapter,
//! no interrupt, no mapped register, no pool; and for its requests nothing is allocated at all.

mod common;

use common::{BOTH, Exchange, PAGE, logged, run, world};
use ntsim::machine::AllocationCounts;
use ntsim::pnp::DevicePower;

#[test]
fn after_a_whole_life() {
    for segments in [1, 16] {
        let ((), report) = run(world().map_registers(5).max_segments(segments), |stack| {
            for round in 0..3 {
                for direction in BOTH {
                    Exchange::new(stack, direction, round * 0x1_0000, 12 * PAGE, 0).moves(stack);
                }
                stack.stop().expect("nobody objects");
                stack.start().expect("the same resources");
                stack.set_power(DevicePower::D3);
                stack.set_power(DevicePower::D0);
            }
        });
        let done = logged(&report, "monolithic: done");
        assert_eq!(done.len(), 1, "{:#?}", report.debug_log);
        assert!(
            done[0].contains("6 requests done, 6 of them split, 18 operations"),
            "{}",
            done[0]
        );
    }
}

#[test]
fn requests_allocate_nothing() {
    for segments in [1, 16] {
        let ((before, after), _) = run(world().map_registers(5).max_segments(segments), |stack| {
            let before = stack.machine().allocations();
            for n in 0..4_u64 {
                let direction = BOTH[n as usize % 2];
                Exchange::new(stack, direction, n * 0x1_0000, 12 * PAGE, 0).moves(stack);
            }
            (before, stack.machine().allocations())
        });
        let kinds = |it: &AllocationCounts| [it.irp, it.mdl, it.pool, it.framework];
        assert_eq!(
            kinds(&before),
            kinds(&after),
            "IRPs, MDLs, pool blocks, framework objects"
        );
    }
}
