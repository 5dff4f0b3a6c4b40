//! How the pieces travel: an IRP, an MDL and a completion routine for each, and every byte in its place.

use ntsim::abi::IRP_MJ_WRITE;
use ntsim::port::{Completion, Direction, Hba, PortRecord};
use ntsim::world::StackKind;
use ntsim::{Clock, Stack};

use super::scene::{BOTH, PAGE, Probe, Scene, Seen, Shown, expect, holds, play};

/// Pieces of the requests here.
const PIECES: usize = 4;

/// An adapter that takes a page at a time, and completes when it is told to.
fn page_by_page() -> Hba {
    Hba::unlimited()
        .limits(PAGE as u32, 2)
        .completion(Completion::Held)
}

/// How many different numbers there are.
fn different(numbers: impl Iterator<Item = usize>) -> u64 {
    let mut all: Vec<usize> = numbers.collect();
    all.sort_unstable();
    all.dedup();
    all.len() as u64
}

/// A request of four pieces, all of them below at the same time: what arrived.
fn four_at_once(stack: &Stack, probe: &Probe) -> Result<(usize, Vec<PortRecord>), String> {
    stack.port().forget_records();
    let pending = probe.send(stack);
    let original = pending.irp_address();
    let below = stack.port().held().len();
    expect("pieces in flight", below as u64, PIECES as u64)?;
    stack.port().complete_all();
    holds("the request succeeds", pending.wait().succeeded())?;
    Ok((original, stack.port().transfers()))
}

/// Each piece has an IRP of its own with the driver's completion routine, which counts the piece and keeps the IRP;
/// nothing is allocated for it, and nothing is left.
pub(super) fn irps(scene: &Scene) -> Shown {
    let world = scene.world(page_by_page()).setting("Window", PIECES as u32);
    play(world, |stack| {
        let before = stack.machine().allocations();
        let (mut verified, mut routines, mut irps) = (0, 0, 0);
        for direction in BOTH {
            let probe = Probe::new(stack, direction, 0, stack.buffer(PIECES * PAGE, 0));
            let (original, pieces) = four_at_once(stack, &probe)?;
            verified += probe.compare(stack)?;
            routines += pieces.iter().filter(|one| one.filter_routine).count() as u64;
            irps += different(pieces.iter().map(|one| one.irp));
            let own = pieces.iter().all(|one| one.irp != original);
            holds("the original IRP stays where it is", own)?;
        }
        expect("IRPs", irps, 2 * PIECES as u64)?;
        expect("completion routines", routines, 2 * PIECES as u64)?;
        let after = stack.machine().allocations();
        expect("IRPs allocated on the way", after.irp, before.irp)?;
        Ok(Seen::verified(verified)
            .fact("pieces", 2 * PIECES as u64)
            .fact("IRPs of their own", irps)
            .fact("completion routines", routines)
            .fact("IRPs allocated on the way", after.irp - before.irp))
    })
}

/// A driver above the underlying driver: partial MDLs of one MDL, and a sequence of partial-transfer IRPs.
pub(super) fn partial_irps(scene: &Scene) -> Shown {
    let world = scene
        .world(
            Hba::unlimited()
                .limits(u32::MAX, 5)
                .completion(Completion::Later(100..1_000)),
        )
        .stack(StackKind::Relay);
    play(world, |stack| {
        let class = stack.class_device();
        stack.watch(class);
        let probe = Probe::new(stack, Direction::Write, 1 << 20, stack.buffer(12 * PAGE, 0));
        let verified = probe.moves(stack)?;
        let mut parts = stack.arrivals(class);
        parts.retain(|one| u32::from(one.major) == IRP_MJ_WRITE);
        parts.sort_by_key(|one| one.offset);
        expect("partial-transfer IRPs", parts.len() as u64, 3)?;
        let mut next = 1 << 20;
        for part in &parts {
            expect("offset of the next part", part.offset, next)?;
            expect(
                "bytes its MDL shows",
                u64::from(part.mdl_bytes),
                u64::from(part.length),
            )?;
            next += u64::from(part.length);
        }
        let mdls = different(parts.iter().map(|one| one.mdl));
        expect("partial MDLs", mdls, 3)?;
        let pages = parts.iter().map(|one| u64::from(one.span_pages)).max();
        Ok(Seen::verified(verified)
            .fact("partial-transfer IRPs", parts.len() as u64)
            .fact("partial MDLs", mdls)
            .fact("most pages in one", pages.unwrap_or(0)))
    })
}

