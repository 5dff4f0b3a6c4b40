//! Pieces may come back before the loop that sends them has ended, on this processor or another,
//! in any order, and many at once: the request ends once, after the last of them.

mod common;

use common::{BOTH, Exchange, Random, adapter, assert_success, run, world};
use ntsim::abi::STATUS_PENDING;
use ntsim::port::{Completion, Direction};
use ntsim::{Clock, Stack, World};

const PIECE: usize = 1024;

/// Requests of all lengths, several at a time, from several threads.
fn senders(stack: &Stack, threads: u64, rounds: u64, seed: u64) {
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            stack.spawn("sender", move |stack| {
                let mut random = Random::new(seed ^ thread << 32);
                for round in 0..rounds {
                    let exchanges: Vec<Exchange> = (0..=random.below(3))
                        .map(|number| {
                            let direction = random.choose(&BOTH);
                            let offset = thread * 0x10_0000 + number * 0x1_0000;
                            let sectors = 1 + random.below(24) as usize;
                            let page_offset = random.below(8) as usize * 512;
                            let seed = round ^ number << 8;
                            Exchange::new(
                                stack,
                                direction,
                                offset,
                                sectors * 512,
                                page_offset,
                                seed,
                            )
                        })
                        .collect();
                    let sent: Vec<_> = exchanges
                        .iter()
                        .map(|exchange| exchange.transfer(stack).send())
                        .collect();
                    for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                        assert_success(&pending.wait(), exchange.buffer().len());
                        assert!(exchange.is_complete(stack));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join();
    }
}

fn mixed(seed: u64) -> World {
    let completions = [
        Completion::Inline,
        Completion::Later(0..1),
        Completion::Later(0..50),
        Completion::Mixed(50, 0..50),
        Completion::Mixed(90, 0..1_000),
    ];
    let mut random = Random::new(seed);
    let hba = adapter(PIECE, 2)
        .completion(completions[random.below(5) as usize].clone())
        .always_pending(random.below(2) == 0)
        .queue_depth(random.choose(&[2, 4, 32]));
    world()
        .hba(hba)
        .setting("Window", random.choose(&[1, 2, 3, 8]))
        .setting("Pieces", random.choose(&[1, 2, 5, 16]))
}

#[test]
fn on_many_seeds() {
    for seed in 0..150 {
        let world = mixed(seed).clock(Clock::Deterministic { seed });
        run(world, |stack| senders(stack, 3, 6, seed));
    }
}

#[test]
fn on_real_processors() {
    for (seed, processors) in (0..16).zip([1, 2, 4, 8].into_iter().cycle()) {
        let world = mixed(seed).clock(Clock::Threads { processors, seed });
        run(world, |stack| senders(stack, 4, 15, seed));
    }
}

#[test]
fn inline_and_later_take_turns() {
    // The first completes inside the dispatch routine, the second while the third is being sent, and
    // so on: every mixture over a few pieces follows from some seed.
    for seed in 0..100 {
        let hba = adapter(PIECE, 2).completion(Completion::Mixed(50, 0..3));
        let world = world()
            .hba(hba)
            .clock(Clock::Deterministic { seed })
            .setting("Window", 4);
        run(world, |stack| {
            for direction in BOTH {
                let exchange = Exchange::new(stack, direction, 0, 9 * PIECE, 0, seed);
                let done = exchange.transfer(stack).send().wait();
                exchange.assert_moved(stack, &done);
                assert_eq!(done.returned, STATUS_PENDING, "even if it is over by then");
            }
        });
    }
}

#[test]
fn the_last_piece_comes_back_while_the_first_is_still_out() {
    let world = world().hba(adapter(PIECE, 2)).setting("Window", 8);
    run(world, |stack| {
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 8 * PIECE, 0, 1);
        let pending = exchange.transfer(stack).send();
        for left in (1..8).rev() {
            stack.port().complete_next(left);
            assert!(!pending.is_done(), "{left} pieces are out");
        }
        stack.port().complete_next(0);
        assert!(pending.is_done());
        assert_success(&pending.wait(), 8 * PIECE);
        assert!(exchange.is_complete(stack));
    });
}
