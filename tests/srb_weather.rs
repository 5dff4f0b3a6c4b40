//! In any weather, on any clock: an SRB that a class driver would take for success has moved every
//! byte, one that would be retried gets through in the end, and none is lost, whoever cancels, whatever
//! fails and whenever the device is pulled out.

mod common;

use common::block::{Block, ORDERED, SIMPLE, flag, srb_status};
use common::post::{Returned, post};
use common::{BOTH, Exchange, Random, adapter, assert_told_once, run, srb_pieces_of};
use ntsim::abi::{SRB_FUNCTION_RELEASE_QUEUE, STATUS_CANCELLED};
use ntsim::port::{Completion, FaultMix, Hba, Kind};
use ntsim::world::read_write_cdb;
use ntsim::{Clock, Stack, World};

const PIECE: usize = 4096;
/// Bytes on the disk that each sender has for itself.
const OWN: u64 = 1 << 22;

/// What a class driver makes of it (classpnp class.c, ClassInterpretSenseInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Success,
    Failure,
}

fn judge(returned: &Returned) -> Judged {
    let recovered = || {
        let sense = returned.valid_sense().filter(|sense| sense.len() > 2);
        sense.is_some_and(|sense| sense[2] & 0x0F == 1)
    };
    match returned.srb_status() {
        srb_status::SUCCESS => Judged::Success,
        srb_status::ERROR if recovered() => Judged::Success,
        _ => Judged::Failure,
    }
}

/// Releases the queue if this request froze it, as the class driver does for each that says so.
fn release_if_frozen(stack: &Stack, returned: &Returned) {
    if returned.is_frozen() {
        stack.srb_function(SRB_FUNCTION_RELEASE_QUEUE).send().wait();
    }
}

/// A request of random size, place, format and manners.
fn draw(random: &mut Random, stack: &Stack, sender: u64, seed: u64) -> (Block, Exchange) {
    let direction = random.choose(&BOTH);
    let lba = sender * (OWN / 512) + random.below(1000);
    let blocks = 1 + random.below(120) as u32;
    let cdb = read_write_cdb(direction, lba, blocks, random.choose(&[10, 12, 16]));
    let block = Block::of(random.below(2) == 0, &cdb);
    let without = random.choose(&[0, 0, 0, flag::NO_QUEUE_FREEZE, flag::QUEUE_ACTION_ENABLE]);
    let tag = random.choose(&[SIMPLE, SIMPLE, SIMPLE, ORDERED]);
    let at = block.at.tag;
    let block = block.flags(|flags| flags & !without).with(at, [tag]);
    let page_offset = random.below(8) as usize * 512;
    let length = blocks as usize * 512;
    let exchange = Exchange::new(stack, direction, lba * 512, length, page_offset, seed);
    (block, exchange)
}

/// What is true of every SRB that comes back.
#[track_caller]
fn assert_honest(stack: &Stack, exchange: &Exchange, returned: &Returned, case: &str) {
    assert_told_once(&returned.done);
    let length = exchange.buffer().len();
    assert!(returned.length() as usize <= length, "{case}");
    assert_eq!(
        u64::from(returned.length()),
        returned.done.information,
        "{case}"
    );
    assert_ne!(returned.srb_status(), 0, "{case}: somebody wrote a status");
    let succeeded = returned.srb_status() == srb_status::SUCCESS;
    assert_eq!(
        succeeded,
        returned.done.succeeded(),
        "{case}: {:?}",
        returned.done
    );
    if judge(returned) == Judged::Success && returned.length() as usize == length {
        assert!(
            exchange.is_complete(stack),
            "{case}: success means every byte"
        );
    }
    if returned.srb_status() == srb_status::ERROR && judge(returned) == Judged::Success {
        // A class driver takes the whole length for moved, whatever the length says.
        assert_eq!(returned.length() as usize, length, "{case}: recovered");
    }
}

/// Sends until a class driver would be content; gives how often.
fn send_until_done(stack: &Stack, block: &Block, exchange: &Exchange, case: &str) -> u32 {
    for attempt in 1..=200 {
        let returned = post(block).buffer(exchange.buffer()).send(stack).wait();
        assert_honest(stack, exchange, &returned, case);
        release_if_frozen(stack, &returned);
        let whole = returned.length() as usize == exchange.buffer().len();
        if judge(&returned) == Judged::Success && whole {
            return attempt;
        }
    }
    panic!("{case}: fair weather comes back now and then");
}

fn stormy(seed: u64) -> World {
    let completion = match seed % 3 {
        0 => Completion::Inline,
        1 => Completion::Later(1..400),
        _ => Completion::Mixed(50, 1..400),
    };
    let hba = adapter(PIECE, 2).completion(completion);
    let hba: Hba = hba
        .always_pending(seed.is_multiple_of(2))
        .own_sense_buffer(seed.is_multiple_of(5))
        .maps_mdl(seed.is_multiple_of(7));
    let world = srb_pieces_of(PIECE).hba(hba).seed(seed);
    match seed % 4 {
        0 => world.setting("MaxRetries", 2).setting("RetryDelayMs", 1),
        1 => world.setting("Pieces", 2),
        _ => world,
    }
}

