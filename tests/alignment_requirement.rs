//! A stricter alignment cannot be had by cutting: it is asked of the stack above, through the device
//! object, and what comes misaligned all the same is sent.

mod common;

use common::{BOTH, Exchange, adapter, check, logged, moves, run, run_unchecked, world};
use ntsim::port::{Direction, Hba, OnViolation, Violation};
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

const MASKS: [u32; 13] = [
    0, 1, 3, 7, 0xF, 0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF,
];

/// `AlignmentRequirement` of the driver's device, which is the top one.
fn requirement(stack: &Stack) -> u32 {
    // SAFETY: the device at the top of the stack lives as long as the stack does.
    unsafe { (*stack.top()).AlignmentRequirement }
}

fn kinds() -> [World; 3] {
    [
        world(),
        world().shape(Shape::Srb),
        world().stack(StackKind::Relay),
    ]
}

#[test]
fn the_stricter_of_setting_and_lower_device() {
    for lower in [0, 3, 7] {
        for mask in MASKS {
            for (kind, world) in kinds().into_iter().enumerate() {
                let hba = adapter(0x1_0000, 17).alignment_mask(lower);
                let world = world.hba(hba).setting("AlignmentMask", mask);
                let (found, _) = run(world, requirement);
                check((kind, lower, mask), &found, &mask.max(lower));
            }
        }
    }
}

#[test]
fn the_class_driver_takes_it_over() {
    for lower in [0, 3, 7] {
        for mask in MASKS {
            let world = world()
                .stack(StackKind::Disk)
                .hba(adapter(0x1_0000, 17).alignment_mask(lower))
                .setting("AlignmentMask", mask);
            let (facts, _) = run(world, Stack::class_facts);
            let facts = facts.expect("the disk has started");
            check(
                (lower, mask),
                &facts.alignment_requirement,
                &mask.max(lower),
            );
            // The descriptor is the adapter's own.
            check((lower, mask), &facts.alignment_mask, &lower);
        }
    }
}

#[test]
fn for_all_disks_or_for_one() {
    let all = || world().service_setting("AlignmentMask", 0xFF);
    assert_eq!(run(all(), requirement).0, 0xFF);
    assert_eq!(run(all().setting("AlignmentMask", 0xF), requirement).0, 0xF);
}

#[test]
fn no_mask_that_is_none() {
    for mask in [2, 5, 0x100, 0x1000, 0x1FFF, u32::MAX] {
        for (kind, world) in kinds().into_iter().enumerate() {
            let hba = adapter(0x1_0000, 17).alignment_mask(1);
            let world = world.hba(hba).setting("AlignmentMask", mask);
            let (found, report) = run(world, requirement);
            check((kind, mask), &found, &1);
            let said = logged(&report, "ignored");
            check((kind, mask), &said.len(), &1);
            assert!(said[0].contains("AlignmentMask"), "{said:?}");
        }
    }
}

#[test]
fn misaligned_buffers_are_sent_all_the_same() {
    // At 64 bytes into a page, where 4 KiB are asked for: whole, and in as many pieces as without.
    for (kind, world) in kinds().into_iter().enumerate() {
        let world = world
            .hba(adapter(0x4000, 5))
            .setting("AlignmentMask", 0xFFF);
        run(world, |stack| {
            for (length, pieces) in [(0x2000, 1), (0x1_0000, 4)] {
                for direction in BOTH {
                    stack.port().forget_records();
                    if kind == 1 {
                        let buffer = stack.buffer(length, 64);
                        let blocks = length as u32 / 512;
                        let request = match direction {
                            Direction::Read => {
                                stack.scsi_read(0, blocks, &buffer, 0, length as u32)
                            }
                            Direction::Write => {
                                stack.scsi_write(0, blocks, &buffer, 0, length as u32)
                            }
                        };
                        let done = request.send().wait();
                        assert!(done.irp.succeeded(), "{done:?}");
                    } else {
                        moves(stack, &Exchange::new(stack, direction, 0, length, 64, 1));
                    }
                    let found = stack.port().transfers().len();
                    check((kind, length), &found, &pieces);
                }
            }
        });
    }
}

#[test]
fn nor_does_a_buffer_that_breaks_the_adapters_own_mask_fail() {
    // The class driver let it through, so it is the adapter's to judge, piece by piece.
    let hba = || -> Hba {
        adapter(0x4000, 5)
            .alignment_mask(0x1FF)
            .on_violation(OnViolation::Record)
    };
    for (kind, world) in kinds().into_iter().enumerate() {
        let ((), report) = run_unchecked(world.hba(hba()), |stack| {
            for direction in BOTH {
                if kind == 1 {
                    let buffer = stack.buffer(0x1_0000, 4);
                    let done = stack.scsi_write(0, 128, &buffer, 0, 0x1_0000).send().wait();
                    assert!(done.irp.succeeded(), "{done:?}");
                } else {
                    moves(stack, &Exchange::new(stack, direction, 0, 0x1_0000, 4, 1));
                }
            }
        });
        // Nothing but the alignment that the sender chose.
        let other = report.violations.iter();
        let mut other = other.filter(|found| found.violation != Violation::Alignment);
        assert!(other.next().is_none(), "{:?}", report.violations);
    }
}

#[test]
fn pieces_keep_the_adapters_alignment_not_the_settings() {
    // 520-byte sectors do not divide by 4: pieces of an aligned buffer stay aligned for the adapter.
    let disk = || ntsim::port::Disk::memory(1 << 14, 520);
    let hba = || adapter(0x2000, 3).alignment_mask(3);
    for mask in [0, 0xFF] {
        let world = world()
            .disk(disk())
            .hba(hba())
            .setting("AlignmentMask", mask);
        let (longest, _) = run(world, |stack| {
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, 0, 520 * 100, 0, 1),
            );
            stack.port().counts().largest_bytes
        });
        check(mask, &longest, &(15 * 520));
    }
}
