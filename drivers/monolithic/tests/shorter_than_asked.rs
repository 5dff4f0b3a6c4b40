//! `MapTransfer` says how much it has mapped. Should that be less than it was asked for, which its
//! document has for devices with scatter/gather only, the rest of the piece is another operation.

mod common;

use common::{BOTH, Exchange, PAGE, SECTOR, assert_failure, logged, run, world};
use ntsim::abi::STATUS_INSUFFICIENT_RESOURCES;

#[test]
fn each_piece_becomes_several_operations() {
    for direction in BOTH {
        // Pieces of five pages, mapped two at a time: 2 + 2 + 1, 2 + 2 + 1, 2.
        let short = world().map_registers(5).map_at_most(2);
        let (pages, report) = run(short, |stack| {
            Exchange::new(stack, direction, 0, 12 * PAGE, 0).moves(stack);
            let operations = stack.controller().operations();
            let sectors = operations.iter().map(|it| it.sectors as usize);
            sectors.map(|it| it * SECTOR / PAGE).collect::<Vec<_>>()
        });
        assert_eq!(pages, [2, 2, 1, 2, 2, 1, 2]);
        assert_eq!(report.dma.map_transfers, 7);
        assert_eq!(report.dma.flushes, 7, "as often as MapTransfer");
        assert_eq!(
            logged(&report, "4 mappings shorter than asked for").len(),
            1
        );
    }
}

#[test]
fn a_mapping_that_ends_inside_a_sector_moves_whole_sectors() {
    for direction in BOTH {
        for bits in [24, 64] {
            for most in 2..=4 {
                for page_offset in (0..PAGE).step_by(148) {
                    let short = world()
                        .map_registers(5)
                        .map_at_most(most)
                        .address_bits(bits);
                    run(short, |stack| {
                        let length = 9 * PAGE + SECTOR;
                        Exchange::new(stack, direction, 0x1000, length, page_offset).moves(stack);
                    });
                }
            }
        }
    }
}

#[test]
fn a_mapping_without_a_whole_sector_is_no_operation() {
    let (operations, report) = run(world().map_registers(5).map_at_most(1), |stack| {
        // The first sector begins 256 bytes before the end of its page.
        let buffer = stack.buffer(2 * PAGE, PAGE - SECTOR / 2);
        let done = stack.read(0, &buffer).send().wait();
        assert_failure(&done, STATUS_INSUFFICIENT_RESOURCES);
        stack.controller().operations().len()
    });
    assert_eq!(operations, 0);
    assert_eq!(
        report.dma.flushes, 1,
        "what was mapped is flushed all the same"
    );
}
