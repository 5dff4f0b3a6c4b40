//! A request that succeeds has moved every byte: whatever happened to its pieces, in whatever order.

mod common;

use common::{
    BOTH, Exchange, Random, assert_failure, assert_success, check, complete_in_order,
    every_placement, pieces_of, run, status_of,
};
use ntsim::abi::{STATUS_CANCELLED, STATUS_IO_DEVICE_ERROR};
use ntsim::port::{Direction, Fault, Kind};
use ntsim::{Done, Stack};

const COUNT: usize = 6;
const PIECE: usize = 1024;
const BLOCKS: u64 = 2;

/// What becomes of a piece once it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    /// All its data moved, and the device says that it took an effort.
    Recovered,
    /// The same words, but half of the data.
    HalfRecovered,
    Failed,
}

impl Fate {
    fn fault(self, piece: usize) -> Option<Fault> {
        let at = piece as u64 * BLOCKS;
        match self {
            Self::Good => None,
            Self::Recovered => Some(Fault::new(Kind::RecoveredError).at_lba(at)),
            Self::HalfRecovered => Some(
                Fault::new(Kind::RecoveredError)
                    .at_lba(at)
                    .bytes(PIECE as u32 / 2),
            ),
            Self::Failed => Some(Fault::new(Kind::MediumError).at_lba(at)),
        }
    }

    const fn moves_everything(self) -> bool {
        matches!(self, Self::Good | Self::Recovered)
    }
}

/// Prepares a request of six pieces with these fates.
fn prepare(stack: &Stack, direction: Direction, fates: &[Fate], seed: u64) -> Exchange {
    stack.port().clear_faults();
    for (piece, fate) in fates.iter().enumerate() {
        if let Some(fault) = fate.fault(piece) {
            stack.port().fault(fault);
        }
    }
    Exchange::new(stack, direction, 0, fates.len() * PIECE, 0, seed)
}

/// The pieces that the adapter has at this moment, by number.
fn held(stack: &Stack) -> Vec<usize> {
    let held = stack.port().held();
    let lbas = held.iter().filter_map(|request| request.transfer);
    lbas.map(|transfer| (transfer.lba / BLOCKS) as usize)
        .collect()
}

#[track_caller]
fn judge(stack: &Stack, exchange: &Exchange, fates: &[Fate], sent: usize, done: &Done) {
    let all_sent = sent == fates.len();
    let moved = fates.iter().all(|fate| fate.moves_everything());
    if done.succeeded() {
        assert_success(done, exchange.buffer().len());
        assert!(exchange.is_complete(stack), "{fates:?}, {sent} sent");
    }
    check((fates, sent), &done.succeeded(), &(all_sent && moved));
}

/// Every placement of good, recovered and failed, for every window: what is not issued follows from
/// them.
#[test]
fn every_placement_of_recovered_failed_and_unissued() {
    let mut random = Random::new(11);
    for direction in BOTH {
        for window in 1..=COUNT as u32 {
            let world = pieces_of(PIECE).setting("Window", window);
            let mut random = Random::new(random.next());
            run(world, move |stack| {
                stack.port().keep_records(64);
                for fates in every_placement(&[Fate::Good, Fate::Recovered, Fate::Failed], 6) {
                    stack.port().forget_records();
                    let exchange = prepare(stack, direction, &fates, random.next());
                    stack.port().hold(true);
                    let pending = exchange.transfer(stack).send();
                    let mut failed = Vec::new();
                    loop {
                        let there = held(stack);
                        if there.is_empty() {
                            break;
                        }
                        let piece = random.choose(&there);
                        complete_in_order(stack, &[piece], 0, BLOCKS, |_| None);
                        if fates[piece] == Fate::Failed {
                            failed.push(piece);
                        }
                    }
                    let done = pending.wait();
                    let sent = stack.port().transfers().len();
                    judge(stack, &exchange, &fates, sent, &done);
                    if !failed.is_empty() {
                        assert_failure(&done, status_of(Kind::MediumError));
                    }
                }
            });
        }
    }
}

/// The same with pieces that are never issued because the sender loses interest.
#[test]
fn every_placement_with_a_cancellation_at_every_moment() {
    for direction in BOTH {
        for window in [1_u32, 2, 4] {
            let world = pieces_of(PIECE).setting("Window", window);
            run(world, |stack| {
                stack.port().keep_records(64);
                let choices = [Fate::Good, Fate::Recovered, Fate::Failed];
                for fates in every_placement(&choices, 4) {
                    for cancelled_after in 0..=4 {
                        stack.port().forget_records();
                        let exchange = prepare(stack, direction, &fates, 7);
                        stack.port().hold(true);
                        let pending = exchange.transfer(stack).send();
                        for completed in 0..=4 {
                            if completed == cancelled_after && !pending.is_done() {
                                pending.cancel();
                            }
                            stack.port().complete_next(0);
                        }
                        let done = pending.wait();
                        let sent = stack.port().transfers().len();
                        judge(stack, &exchange, &fates, sent, &done);
                        let failed = fates[..sent].contains(&Fate::Failed);
                        if failed {
                            assert_failure(&done, status_of(Kind::MediumError));
                        } else if sent < 4 {
                            assert_failure(&done, STATUS_CANCELLED);
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn recovered_is_no_excuse_for_missing_bytes() {
    for direction in BOTH {
        run(pieces_of(PIECE).setting("Window", 6), |stack| {
            let choices = [Fate::Good, Fate::Recovered, Fate::HalfRecovered];
            for fates in every_placement(&choices, 4) {
                let exchange = prepare(stack, direction, &fates, 8);
                let done = exchange.transfer(stack).send().wait();
                let gap = fates.iter().position(|fate| !fate.moves_everything());
                match gap {
                    None => assert_success(&done, 4 * PIECE),
                    Some(3) => assert_success(&done, 3 * PIECE + PIECE / 2),
                    Some(_) => assert_failure(&done, STATUS_IO_DEVICE_ERROR),
                }
            }
        });
    }
}

#[test]
fn recovered_pieces_do_not_stop_the_rest() {
    run(pieces_of(PIECE).setting("Window", 1), |stack| {
        let exchange = prepare(stack, Direction::Write, &[Fate::Recovered; COUNT], 9);
        let done = exchange.transfer(stack).send().wait();
        assert_success(&done, COUNT * PIECE);
        assert!(exchange.is_complete(stack));
        assert_eq!(stack.port().transfers().len(), COUNT, "one attempt each");
    });
}
