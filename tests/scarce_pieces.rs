//! With one piece or two everything still moves, in order of arrival, and a huge request does not
//! keep a small one waiting for its end.

mod common;

use std::sync::{Arc, Mutex};

use common::{Exchange, MILLISECOND, adapter, assert_success, check, moves, pieces_of, run, world};
use ntsim::port::{Completion, Direction};
use ntsim::{Clock, Stack};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;

/// Requests of `length` bytes, each at a place of its own.
fn requests(stack: &Stack, count: u64, length: usize) -> Vec<Exchange> {
    (0..count)
        .map(|number| {
            let offset = number * 0x4_0000;
            Exchange::new(stack, Direction::Write, offset, length, 0, number)
        })
        .collect()
}

/// Numbers of the requests in the order in which their first pieces reached the port.
fn order_of_service(stack: &Stack) -> Vec<u64> {
    let records = stack.port().transfers().into_iter();
    let firsts = records.filter(|record| record.lba % 512 == 0);
    firsts.map(|record| record.lba / 512).collect()
}

#[test]
fn many_requests_and_one_piece() {
    for pieces in [1, 2, 3] {
        for completion in [Completion::Inline, Completion::Later(10..500)] {
            let hba = adapter(PIECE, 2).completion(completion);
            let world = pieces_of(PIECE).hba(hba).setting("Pieces", pieces);
            let ((), report) = run(world, |stack| {
                let exchanges = requests(stack, 50, 5 * PIECE);
                let sent: Vec<_> = exchanges
                    .iter()
                    .map(|exchange| exchange.transfer(stack).send())
                    .collect();
                for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                    assert_success(&pending.wait(), 5 * PIECE);
                    assert!(exchange.is_complete(stack));
                }
            });
            assert!(report.port.in_flight_peak <= pieces);
            assert_eq!(report.port.writes, 250);
        }
    }
}

#[test]
fn in_order_of_arrival() {
    for pieces in [1, 2] {
        run(pieces_of(PIECE).setting("Pieces", pieces), |stack| {
            stack.port().hold(true);
            let exchanges = requests(stack, 30, 3 * PIECE);
            let sent: Vec<_> = exchanges
                .iter()
                .map(|exchange| exchange.transfer(stack).send())
                .collect();
            stack.port().complete_all();
            for pending in sent {
                assert_success(&pending.wait(), 3 * PIECE);
            }
            let order = order_of_service(stack);
            check(pieces, &order, &(0..30).collect());
        });
    }
}

#[test]
fn newcomers_do_not_overtake_those_who_wait() {
    run(pieces_of(PIECE).setting("Pieces", 2), |stack| {
        stack.port().hold(true);
        let exchanges = requests(stack, 12, 2 * PIECE);
        let mut sent = Vec::new();
        // One newcomer after each completion, while others wait.
        for exchange in &exchanges {
            sent.push(exchange.transfer(stack).send());
            if sent.len() > 6 {
                stack.port().complete_next(0);
            }
        }
        stack.port().complete_all();
        for pending in sent {
            assert_success(&pending.wait(), 2 * PIECE);
        }
        assert_eq!(order_of_service(stack), (0..12).collect::<Vec<_>>());
    });
}

#[test]
fn a_huge_request_does_not_starve_a_small_one() {
    for pieces in [2, 4, 8] {
        let world = pieces_of(PIECE)
            .setting("Pieces", pieces)
            .setting("Window", 8);
        run(world, |stack| {
            stack.port().hold(true);
            let huge = Exchange::new(stack, Direction::Write, 0, 500 * PIECE, 0, 1);
            let small = Exchange::new(stack, Direction::Write, 0x40_0000, PIECE, 0, 2);
            let huge_one = huge.transfer(stack).send();
            let small_one = small.transfer(stack).send();
            assert_eq!(stack.port().held().len(), pieces as usize, "all the pieces");
            // The first that comes back goes to the one who waits, not to the next of the 500.
            stack.port().complete_next(0);
            let held = stack.port().held();
            let places: Vec<u64> = held
                .iter()
                .filter_map(|request| request.transfer)
                .map(|transfer| transfer.lba)
                .collect();
            check(pieces, &places.last(), &Some(&(0x40_0000 / 512)));
            let index = places.len() - 1;
            stack.port().complete_next(index);
            assert_success(&small_one.wait(), PIECE);
            assert!(!huge_one.is_done());
            stack.port().hold(false);
            stack.port().complete_all();
            assert_success(&huge_one.wait(), 500 * PIECE);
            assert!(huge.is_complete(stack) && small.is_complete(stack));
        });
    }
}

