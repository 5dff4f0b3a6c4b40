//! `drivers/highest`: a driver at the top of a stack, which gets a program's address and no MDL.

use std::sync::atomic::{AtomicU32, Ordering};

use ntsim::machine::AllocationKind;
use ntsim::memory::LockLimits;
use ntsim::port::{Completion, Direction, Hba};
use ntsim::{Stack, World};

use super::scene::{BOTH, PAGE, Probe, Scene, Seen, Shown, expect, holds, play};

/// A program's request of so many pages, in the program's process; how many bytes were compared.
fn program(stack: &Stack, direction: Direction, pages: usize) -> Result<u64, String> {
    let process = stack.process("program");
    let buffer = stack.user_buffer(&process, pages * PAGE, 0);
    let probe = Probe::new(stack, direction, 1 << 20, (*buffer).clone());
    let request = match direction {
        Direction::Read => stack.user_read(1 << 20, &buffer),
        Direction::Write => stack.user_write(1 << 20, &buffer),
    };
    let done = request.send().wait();
    holds("the request succeeds", done.succeeded())?;
    expect("bytes claimed", done.information, (pages * PAGE) as u64)?;
    probe.compare(stack)
}

/// How often the driver has called this function, successfully.
fn calls(stack: &Stack, name: &str) -> u64 {
    let calls = stack.machine().calls();
    let own = calls.iter().filter(|call| &*call.driver == "highest");
    own.filter(|call| call.name == name && call.status >= 0)
        .count() as u64
}

/// One page can be locked at a time: the buffer moves in portions, each locked, moved and unlocked, all with one MDL.
pub(super) fn portions(scene: &Scene) -> Shown {
    const PAGES: usize = 64;
    let one = LockLimits {
        process: Some(1),
        ..LockLimits::default()
    };
    play(scene.above(Hba::unlimited()).lock_limits(one), |stack| {
        stack.machine().watch_calls();
        let mut verified = 0;
        for direction in BOTH {
            verified += program(stack, direction, PAGES)?;
        }
        let portions = 2 * PAGES as u64;
        let allocated = calls(stack, "IoAllocateMdl");
        expect("MDLs, each used again for every portion", allocated, 2)?;
        expect("MDLs freed", calls(stack, "IoFreeMdl"), 2)?;
        let locked = calls(stack, "MmProbeAndLockPages");
        expect("portions locked", locked, portions)?;
        expect("and unlocked", calls(stack, "MmUnlockPages"), portions)?;
        let locks = stack.machine().lock_counts();
        expect("most pages locked at a time", locks.peak as u64, 1)?;
        Ok(Seen::verified(verified)
            .fact("requests of 64 pages", 2)
            .fact("MDLs", allocated)
            .fact("portions locked and unlocked", locked)
            .fact("most pages locked at a time", locks.peak as u64))
    })
}

/// There is memory for small MDLs first and for larger ones later: one that is too small for the next portion is freed
/// and another allocated.
pub(super) fn larger_mdl(scene: &Scene) -> Shown {
    /// Portions of 16, 8, 4 and 2 pages find no memory for their MDL.
    const SHORTAGES: u32 = 4;
    /// An MDL for one page.
    const SMALL: usize = 48 + 8;
    play(scene.above(Hba::unlimited()), |stack| {
        let refused = AtomicU32::new(0);
        let short = move |wanted: &ntsim::machine::AllocationRequest| {
            wanted.kind == AllocationKind::Mdl
                && wanted.bytes > SMALL
                && refused.fetch_add(1, Ordering::Relaxed) < SHORTAGES
        };
        stack.machine().watch_calls();
        stack.machine().fail_allocations(Some(Box::new(short)));
        let verified = program(stack, BOTH[0], 64)?;
        stack.machine().fail_allocations(None);
        let mdls = calls(stack, "IoFreeMdl");
        holds("a larger MDL takes the place of a smaller one", mdls > 1)?;
        let locks = stack.machine().lock_counts();
        holds("portions grow", locks.peak > 1)?;
        Ok(Seen::verified(verified)
            .fact("portions", locks.ranges)
            .fact("MDLs freed, each larger than the one before", mdls)
            .fact("most pages locked at a time", locks.peak as u64))
    })
}

/// Portions of four pages by IoBuildSynchronousFsdRequest.
fn synchronous(scene: &Scene, hba: Hba) -> World {
    scene
        .above(hba)
        .setting("Carriage", 1)
        .setting("PortionBytes", 4 * PAGE as u32)
}

/// Four pages can be locked at a time: IRPs of IoBuildSynchronousFsdRequest, one after the other, until all has been
/// moved.
pub(super) fn loop_of_irps(scene: &Scene) -> Shown {
    let four = LockLimits {
        process: Some(4),
        ..LockLimits::default()
    };
    let world = synchronous(scene, Hba::unlimited()).lock_limits(four);
    play(world, |stack| {
        stack.machine().watch_calls();
        let mut verified = 0;
        for direction in BOTH {
            verified += program(stack, direction, 14)?;
        }
        let irps = calls(stack, "IoBuildSynchronousFsdRequest");
        expect("partial-transfer IRPs of both requests", irps, 2 * 4)?;
        let counts = stack.port().counts();
        expect("at the same time", u64::from(counts.in_flight_peak), 1)?;
        let peak = stack.machine().lock_counts().peak as u64;
        expect("most pages locked at a time", peak, 4)?;
        Ok(Seen::verified(verified)
            .fact("requests of 14 pages", 2)
            .fact("partial-transfer IRPs", irps)
            .fact("at the same time", u64::from(counts.in_flight_peak))
            .fact("most pages locked at a time", peak))
    })
}

/// It waits for the event of each portion, as long as the drivers below take.
pub(super) fn waits(scene: &Scene) -> Shown {
    let mut verified = 0;
    let mut times = Vec::new();
    for hba in [
        Hba::unlimited().always_pending(false),
        Hba::unlimited().completion(Completion::Later(10_000..10_001)),
    ] {
        let seen = play(synchronous(scene, hba), |stack| {
            let before = stack.machine().now();
            let verified = program(stack, BOTH[1], 16)?;
            Ok(Seen::verified(verified).fact("time", stack.machine().now() - before))
        })?;
        times.push(seen.facts()[0].1);
        verified += seen.bytes_verified();
    }
    let milliseconds = |units: u64| units / 10_000;
    expect(
        "ms, all completed inside the call",
        milliseconds(times[0]),
        0,
    )?;
    expect(
        "ms, four portions of a millisecond",
        milliseconds(times[1]),
        4,
    )?;
    Ok(Seen::verified(verified)
        .fact(
            "ms waited, completed inside the call",
            milliseconds(times[0]),
        )
        .fact("ms waited, four portions of 1 ms", milliseconds(times[1])))
}
