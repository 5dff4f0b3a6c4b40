//! What makes a driver split: map registers, length, page boundaries, and limits of the device.

use ntsim::port::Hba;

use super::monolithic;
use super::scene::{PAGE, Scene, Seen, Shown, both, expect, play};

/// The document's adapter has five map registers.
const REGISTERS: u64 = 5;

/// A buffer of twelve pages and five map registers: three operations.
pub(super) fn twelve_pages(scene: &Scene) -> Shown {
    let world = scene.world(Hba::unlimited().limits(u32::MAX, REGISTERS as u32));
    play(world, |stack| {
        let both = both(stack, 12 * PAGE, 0)?;
        expect("operations", both.count(), 3)?;
        expect("pages in one", both.pages(), REGISTERS)?;
        Ok(Seen::verified(both.verified)
            .fact("map registers", REGISTERS)
            .fact("pages", 12)
            .fact("operations", both.count())
            .fact("most pages in one", both.pages()))
    })
}

/// The number of map registers is the setting's.
pub(super) fn map_registers(scene: &Scene) -> Shown {
    let mut operations = Vec::new();
    let mut verified = 0;
    for registers in [1, 5, 64] {
        let world = scene
            .world(Hba::unlimited())
            .setting("NumberOfMapRegisters", registers);
        let seen = play(world, |stack| {
            let both = both(stack, 64 * PAGE, 0)?;
            expect("pages in one", both.pages(), u64::from(registers))?;
            Ok(Seen::verified(both.verified).fact("operations", both.count()))
        })?;
        operations.push(seen.facts()[0].1);
        verified += seen.bytes_verified();
    }
    expect("operations with one register", operations[0], 64)?;
    expect("operations with five", operations[1], 13)?;
    expect("operations with enough", operations[2], 1)?;
    Ok(Seen::verified(verified)
        .fact("operations of 64 pages with 1 register", operations[0])
        .fact("with 5", operations[1])
        .fact("with 64", operations[2]))
}

/// The bytes of a request alone can be too many.
pub(super) fn length(scene: &Scene) -> Shown {
    const MOST: usize = 64 << 10;
    let world = scene.world(Hba::unlimited().limits(MOST as u32, u32::MAX));
    play(world, |stack| {
        let fits = both(stack, MOST, 0)?;
        expect("operations of what fits", fits.count(), 1)?;
        let long = both(stack, 1 << 20, 0)?;
        expect("operations of 1 MiB", long.count(), 16)?;
        let longest = long.operations.iter().map(|one| one.bytes).max();
        Ok(Seen::verified(fits.verified + long.verified)
            .fact("operations of 64 KiB", fits.count())
            .fact("operations of 1 MiB", long.count())
            .fact("most bytes in one", u64::from(longest.unwrap_or(0))))
    })
}

/// The same bytes from another place in the page cross one boundary more.
pub(super) fn boundaries(scene: &Scene) -> Shown {
    let world = scene.world(Hba::unlimited().limits(u32::MAX, REGISTERS as u32));
    play(world, |stack| {
        let aligned = both(stack, 5 * PAGE, 0)?;
        let shifted = both(stack, 5 * PAGE, 512)?;
        expect("operations from the start of a page", aligned.count(), 1)?;
        expect("operations from its second sector", shifted.count(), 2)?;
        expect("pages in one", shifted.pages(), REGISTERS)?;
        Ok(Seen::verified(aligned.verified + shifted.verified)
            .fact("operations of 5 pages", aligned.count())
            .fact("shifted by a sector", shifted.count()))
    })
}

/// A request goes in one operation if and only if its pages are no more than the map registers, wherever it begins.
pub(super) fn counting(scene: &Scene) -> Shown {
    let world = scene.world(Hba::unlimited().limits(u32::MAX, REGISTERS as u32));
    play(world, |stack| {
        let (mut requests, mut whole, mut verified) = (0, 0, 0);
        for page_offset in (0..PAGE).step_by(512) {
            for sectors in [1, 7, 8, 9, 31, 32, 33, 39, 40, 41, 48] {
                let length = sectors * 512;
                // Counted by hand: the last byte's page less the first one's.
                let pages = (page_offset + length - 1) / PAGE + 1;
                let both = both(stack, length, page_offset)?;
                let fits = pages as u64 <= REGISTERS;
                expect(
                    &format!("one operation for {sectors} sectors from byte {page_offset}"),
                    u64::from(both.count() == 1),
                    u64::from(fits),
                )?;
                requests += 2;
                whole += 2 * u64::from(fits);
                verified += both.verified;
            }
        }
        Ok(Seen::verified(verified)
            .fact("requests", requests)
            .fact("in one operation", whole)
            .fact("split", requests - whole))
    })
}

/// The AT disk: more than 256 sectors are several commands, however few pages they touch.
pub(super) fn at_rule(scene: &Scene) -> Shown {
    let monolithic = monolithic::at_rule(scene)?;
    play(scene.world(Hba::profile("at-disk")), |stack| {
        let most = both(stack, 256 * 512, 0)?;
        expect("commands for 256 sectors", most.count(), 1)?;
        let more = both(stack, 1000 * 512, 0)?;
        expect("commands for 1000 sectors", more.count(), 4)?;
        let largest = more.operations.iter().map(|one| one.blocks).max();
        let largest = u64::from(largest.unwrap_or(0));
        expect("sectors of the largest", largest, 256)?;
        Ok(Seen::verified(most.verified + more.verified)
            .fact("commands for 256 sectors", most.count())
            .fact("for 1000 sectors", more.count())
            .fact("most sectors in one", largest)
            .and(&monolithic))
    })
}