#[test]
fn small_requests_get_through_one_after_the_other_beside_huge_ones() {
    let hba = adapter(PIECE, 2).completion(Completion::Later(9_000..11_000));
    let world = world().hba(hba).setting("Pieces", 4).setting("Window", 8);
    run(world, |stack| {
        let slowest = Arc::new(Mutex::new(0));
        let huge: Vec<_> = (0..2_u64)
            .map(|thread| {
                stack.spawn("huge", move |stack| {
                    let offset = thread * 0x40_0000;
                    moves(
                        stack,
                        &Exchange::new(stack, Direction::Write, offset, 1000 * PIECE, 0, 3),
                    );
                })
            })
            .collect();
        let noted = Arc::clone(&slowest);
        let small = stack.spawn("small", move |stack| {
            for round in 0..50 {
                let exchange = Exchange::new(stack, Direction::Read, 0x180_0000, PIECE, 0, round);
                let before = stack.machine().now();
                moves(stack, &exchange);
                let took = stack.machine().now() - before;
                let mut slowest = noted.lock().expect("nobody panicked");
                *slowest = took.max(*slowest);
            }
        });
        small.join();
        for thread in huge {
            thread.join();
        }
        let slowest = *slowest.lock().expect("nobody panicked");
        // The adapter takes about a millisecond for a request: one for a piece to come back, one for
        // the small request itself. The huge ones take a second.
        let slowest = slowest / MILLISECOND;
        assert!(slowest < 4, "the slowest took {slowest} ms");
    });
}

#[test]
fn one_piece_for_many_threads() {
    for seed in 0..8 {
        let hba = adapter(PIECE, 2).completion(Completion::Later(0..100));
        let world = pieces_of(PIECE)
            .hba(hba)
            .clock(Clock::Threads {
                processors: 4,
                seed,
            })
            .setting("Pieces", 1 + (seed % 2) as u32);
        run(world, |stack| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    stack.spawn("sender", move |stack| {
                        for round in 0..25 {
                            let offset = thread * 0x10_0000;
                            let exchange =
                                Exchange::new(stack, Direction::Write, offset, 3 * PIECE, 0, round);
                            moves(stack, &exchange);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join();
            }
        });
    }
}

#[test]
fn a_spare_piece_is_not_kept_from_those_who_wait() {
    // A transfer whose plan is exhausted gives its pieces back one by one as they return.
    run(
        pieces_of(PIECE).setting("Pieces", 3).setting("Window", 3),
        |stack| {
            stack.port().hold(true);
            let first = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 4);
            let second = Exchange::new(stack, Direction::Write, 0x4_0000, 3 * PIECE, 0, 5);
            let one = first.transfer(stack).send();
            let two = second.transfer(stack).send();
            let places = |stack: &Stack| -> Vec<u64> {
                let held = stack.port().held().into_iter();
                let transfers = held.filter_map(|request| request.transfer);
                transfers.map(|transfer| transfer.lba).collect()
            };
            stack.port().complete_next(0);
            assert_eq!(
                places(stack),
                [BLOCKS, 2 * BLOCKS, 512],
                "the second has begun"
            );
            stack.port().complete_next(0);
            // The next turn of the second takes what is free by now.
            stack.port().complete_next(1);
            assert_eq!(places(stack), [2 * BLOCKS, 512 + BLOCKS, 512 + 2 * BLOCKS]);
            stack.port().complete_all();
            assert_success(&one.wait(), 3 * PIECE);
            assert_success(&two.wait(), 3 * PIECE);
            let blocks: u64 = stack
                .port()
                .transfers()
                .iter()
                .map(|record| u64::from(record.blocks))
                .sum();
            assert_eq!(blocks, 6 * BLOCKS);
        },
    );
}
