//! A port driver that speaks the private interface is obeyed: what it tells at start holds from the
//! first request on, and what it tells later from the very next.

mod common;

#[path = "common/paired.rs"]
mod paired;

use common::effective::{number, text};
use common::{BOTH, Exchange, PAGE, Random, check, logged, run, run_unchecked};
use ntsim::port::{Completion, Doors, Hba, Paired, PortLimits, PortRegistry, Timing};
use ntsim::{Clock, World};
use paired::{PLACES, Place, SECOND, listening, registers};

/// The document's adapter.
const FIVE: PortLimits = registers(5);

/// Every place of the driver, with either format of request block beneath it.
fn everywhere(mut each: impl FnMut(Place, Hba)) {
    for place in PLACES {
        for extended in [false, true] {
            each(place, Hba::unlimited().extended_srb(extended));
        }
    }
}

#[test]
fn twelve_pages_and_five_map_registers_are_three_operations() {
    everywhere(|place, hba| {
        run(place.asking(hba.paired(Paired::new(FIVE))), |stack| {
            check(place, &place.widest(stack, 12, 0), &5);
            check(place, &stack.port().transfers().len(), &(2 * 3));
        });
    });
}

#[test]
fn the_class_driver_is_shown_what_was_told() {
    let world = Place::Disk
        .paired(Paired::new(FIVE))
        .setting("Advertise", 1);
    run(world, |stack| {
        let facts = stack.class_facts().expect("it has started");
        assert_eq!(facts.maximum_physical_pages, 5);
        // It keeps a page back by its own rule, so nothing is left to split.
        assert_eq!(Place::Disk.widest(stack, 12, 0), 4);
        assert_eq!(stack.class_counts().split, 2);
        // Its limits are those of the start: what becomes stricter is split beneath it.
        listening(stack);
        stack.port().change_port_limits(registers(2));
        assert_eq!(Place::Disk.widest(stack, 12, 0), 2);
    });
}

#[test]
fn requests_of_every_size_keep_to_what_is_told() {
    // The port holds every transfer to its limits; `run` looks at its complaints.
    let told = [
        FIVE,
        registers(1),
        PortLimits {
            segments: 3,
            ..PortLimits::NONE
        },
        PortLimits {
            bytes: 10_000,
            ..PortLimits::NONE
        },
        PortLimits {
            registers: 9,
            segments: 7,
            bytes: 20_480,
        },
    ];
    let mut random = Random::new(1);
    for limits in told {
        everywhere(|place, hba| {
            run(place.asking(hba.paired(Paired::new(limits))), |stack| {
                for _ in 0..10 {
                    let sectors = 1 + random.below(200) as usize;
                    let page_offset = random.below(8) as usize * 512;
                    let direction = random.choose(&BOTH);
                    let seed = random.next();
                    let exchange =
                        Exchange::new(stack, direction, 512, sectors * 512, page_offset, seed);
                    place.moves(stack, &exchange);
                }
            });
        });
    }
}

#[test]
fn each_door_of_the_port_is_enough() {
    for place in PLACES {
        for doors in [Doors::Both, Doors::ControlCode, Doors::RequestBlock] {
            if (place, doors) == (Place::Relay, Doors::ControlCode) {
                // The class driver in between hands on the request block alone.
                continue;
            }
            let world = place.paired(Paired::new(FIVE).doors(doors));
            run(world, |stack| {
                check((place, doors), &place.widest(stack, 12, 0), &5);
            });
        }
    }
}

#[test]
fn a_port_that_looks_at_the_control_code_is_not_heard_through_the_class_driver() {
    let offer = Paired::new(FIVE).doors(Doors::ControlCode).lenient();
    run(Place::Relay.paired(offer), |stack| {
        assert_eq!(Place::Relay.widest(stack, 12, 0), 12);
    });
}

#[test]
fn an_adapter_that_takes_its_time_is_waited_for_at_start() {
    for place in PLACES {
        let hba = Hba::unlimited()
            .paired(Paired::new(FIVE))
            .completion(Completion::Later(1_000..50_000));
        run(place.asking(hba), |stack| {
            check(place, &place.widest(stack, 12, 512), &5);
        });
    }
}

#[test]
fn nobody_is_asked_unless_the_setting_says_so() {
    for place in PLACES {
        for setting in [None, Some(0)] {
            let world = place
                .world()
                .hba(Hba::unlimited().paired(Paired::new(FIVE).lenient()));
            let world = match setting {
                Some(value) => world.setting("PairedPort", value),
                None => world,
            };
            run(world, |stack| {
                assert_eq!(place.widest(stack, 12, 0), 12, "{place:?}");
                let counts = stack.port().paired_counts();
                assert_eq!((counts.asked, counts.refused), (0, 0), "{place:?}");
            });
        }
    }
}