/// DataBuffer is an index into what the MDL shows: every byte goes between the frame and the sector where it would have
/// gone in one operation.
pub(super) fn data_buffer(scene: &Scene) -> Shown {
    let world = scene.world(Hba::unlimited().limits(u32::MAX, 3));
    play(world, |stack| {
        let (mut verified, mut pieces) = (0, 0);
        for page_offset in [0, 512, 3584] {
            for direction in BOTH {
                let buffer = stack.buffer(12 * PAGE, page_offset);
                let whole = buffer.placement(direction, 1 << 20, 12 * PAGE, 512);
                let probe = Probe::new(stack, direction, 1 << 20, buffer);
                stack.port().forget_records();
                stack.port().track_placement(true);
                verified += probe.moves(stack)?;
                expect("sum over all places", stack.port().placement(), whole)?;
                pieces += stack.port().transfers().len() as u64;
            }
        }
        Ok(Seen::verified(verified)
            .fact("requests", 6)
            .fact("pieces", pieces))
    })
}

/// Pieces come back on all processors at once, in any order: each original is completed once, by the last.
pub(super) fn counts(scene: &Scene) -> Shown {
    const REQUESTS: u64 = 64;
    let hba = Hba::unlimited()
        .limits(PAGE as u32, 2)
        .completion(Completion::Mixed(30, 100..3_000));
    let clock = Clock::Threads {
        processors: 2,
        seed: 1,
    };
    play(scene.world(hba).clock(clock), |stack| {
        let probes: Vec<Probe> = (0..REQUESTS)
            .map(|number| {
                let direction = BOTH[number as usize % 2];
                let buffer = stack.buffer(8 * PAGE, 0);
                Probe::new(stack, direction, number << 16, buffer)
            })
            .collect();
        let pending: Vec<_> = probes.iter().map(|probe| probe.send(stack)).collect();
        let (mut completions, mut verified) = (0, 0);
        for (probe, pending) in probes.iter().zip(pending) {
            let done = pending.wait();
            holds("the request succeeds", done.succeeded())?;
            completions += u64::from(done.completions);
            verified += probe.compare(stack)?;
        }
        expect("completions of originals", completions, REQUESTS)?;
        let pieces = stack.port().counts();
        Ok(Seen::verified(verified)
            .fact("originals", REQUESTS)
            .fact("pieces", pieces.reads + pieces.writes)
            .fact("completions of originals", completions))
    })
}

/// The original ends when its last piece does, in whichever order they come back.
pub(super) fn last_piece(scene: &Scene) -> Shown {
    let world = scene.world(page_by_page()).setting("Window", PIECES as u32);
    play(world, |stack| {
        let mut verified = 0;
        for direction in BOTH {
            let probe = Probe::new(stack, direction, 0, stack.buffer(PIECES * PAGE, 0));
            let pending = probe.send(stack);
            for back in 0..PIECES {
                holds("it waits for the last piece", !pending.is_done())?;
                // The last first.
                stack.port().complete_next(PIECES - 1 - back);
            }
            holds("and for no longer", pending.is_done())?;
            holds("it succeeds", pending.wait().succeeded())?;
            verified += probe.compare(stack)?;
        }
        Ok(Seen::verified(verified).fact("pieces of each request", PIECES as u64))
    })
}