#[test]
fn every_kind_of_fault_now_and_then() {
    let mut attempts = 0;
    for seed in 0..60 {
        let (sent, report) = run(stormy(seed), |stack| {
            stack.port().fault_mix(FaultMix::new().everything(0.01));
            let mut random = Random::new(seed);
            let mut attempts = 0;
            for round in 0..40 {
                let (block, exchange) = draw(&mut random, stack, 0, round);
                let case = format!("seed {seed}, round {round}");
                attempts += send_until_done(stack, &block, &exchange, &case);
            }
            stack.port().clear_faults();
            attempts
        });
        assert_eq!(report.sense_buffers_left, 0, "seed {seed}");
        attempts += sent;
    }
    assert!(attempts > 60 * 40 + 500, "there was weather: {attempts}");
}

#[test]
fn several_senders_at_once() {
    for seed in 0..20 {
        let ((), report) = run(stormy(seed), |stack| {
            stack.port().fault_mix(FaultMix::new().everything(0.005));
            let mut random = Random::new(seed ^ 0xFEED);
            for round in 0..15 {
                let drawn: Vec<_> = (0..6)
                    .map(|sender| draw(&mut random, stack, sender, round))
                    .collect();
                let mut sent: Vec<_> = drawn
                    .iter()
                    .map(|(block, exchange)| {
                        Some(post(block).buffer(exchange.buffer()).send(stack))
                    })
                    .collect();
                // Whoever is back is looked at at once: others may wait behind its frozen queue.
                let mut back = 0;
                while back < sent.len() {
                    stack.idle();
                    for (slot, (_, exchange)) in sent.iter_mut().zip(&drawn) {
                        let Some(pending) = slot.take_if(|pending| pending.is_done()) else {
                            continue;
                        };
                        let returned = pending.wait();
                        let case = format!("seed {seed}, round {round}");
                        assert_honest(stack, exchange, &returned, &case);
                        release_if_frozen(stack, &returned);
                        back += 1;
                    }
                }
            }
        });
        assert_eq!(report.sense_buffers_left, 0);
    }
}

/// Kinds that leave no freeze behind and end by themselves, for senders on real processors.
fn weather() -> FaultMix {
    let kinds = [
        Kind::Busy,
        Kind::MediumError,
        Kind::RecoveredError,
        Kind::Short,
        Kind::NoResourcesSrb,
        Kind::VerifyRequired,
    ];
    let add = |mix: FaultMix, kind| mix.with(kind, 0.004);
    kinds.into_iter().fold(FaultMix::new(), add)
}

/// A sender on a processor of its own: cancels now and then.
fn sender(stack: &Stack, seed: u64, thread: u64, rounds: u64) {
    let mut random = Random::new(seed << 8 | thread);
    for round in 0..rounds {
        let (block, exchange) = draw(&mut random, stack, thread, round);
        let block = block.flags(|flags| flags | flag::NO_QUEUE_FREEZE);
        let pending = post(&block).buffer(exchange.buffer()).send(stack);
        if random.below(4) == 0 {
            pending.cancel();
        }
        let returned = pending.wait();
        let case = format!("seed {seed}, thread {thread}, round {round}");
        assert_honest(stack, &exchange, &returned, &case);
        if returned.done.status == STATUS_CANCELLED {
            assert_eq!(returned.raw_srb_status(), srb_status::ABORTED, "{case}");
        }
    }
}

fn on_processors(seed: u64) -> World {
    let hba = adapter(PIECE, 2).completion(Completion::Later(0..300));
    let clock = Clock::Threads {
        processors: 4,
        seed,
    };
    srb_pieces_of(PIECE)
        .hba(hba)
        .clock(clock)
        .setting("Pieces", 6)
}

#[test]
fn cancelled_and_failed_on_real_processors() {
    for seed in 0..3 {
        run(on_processors(seed), |stack| {
            stack.port().fault_mix(weather());
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let body = move |stack: &Stack| sender(stack, seed, thread, 40);
                    stack.spawn("class driver", body)
                })
                .collect();
            for thread in threads {
                thread.join();
            }
            stack.port().clear_faults();
        });
    }
}

#[test]
fn pulled_out_on_real_processors() {
    for seed in 0..6 {
        run(on_processors(seed), |stack| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    stack.spawn("class driver", move |stack| {
                        let mut random = Random::new(seed << 8 | thread);
                        for round in 0..30 {
                            let (block, exchange) = draw(&mut random, stack, thread, round);
                            let request = post(&block).buffer(exchange.buffer());
                            let returned = request.send(stack).wait();
                            assert_told_once(&returned.done);
                            if returned.srb_status() == srb_status::SUCCESS {
                                assert!(exchange.is_complete(stack), "before it was gone");
                            } else {
                                assert!(!returned.done.succeeded());
                            }
                        }
                    })
                })
                .collect();
            stack.spawn("PnP manager", |stack| {
                ntsim::ke::delay(2_000);
                stack.surprise_remove().expect("nobody may refuse");
            });
            for thread in threads {
                thread.join();
            }
        });
    }
}