#[test]
fn a_port_that_does_not_know_the_interface_refuses_and_is_asked_once() {
    for place in PLACES {
        let (widest, report) = run(place.asking(Hba::unlimited()), |stack| {
            stack.pass(10 * SECOND);
            place.widest(stack, 12, 0)
        });
        check(place, &widest, &12);
        let said = logged(&report, "paired port driver answers");
        assert_eq!(said.len(), 1, "{:#?}", report.debug_log);
    }
}

#[test]
fn a_change_is_obeyed_by_the_very_next_request() {
    let changes = [3, 1, 2, 12, 5, 7, 4, 100];
    everywhere(|place, hba| {
        run(place.asking(hba.paired(Paired::new(FIVE))), |stack| {
            for count in changes {
                listening(stack);
                stack.port().change_port_limits(registers(count));
                check((place, count), &place.widest(stack, 12, 0), &count.min(12));
            }
        });
    });
}

#[test]
fn a_change_of_each_limit() {
    let limits = [
        PortLimits {
            segments: 3,
            ..FIVE
        },
        PortLimits {
            bytes: 3 * PAGE as u32,
            ..FIVE
        },
        PortLimits {
            registers: 9,
            segments: 3,
            bytes: 5 * PAGE as u32,
        },
    ];
    for place in PLACES {
        run(place.paired(Paired::new(FIVE)), |stack| {
            for limits in limits {
                listening(stack);
                stack.port().change_port_limits(limits);
                check((place, limits), &place.widest(stack, 12, 0), &3);
            }
        });
    }
}

#[test]
fn changes_that_come_while_nobody_asks_are_not_missed() {
    // Between an answer and the next question lies a pause: the last of several changes counts.
    for place in PLACES {
        run(place.paired(Paired::new(FIVE)), |stack| {
            listening(stack);
            for count in [4, 3, 2] {
                stack.port().change_port_limits(registers(count));
            }
            listening(stack);
            check(place, &place.widest(stack, 12, 0), &2);
        });
    }
}

#[test]
fn what_has_begun_goes_on_under_the_limits_that_it_began_with() {
    // Lenient: the port takes what it announced before for requests that are on their way.
    for count in [2, 12] {
        let hba = Hba::unlimited().paired(Paired::new(FIVE).lenient());
        let world = Place::Class.asking(hba).setting("Window", 1);
        run(world, |stack| {
            listening(stack);
            stack.port().hold(true);
            for (number, direction) in BOTH.into_iter().enumerate() {
                let seed = number as u64;
                let exchange = Exchange::new(stack, direction, 0, 12 * PAGE, 0, seed);
                let pending = exchange.transfer(stack).send();
                if number == 0 {
                    stack.port().change_port_limits(registers(count));
                }
                stack.port().complete_all();
                common::assert_success(&pending.wait(), 12 * PAGE);
                assert!(exchange.is_complete(stack));
            }
            let pages: Vec<u32> = stack
                .port()
                .transfers()
                .iter()
                .map(|piece| piece.span_pages)
                .collect();
            assert_eq!(pages[..3], [5, 5, 2], "begun before the change");
            let after = [count.min(12)].repeat(12 / count as usize);
            assert_eq!(pages[3..], after, "and after it");
        });
    }
}

#[test]
fn a_request_that_waits_for_its_turn_begins_under_the_limits_of_then() {
    // Two pieces for everybody: the second request waits, and the change finds it waiting. Looser
    // limits can make it fit whole, although it can't go down as it came any more.
    for place in [Place::Class, Place::Disk, Place::Relay] {
        for (before, after) in [(5, 2), (5, 1), (2, 5), (5, 100)] {
            let hba = Hba::unlimited().paired(Paired::new(registers(before)).lenient());
            run(place.asking(hba).setting("Pieces", 2), |stack| {
                listening(stack);
                stack.port().hold(true);
                let exchanges = [0, 1].map(|number: u64| {
                    let direction = BOTH[number as usize];
                    Exchange::new(stack, direction, number << 20, 12 * PAGE, 0, number)
                });
                let pending = exchanges
                    .each_ref()
                    .map(|exchange| exchange.transfer(stack).send());
                assert_eq!(stack.port().held().len(), 2, "the first one's alone");
                stack.port().change_port_limits(registers(after));
                stack.port().complete_all();
                for (exchange, pending) in exchanges.iter().zip(pending) {
                    common::assert_success(&pending.wait(), 12 * PAGE);
                    assert!(exchange.is_complete(stack));
                }
                let widest = |from: u64| {
                    let pieces = stack.port().transfers().into_iter();
                    let own = pieces.filter(|piece| piece.lba >> 11 == from);
                    own.map(|piece| piece.span_pages).max()
                };
                check((place, before, after), &widest(0), &Some(before));
                check((place, before, after), &widest(1), &Some(after.min(12)));
            });
        }
    }
}

