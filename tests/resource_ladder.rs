//! When something below has no resources for so much at a time, a piece goes in halves, down to one
//! sector; and if even that is too much, the sender hears it from the piece itself.

mod common;

use common::{
    BOTH, Exchange, MILLISECOND, adapter, assert_failure, check, moves, pieces_of, run, status_of,
    world,
};
use ntsim::abi::STATUS_INSUFFICIENT_RESOURCES;
use ntsim::port::{Direction, Fault, Kind};

const PIECE: usize = 16384;
const BLOCKS: u64 = 32;

/// The three ways in which a port says it.
const FORMS: [Kind; 3] = [
    Kind::NoResourcesIrp,
    Kind::NoResourcesSystem,
    Kind::NoResourcesSrb,
];

#[test]
fn every_form_and_every_depth() {
    for direction in BOTH {
        run(pieces_of(PIECE), |stack| {
            for form in FORMS {
                for piece in 0..3 {
                    for depth in 0..=5_u32 {
                        stack.port().clear_faults();
                        stack.port().forget_records();
                        let at = piece * BLOCKS;
                        stack.port().fault(Fault::new(form).at_lba(at).times(depth));
                        moves(
                            stack,
                            &Exchange::new(stack, direction, 0, 3 * PIECE, 512, 1),
                        );
                        let records = stack.port().transfers();
                        let inside = at..at + BLOCKS;
                        let sizes: Vec<u32> = records
                            .iter()
                            .filter(|record| inside.contains(&record.lba))
                            .map(|record| record.bytes)
                            .collect();
                        let refused = (0..depth).map(|step| (PIECE >> step) as u32);
                        let carried = [(PIECE >> depth) as u32].repeat(1 << depth);
                        let expected: Vec<u32> = refused.chain(carried).collect();
                        check((form, piece, depth), &sizes, &expected);
                    }
                }
            }
        });
    }
}

#[test]
fn lengths_that_do_not_halve_evenly() {
    run(pieces_of(PIECE), |stack| {
        for blocks in 1..=BLOCKS as usize {
            for depth in 1..=5_u32 {
                stack.port().clear_faults();
                stack.port().forget_records();
                let times = depth.min(blocks.ilog2());
                stack
                    .port()
                    .fault(Fault::new(FORMS[blocks % 3]).at_lba(0).times(times));
                moves(
                    stack,
                    &Exchange::new(stack, Direction::Write, 0, blocks * 512, 0, 2),
                );
                let good = stack.port().transfers().into_iter();
                let good: u32 = good
                    .filter(|record| record.fault.is_none())
                    .map(|record| record.blocks)
                    .sum();
                check((blocks, depth), &good, &(blocks as u32));
            }
        }
    });
}

#[test]
fn exhausted_it_fails_as_the_port_failed_it() {
    run(pieces_of(PIECE), |stack| {
        for form in FORMS {
            stack.port().clear_faults();
            stack.port().forget_records();
            stack.port().fault(Fault::new(form).at_lba(BLOCKS).always());
            let exchange = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 3);
            let done = exchange.transfer(stack).send().wait();
            assert_failure(&done, status_of(form));
            let records = stack.port().transfers();
            let mut tried: Vec<u32> = records
                .iter()
                .filter(|record| record.lba == BLOCKS)
                .map(|record| record.bytes)
                .collect();
            check(form, &tried, &vec![16384, 8192, 4096, 2048, 1024, 512]);
            let last = tried.pop();
            let verbatim = records.iter().rfind(|record| Some(record.bytes) == last);
            let told = verbatim.map(|record| record.outcome.status);
            check(form, &told, &Some(done.status));
            assert_eq!(done.status, STATUS_INSUFFICIENT_RESOURCES);
        }
    });
}

#[test]
fn the_first_step_goes_at_once_and_the_later_ones_after_a_while() {
    run(pieces_of(PIECE), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesSrb).at_lba(0).times(4));
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, PIECE, 0, 4),
        );
        let records = stack.port().transfers();
        let first: Vec<_> = records.iter().filter(|record| record.lba == 0).collect();
        let waits: Vec<u64> = first
            .windows(2)
            .map(|pair| (pair[1].submitted_at - pair[0].completed_at) / MILLISECOND)
            .collect();
        assert_eq!(waits, [0, 10, 10, 10]);
    });
}

#[test]
fn it_costs_no_retries_and_retries_cost_no_steps() {
    run(pieces_of(PIECE).setting("MaxRetries", 1), |stack| {
        let port = stack.port();
        port.fault(Fault::new(Kind::NoResourcesIrp).at_lba(0).times(2));
        port.fault(Fault::new(Kind::Busy).at_lba(0));
        port.fault(Fault::new(Kind::NoResourcesSystem).at_lba(0));
        // What the ladder has made of the piece has attempts of its own, each.
        port.fault(Fault::new(Kind::Busy).at_lba(4));
        port.fault(Fault::new(Kind::Busy).at_lba(8));
        moves(
            stack,
            &Exchange::new(stack, Direction::Write, 0, PIECE, 0, 5),
        );
        let sizes: Vec<u32> = port.transfers().iter().map(|record| record.bytes).collect();
        assert_eq!(sizes[..5], [16384, 8192, 4096, 4096, 2048]);
        assert!(sizes[5..].iter().all(|&bytes| bytes == 2048), "{sizes:?}");
        assert_eq!(sizes.len(), 4 + 8 + 2);
    });
}

#[test]
fn a_whole_request_larger_than_any_piece_goes_in_pieces_then() {
    // It fits the adapter, so it goes with its sender's own MDL; its parts need one that was made at
    // start, and those are no larger than MaxPieceBytes.
    for direction in BOTH {
        let world = world().setting("MaxPieceBytes", 65_536);
        run(world, |stack| {
            stack
                .port()
                .fault(Fault::new(Kind::NoResourcesIrp).at_lba(0));
            moves(stack, &Exchange::new(stack, direction, 0, 1 << 20, 512, 6));
            let sizes: Vec<u32> = stack
                .port()
                .transfers()
                .iter()
                .map(|record| record.bytes)
                .collect();
            let mut expected = vec![1 << 20];
            expected.extend([65_536; 16]);
            assert_eq!(sizes, expected);
        });
    }
}

#[test]
fn what_it_cuts_keeps_the_adapters_alignment() {
    // Buffers must begin at multiples of 1 KiB, and pieces are multiples of it; so are their halves.
    let hba = adapter(PIECE, 5).alignment_mask(1023);
    run(world().hba(hba), |stack| {
        for kib in 1..=16_usize {
            for times in 1..=4 {
                stack.port().clear_faults();
                stack
                    .port()
                    .fault(Fault::new(Kind::NoResourcesSrb).at_lba(0).times(times));
                let length = kib * 1024;
                if length >> times >= 1024 {
                    moves(
                        stack,
                        &Exchange::new(stack, Direction::Write, 0, length, 1024, 7),
                    );
                }
            }
        }
    });
}

#[test]
fn its_neighbours_go_whole() {
    run(pieces_of(PIECE).setting("Window", 4), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::NoResourcesSrb).at_lba(BLOCKS).times(3));
        moves(
            stack,
            &Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 8),
        );
        let whole: Vec<u64> = stack
            .port()
            .transfers()
            .iter()
            .filter(|record| record.bytes == PIECE as u32 && record.fault.is_none())
            .map(|record| record.lba)
            .collect();
        assert_eq!(whole, [0, 2 * BLOCKS, 3 * BLOCKS]);
    });
}
