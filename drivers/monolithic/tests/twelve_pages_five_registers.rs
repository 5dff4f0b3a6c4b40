//! "Suppose ADDRESS_AND_SIZE_TO_SPAN_PAGES indicates that twelve map registers are needed to satisfy
//! a transfer request, but the NumberOfMapRegisters value returned by IoGetDmaAdapter is only five.
//! [...] the driver must carry out three DMA transfer operations, calling MapTransfer three times."
//! [Microsoft, Splitting DMA Transfer Requests]

mod common;

use common::{BOTH, Exchange, PAGE, SECTOR, run, world};

/// Sectors of a page.
const PER_PAGE: u64 = (PAGE / SECTOR) as u64;

#[test]
fn twelve_pages_on_five_registers_are_three_operations() {
    for direction in BOTH {
        let (operations, report) = run(world().map_registers(5), |stack| {
            Exchange::new(stack, direction, 0x1_0000, 12 * PAGE, 0).moves(stack);
            stack.controller().operations()
        });
        let sectors: Vec<_> = operations.iter().map(|it| (it.lba, it.sectors)).collect();
        let first = 0x1_0000 / SECTOR as u64;
        assert_eq!(
            sectors,
            [
                (first, 5 * PER_PAGE as u32),
                (first + 5 * PER_PAGE, 5 * PER_PAGE as u32),
                (first + 10 * PER_PAGE, 2 * PER_PAGE as u32),
            ],
        );
        assert_eq!(report.dma.map_transfers, 3);
        assert_eq!(report.dma.flushes, 3, "as often as MapTransfer");
        assert_eq!(
            report.dma.grants, 1,
            "the registers are kept for the whole request"
        );
        assert_eq!(report.dma.registers_peak, 5);
    }
}

#[test]
fn a_buffer_that_begins_inside_a_page_touches_one_page_more() {
    // 12 pages' worth of bytes from the middle of a page on lie on 13 pages: 5 + 5 + 3.
    let (operations, report) = run(world().map_registers(5), |stack| {
        Exchange::new(stack, BOTH[0], 0, 12 * PAGE, PAGE / 2).moves(stack);
        stack.controller().operations()
    });
    let half = PER_PAGE as u32 / 2;
    let sectors: Vec<_> = operations.iter().map(|it| it.sectors).collect();
    assert_eq!(sectors, [9 * half, 10 * half, 5 * half]);
    assert_eq!(report.dma.map_transfers, 3);
}

#[test]
fn what_fits_is_one_operation() {
    for (pages, registers) in [(1, 5), (5, 5), (12, 12), (12, 64)] {
        let (operations, report) = run(world().map_registers(registers), |stack| {
            Exchange::new(stack, BOTH[1], 0, pages * PAGE, 0).moves(stack);
            stack.controller().operations().len()
        });
        assert_eq!(operations, 1);
        assert_eq!(report.dma.map_transfers, 1);
        assert_eq!(
            report.dma.registers_peak, pages as u32,
            "no more than it needs"
        );
    }
}

#[test]
fn with_scatter_gather_each_piece_has_a_list_of_its_own() {
    let (operations, report) = run(world().map_registers(5).max_segments(16), |stack| {
        Exchange::new(stack, BOTH[1], 0, 12 * PAGE, 0).moves(stack);
        stack.controller().operations()
    });
    let segments: Vec<_> = operations.iter().map(|it| it.segments.len()).collect();
    assert_eq!(
        segments,
        [5, 5, 2],
        "scattered frames: a segment for each page"
    );
    assert_eq!(report.dma.lists, 3);
    assert_eq!(report.dma.registers_peak, 5);
}

#[test]
fn any_number_of_pages_on_any_number_of_registers() {
    for registers in 1..=12_u32 {
        let ((), report) = run(world().map_registers(registers), |stack| {
            for pages in 1..=24_usize {
                let before = stack.controller().operations().len();
                Exchange::new(stack, BOTH[pages % 2], 0, pages * PAGE, 0).moves(stack);
                let operations = stack.controller().operations().len() - before;
                assert_eq!(operations, pages.div_ceil(registers as usize));
            }
        });
        assert!(report.dma.registers_peak <= registers);
    }
}
