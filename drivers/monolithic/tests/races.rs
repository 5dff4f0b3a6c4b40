//! Requests from several threads, cancellation, stop, sleep and removal at any moment, on many seeds
//! of the deterministic clock and on real threads: every request ends once, success means that every
//! byte is in its place, and the device can always go.

mod common;

use common::{BOTH, Exchange, PAGE, Random, SECTOR, assert_told_once, run, world};
use ntsim::abi::{STATUS_CANCELLED, STATUS_DELETE_PENDING, STATUS_NO_SUCH_DEVICE};
use ntsim::controller::Completion;
use ntsim::dma::Grants;
use ntsim::pnp::DevicePower;
use ntsim::world::{DmaStack, DmaWorld};
use ntsim::{Clock, Done, ke};

/// Virtual time of an operation or a grant in this file is at most this (100 ns).
const LATEST: u64 = 200;
/// Bytes of the disk that each thread has to itself.
const STRETCH: u64 = 0x10_0000;

fn mixed(seed: u64, clock: Clock) -> DmaWorld {
    let mut random = Random::new(seed);
    let completion = [
        Completion::Inline,
        Completion::Later(1),
        Completion::Seeded(LATEST),
    ];
    let grants = [
        Grants::Inline,
        Grants::Later(LATEST),
        Grants::Seeded(LATEST),
    ];
    world()
        .clock(clock)
        .seed(seed)
        .map_registers(random.choose(&[2, 3, 5]))
        .max_segments(random.choose(&[1, 8]))
        .completion(random.choose(&completion))
        .grants(random.choose(&grants))
}

/// What became of a request that somebody may have cancelled, or whose device may have gone.
#[track_caller]
fn ends_somehow(stack: &DmaStack, exchange: &Exchange, done: &Done) {
    assert_told_once(done);
    if done.succeeded() {
        assert_eq!(done.information, exchange.length() as u64);
        assert_eq!(exchange.moved(stack), exchange.length());
    } else {
        let known = [
            STATUS_CANCELLED,
            STATUS_NO_SUCH_DEVICE,
            STATUS_DELETE_PENDING,
        ];
        assert!(known.contains(&done.status), "{done:?}");
        assert_eq!(done.information, 0);
    }
}

/// Several requests at a time from each of several threads; some are cancelled.
fn send(stack: &DmaStack, seed: u64, threads: u64, rounds: u64) -> Vec<ntsim::machine::NtThread> {
    (0..threads)
        .map(|thread| {
            stack.spawn("sender", move |stack| {
                let mut random = Random::new(seed ^ thread << 32);
                for _ in 0..rounds {
                    let exchanges: Vec<_> = (0..=random.below(3))
                        .map(|number| {
                            let offset = thread * STRETCH + number * 0x4_0000;
                            let length = (1 + random.below(80)) as usize * SECTOR;
                            let page_offset = random.below(PAGE as u64 / 4) as usize * 4;
                            let direction = random.choose(&BOTH);
                            Exchange::new(stack, direction, offset, length, page_offset)
                        })
                        .collect();
                    let sent: Vec<_> = exchanges
                        .iter()
                        .map(|it| it.transfer(stack).send())
                        .collect();
                    if random.below(3) == 0 {
                        ke::delay(random.below(2 * LATEST));
                        sent[random.below(sent.len() as u64) as usize].cancel();
                    }
                    for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                        ends_somehow(stack, exchange, &pending.wait());
                    }
                }
            })
        })
        .collect()
}

fn join(threads: Vec<ntsim::machine::NtThread>) {
    for thread in threads {
        thread.join();
    }
}

/// What the PnP manager does while requests are on their way, from `seed`.
fn disturb(stack: &DmaStack, seed: u64) {
    let mut random = Random::new(seed ^ 0xD15);
    for _ in 0..3 {
        ke::delay(random.below(10 * LATEST));
        if random.below(2) == 0 {
            stack.stop().expect("nobody objects");
            ke::delay(random.below(LATEST));
            stack.start().expect("the same resources");
        } else {
            stack.set_power(DevicePower::D3);
            ke::delay(random.below(LATEST));
            stack.set_power(DevicePower::D0);
        }
    }
}

fn seeds(many: u64) -> impl Iterator<Item = (u64, Clock)> {
    let few = if cfg!(miri) { 1 } else { many };
    let real = if cfg!(miri) { 0 } else { many / 10 };
    let deterministic = (0..few).map(|seed| (seed, Clock::Deterministic { seed }));
    let threads = (0..real).map(|seed| {
        (
            seed,
            Clock::Threads {
                processors: 3,
                seed,
            },
        )
    });
    deterministic.chain(threads)
}

#[test]
fn senders_and_cancellers() {
    for (seed, clock) in seeds(100) {
        run(mixed(seed, clock), |stack| join(send(stack, seed, 3, 4)));
    }
}

#[test]
fn stopped_and_put_to_sleep_meanwhile() {
    for (seed, clock) in seeds(100) {
        run(mixed(seed, clock), |stack| {
            let senders = send(stack, seed, 2, 4);
            disturb(stack, seed);
            join(senders);
        });
    }
}

#[test]
fn pulled_out_meanwhile() {
    for (seed, clock) in seeds(200) {
        run(mixed(seed, clock), |stack| {
            let senders = send(stack, seed, 2, 3);
            ke::delay(Random::new(seed).below(20 * LATEST));
            stack.pull_out().expect("nobody may refuse");
            join(senders);
        });
    }
}

#[test]
fn removed_in_order_meanwhile() {
    for (seed, clock) in seeds(100) {
        run(mixed(seed, clock), |stack| {
            let mut random = Random::new(seed);
            let exchanges: Vec<_> = (0..4)
                .map(|n| Exchange::new(stack, BOTH[n % 2], n as u64 * STRETCH, 9 * PAGE, 0))
                .collect();
            let sent: Vec<_> = exchanges
                .iter()
                .map(|it| it.transfer(stack).send())
                .collect();
            ke::delay(random.below(20 * LATEST));
            stack.remove().expect("nobody objects");
            for (pending, exchange) in sent.into_iter().zip(&exchanges) {
                ends_somehow(stack, exchange, &pending.wait());
            }
        });
    }
}
