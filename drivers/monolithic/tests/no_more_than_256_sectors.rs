//! "The system 'AT' disk driver must split up transfer requests for more than 256 sectors due to the
//! disk controller's limitations." [Microsoft, Splitting DMA Transfer Requests]

mod common;

use common::{BOTH, Exchange, SECTOR, run, world};

#[test]
fn a_request_of_700_sectors_is_three_operations() {
    for direction in BOTH {
        for segments in [1, 64] {
            let at = world()
                .map_registers(64)
                .max_sectors(256)
                .max_segments(segments);
            let (operations, _) = run(at, |stack| {
                Exchange::new(stack, direction, 512 * 9, 700 * SECTOR, 0).moves(stack);
                stack.controller().operations()
            });
            let sectors: Vec<_> = operations.iter().map(|it| (it.lba, it.sectors)).collect();
            assert_eq!(sectors, [(9, 256), (265, 256), (521, 188)]);
        }
    }
}

#[test]
fn around_the_limit() {
    for limit in [1_u32, 7, 255, 256] {
        run(world().map_registers(64).max_sectors(limit), |stack| {
            for sectors in [limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1] {
                if sectors == 0 {
                    continue;
                }
                let before = stack.controller().operations().len();
                Exchange::new(stack, BOTH[0], 0, sectors as usize * SECTOR, 1536).moves(stack);
                let operations = &stack.controller().operations()[before..];
                assert_eq!(operations.len(), sectors.div_ceil(limit) as usize);
                assert!(operations.iter().all(|it| it.sectors <= limit));
            }
        });
    }
}

#[test]
fn whichever_limit_is_nearer_ends_the_operation() {
    // 256 sectors are 32 pages: with fewer registers those decide, with more the sectors do.
    for (registers, expected) in [(31, 31 * 8), (32, 256), (33, 256), (64, 256)] {
        let at = world().map_registers(registers).max_sectors(256);
        let (operations, _) = run(at, |stack| {
            Exchange::new(stack, BOTH[1], 0, 1024 * SECTOR, 0).moves(stack);
            stack.controller().operations()
        });
        assert_eq!(operations[0].sectors, expected);
    }
}