#[test]
fn what_is_told_never_raises_what_others_say() {
    for place in [Place::Class, Place::Srb, Place::Relay] {
        let hba = Hba::unlimited()
            .limits(8 * PAGE as u32, 3)
            .paired(Paired::new(registers(100)));
        run(place.asking(hba), |stack| {
            check(place, &place.widest(stack, 12, 0), &3);
            listening(stack);
            stack.port().change_port_limits(PortLimits::NONE);
            check(place, &place.widest(stack, 12, 0), &3);
        });
        let hba = Hba::unlimited().paired(Paired::new(registers(100)));
        let world = place.asking(hba).setting("NumberOfMapRegisters", 2);
        run(world, |stack| {
            check(place, &place.widest(stack, 12, 0), &2);
        });
    }
}

#[test]
fn both_forms_count_and_the_stricter_wins() {
    for (written, told, widest) in [(3, 5, 3), (5, 3, 3), (4, 4, 4)] {
        let hba = Hba::unlimited()
            .port_registry(PortRegistry::new(registers(written)))
            .paired(Paired::new(registers(told)));
        run(Place::Class.asking(hba), |stack| {
            check(written, &Place::Class.widest(stack, 12, 0), &widest);
            listening(stack);
            stack.port().change_port_limits(registers(100));
            check(written, &Place::Class.widest(stack, 12, 0), &written);
        });
    }
}

#[test]
fn it_is_written_down_where_a_person_can_read_it() {
    let limits = PortLimits {
        bytes: 65_536,
        ..FIVE
    };
    run(Place::Disk.paired(Paired::new(limits)), |stack| {
        assert_eq!(number(stack, "PairedPortPages"), Some(5));
        assert_eq!(number(stack, "PairedPortTransferLength"), Some(65_536));
        assert_eq!(number(stack, "MaximumPhysicalPages"), Some(5));
        let port = Some("paired port driver".to_owned());
        assert_eq!(text(stack, "PhysicalPagesSetBy"), port);
        assert_eq!(text(stack, "TransferLengthSetBy"), port);
    });
}

/// Requests from two threads while the limits change again and again.
fn requests_and_changes(world: World) {
    let world = world
        .hba(
            Hba::unlimited()
                .paired(Paired::new(FIVE).lenient())
                .completion(Completion::Mixed(30, 100..3_000)),
        )
        .setting("PairedPort", 1);
    run_unchecked(world, |stack| {
        let senders: Vec<_> = (0..2_u64)
            .map(|sender| {
                stack.spawn("sender", move |stack| {
                    for number in 0..8 {
                        let offset = (2 * number + sender) << 18;
                        let direction = BOTH[(number % 2) as usize];
                        let exchange =
                            Exchange::new(stack, direction, offset, 12 * PAGE, 512, number);
                        Place::Class.moves(stack, &exchange);
                    }
                })
            })
            .collect();
        for count in [1, 12, 3, 7, 2, 5] {
            stack.port().change_port_limits(registers(count));
            stack.pass(SECOND / 5);
        }
        for sender in senders {
            sender.join();
        }
        listening(stack);
        stack.port().forget_records();
        assert_eq!(Place::Class.widest(stack, 12, 0), 5, "the last word");
    });
}

#[test]
fn data_is_right_while_limits_change() {
    for seed in 0..20 {
        requests_and_changes(Place::Class.world().clock(Clock::Deterministic { seed }));
    }
    for seed in 0..3 {
        let clock = Clock::Threads {
            processors: 2,
            seed,
        };
        requests_and_changes(Place::Class.world().clock(clock));
    }
}

#[test]
fn a_late_answer_counts_from_its_arrival_on() {
    // Later than start waits: the disk works without it, and with it as soon as it is there.
    for place in PLACES {
        let offer = Paired::new(FIVE)
            .lenient()
            .timing(Timing::Late(20 * SECOND));
        run(place.paired(offer), |stack| {
            check(place, &place.widest(stack, 12, 0), &12);
            stack.pass(30 * SECOND);
            check(place, &place.widest(stack, 12, 0), &5);
        });
    }
}
