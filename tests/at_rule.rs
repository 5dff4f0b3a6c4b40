//! "The system AT disk driver must split up transfer requests for more than 256 sectors": a limit of
//! the device, whatever its map registers are, that can be told in four ways.

mod common;

#[path = "common/paired.rs"]
mod paired;

use common::{BOTH, Exchange, check, run};
use ntsim::World;
use ntsim::port::{Disk, Hba, Limits, Paired, PortLimits, PortRegistry};
use paired::{PLACES, Place};

/// Sectors that the controller's count holds.
const MOST: usize = 256;

/// The AT disk, which the port describes by its descriptor.
fn at_disk() -> Hba {
    Hba::profile("at-disk")
}

/// The same, of which the descriptor says nothing.
fn silent() -> Hba {
    at_disk().advertised(Limits {
        bytes: u32::MAX,
        pages: u32::MAX,
        alignment_mask: 1,
    })
}

/// Moves so many sectors; how many each command moved, by place.
#[track_caller]
fn commands(place: Place, world: World, sectors: usize) -> Vec<u32> {
    let (commands, _) = run(world, |stack| {
        let sector = stack.sector() as usize;
        let mut seen = Vec::new();
        for (seed, direction) in BOTH.into_iter().enumerate() {
            stack.port().forget_records();
            let length = sectors * sector;
            let exchange = Exchange::new(stack, direction, 0, length, 0, seed as u64);
            place.moves(stack, &exchange);
            let mut pieces: Vec<_> = stack
                .port()
                .transfers()
                .iter()
                .map(|piece| (piece.lba, piece.blocks))
                .collect();
            pieces.sort_unstable();
            seen.push(pieces.into_iter().map(|(_, blocks)| blocks).collect());
        }
        assert_eq!(seen[0], seen[1], "reads and writes alike");
        seen.swap_remove(0)
    });
    commands
}

/// The fewest commands, all full but the last.
fn fewest(sectors: usize) -> Vec<u32> {
    let mut left = sectors;
    let mut commands = Vec::new();
    while left > 0 {
        let now = left.min(MOST);
        commands.push(now as u32);
        left -= now;
    }
    commands
}

/// Around every multiple that could be miscounted.
const LENGTHS: [usize; 12] = [1, 8, 255, 256, 257, 264, 511, 512, 513, 1000, 1024, 2049];

#[test]
fn more_than_256_sectors_are_as_many_commands_as_it_takes() {
    for place in [Place::Class, Place::Srb, Place::Relay] {
        for sectors in LENGTHS {
            let world = place.world().hba(at_disk());
            check(
                (place, sectors),
                &commands(place, world, sectors),
                &fewest(sectors),
            );
        }
    }
}

#[test]
fn beneath_the_class_driver_nothing_larger_arrives() {
    for advertise in [0, 1, 2] {
        for sectors in LENGTHS {
            let world = Place::Disk
                .world()
                .hba(at_disk())
                .setting("Advertise", advertise)
                .setting("AdvertisedTransferLength", 1 << 20);
            let found = commands(Place::Disk, world, sectors);
            let all: u32 = found.iter().sum();
            assert_eq!(all as usize, sectors);
            assert!(found.iter().all(|&count| count as usize <= MOST));
        }
    }
}

#[test]
fn a_descriptor_that_says_nothing_needs_another_voice() {
    const BYTES: u32 = 256 * 512;
    let told = PortLimits {
        bytes: BYTES,
        ..PortLimits::NONE
    };
    for place in PLACES {
        let voices = [
            place
                .world()
                .hba(silent())
                .setting("MaximumTransferLength", BYTES),
            place
                .world()
                .hba(silent().port_registry(PortRegistry::new(told))),
            place.asking(silent().paired(Paired::new(told))),
            place
                .world()
                .hba(silent())
                .disk(Disk::memory(1 << 14, 512).block_limits(MOST as u32))
                .setting("HonorBlockLimits", 2),
        ];
        for (voice, world) in voices.into_iter().enumerate() {
            let found = commands(place, world, 1000);
            check((place, voice), &found, &fewest(1000));
        }
    }
}

#[test]
fn sectors_are_counted_and_not_bytes() {
    // 256 sectors of 4 KiB are a mebibyte; only the disk's own page counts in blocks.
    for place in PLACES {
        let hba = silent().actual(Limits {
            bytes: u32::MAX,
            pages: u32::MAX,
            alignment_mask: 1,
        });
        let world = place
            .world()
            .hba(hba)
            .disk(Disk::memory(1 << 12, 4096).block_limits(MOST as u32))
            .setting("HonorBlockLimits", 2);
        check(place, &commands(place, world, 1000), &fewest(1000));
    }
}
