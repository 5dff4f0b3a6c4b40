//! The class driver's routine: what it knows of the adapter, when it splits, and how it answers.

use ntsim::abi::{IRP_MJ_READ, SRB_FUNCTION_EXECUTE_SCSI, STATUS_PENDING};
use ntsim::port::{Fault, Hba, Kind, Limits};
use ntsim::world::StackKind;

use super::scene::{
    BOTH, PAGE, Probe, Scene, Seen, Shown, both, both_of, expect, holds, number, play,
};

/// The adapter of the document's code: a length and a number of pages.
const BYTES: usize = 64 << 10;
const PAGES: u32 = 16;

fn adapter() -> Hba {
    Hba::unlimited().limits(BYTES as u32, PAGES)
}

/// What the adapter's descriptor says is kept, where a person can read it, and keeps being obeyed.
pub(super) fn descriptor(scene: &Scene) -> Shown {
    play(scene.world(adapter()), |stack| {
        let bytes = number(stack, r"Effective\AdapterMaximumTransferLength");
        let pages = number(stack, r"Effective\AdapterMaximumPhysicalPages");
        expect("MaximumTransferLength", bytes, BYTES as u64)?;
        expect("MaximumPhysicalPages", pages, u64::from(PAGES))?;
        let asked = stack.port().records().len();
        let both = both(stack, 4 * BYTES, 0)?;
        expect("operations of four times as much", both.count(), 4)?;
        Ok(Seen::verified(both.verified)
            .fact("MaximumTransferLength", bytes)
            .fact("MaximumPhysicalPages", pages)
            .fact("requests to the device at start", asked as u64))
    })
}

/// What fits goes down as it came; what does not is split.
pub(super) fn decision(scene: &Scene) -> Shown {
    let world = scene.world(adapter()).stack(StackKind::Relay);
    play(world, |stack| {
        let class = stack.class_device();
        stack.watch(class);
        let mut verified = 0;
        let mut arrived = Vec::new();
        for length in [BYTES, BYTES + 512] {
            let before = stack.arrivals(class).len();
            let probe = Probe::new(stack, BOTH[1], 0, stack.buffer(length, 0));
            let pending = probe.send(stack);
            let original = pending.irp_address();
            holds("it succeeds", pending.wait().succeeded())?;
            verified += probe.compare(stack)?;
            let mut below = stack.arrivals(class).split_off(before);
            below.retain(|one| u32::from(one.major) == IRP_MJ_READ);
            let own = below.iter().filter(|one| one.irp == original).count();
            arrived.push((below.len() as u64, own as u64));
        }
        expect("IRPs for what fits", arrived[0].0, 1)?;
        expect("the sender's own among them", arrived[0].1, 1)?;
        expect("IRPs for a sector more", arrived[1].0, 2)?;
        expect("the sender's own among those", arrived[1].1, 0)?;
        Ok(Seen::verified(verified)
            .fact("the sender's own IRP below, where it fits", arrived[0].1)
            .fact("IRPs for a sector more", arrived[1].0))
    })
}

/// Too long, too many pages, neither: with the document's own rule, a page kept back in every piece.
pub(super) fn three_cases(scene: &Scene) -> Shown {
    let cases = [
        ("128 KiB, too long", 128 << 10, 0, 3),
        ("64 KiB over 17 pages", 64 << 10, 512, 2),
        ("56 KiB over 15 pages, neither", 56 << 10, 512, 1),
    ];
    play(scene.world(adapter()).setting("PageRule", 1), |stack| {
        let mut seen = Vec::new();
        let mut verified = 0;
        for (name, length, page_offset, pieces) in cases {
            let both = both(stack, length, page_offset)?;
            expect(name, both.count(), pieces)?;
            verified += both.verified;
            seen.push((name, both.count()));
        }
        let first = Seen::verified(verified);
        Ok(seen
            .into_iter()
            .fold(first, |seen, (name, count)| seen.fact(name, count)))
    })
}

/// A buffer on neighbouring frames counts page by page all the same.
pub(super) fn each_page(scene: &Scene) -> Shown {
    let world = scene.world(Hba::unlimited().limits(u32::MAX, 5));
    play(world, |stack| {
        let both = both_of(stack, |stack| stack.buffer_contiguous(12 * PAGE, 0))?;
        let breaks = both.operations.iter().map(|one| u64::from(one.breaks));
        let breaks = breaks.max().unwrap_or(0);
        expect("physical breaks of each piece", breaks, 1)?;
        expect("operations", both.count(), 3)?;
        Ok(Seen::verified(both.verified)
            .fact("physical breaks in one", breaks)
            .fact("operations of 12 pages", both.count()))
    })
}

/// The dispatch routine marks the original pending and says so, even where all pieces come back before it returns.
pub(super) fn pending(scene: &Scene) -> Shown {
    play(scene.world(adapter()), |stack| {
        let (mut verified, mut pending) = (0, 0);
        for direction in BOTH {
            let probe = Probe::new(stack, direction, 0, stack.buffer(4 * BYTES, 0));
            let done = probe.send(stack).wait();
            holds("it succeeds", done.succeeded())?;
            holds(
                "STATUS_PENDING is returned",
                done.returned == STATUS_PENDING,
            )?;
            holds("IoMarkIrpPending was called", done.pending_returned)?;
            pending += 1;
            verified += probe.compare(stack)?;
        }
        Ok(Seen::verified(verified).fact("STATUS_PENDING returned", pending))
    })
}

/// Each piece has a request block of the format that the adapter asks for, with a command for its part of the sectors.
pub(super) fn request_blocks(scene: &Scene) -> Shown {
    let mut formats = Vec::new();
    let mut verified = 0;
    for extended in [false, true] {
        let world = scene.world(adapter().extended_srb(extended));
        let seen = play(world, |stack| {
            let both = both(stack, 4 * BYTES, 0)?;
            let mut next = (1 << 20) / 512;
            for piece in &both.operations {
                let execute = piece.srb_function == Some(SRB_FUNCTION_EXECUTE_SCSI as u8);
                holds("it is EXECUTE_SCSI", execute)?;
                holds("it has the adapter's format", piece.extended == extended)?;
                expect("its first sector", piece.lba, next)?;
                expect(
                    "its bytes",
                    u64::from(piece.bytes),
                    u64::from(piece.blocks) * 512,
                )?;
                next += u64::from(piece.blocks);
            }
            Ok(Seen::verified(both.verified).fact("blocks", both.count()))
        })?;
        formats.push(seen.facts()[0].1);
        verified += seen.bytes_verified();
    }
    Ok(Seen::verified(verified)
        .fact("SCSI_REQUEST_BLOCKs of a write", formats[0])
        .fact("STORAGE_REQUEST_BLOCKs of a write", formats[1]))
}

/// A piece that fails is tried again; when its retries are exhausted the original fails with its error, and claims
/// nothing.
pub(super) fn retries(scene: &Scene) -> Shown {
    const BAD: u64 = 2048 + 40;
    play(scene.world(adapter()), |stack| {
        let port = stack.port();
        port.fault(Fault::new(Kind::BusReset).at_lba(BAD).times(2));
        let probe = Probe::new(stack, BOTH[0], 1 << 20, stack.buffer(4 * BYTES, 0));
        let verified = probe.moves(stack)?;
        let attempts = |stack: &ntsim::Stack| {
            let all = stack.port().transfers().into_iter();
            all.filter(|one| (one.lba..one.lba + u64::from(one.blocks)).contains(&BAD))
                .count() as u64
        };
        let mended = attempts(stack);
        expect("attempts until it succeeds", mended, 3)?;
        port.forget_records();
        port.fault(Fault::new(Kind::BusReset).at_lba(BAD).always());
        let done = probe.send(stack).wait();
        holds("the original fails", !done.succeeded())?;
        expect("bytes that it claims", done.information, 0)?;
        let exhausted = attempts(stack);
        expect("attempts until they are exhausted", exhausted, 4)?;
        Ok(Seen::verified(verified)
            .fact("attempts of a piece that is mended", mended)
            .fact("of one that is not", exhausted))
    })
}

/// The limits that the class driver above is shown are such that it never sends too much; told more, it does, and the
/// filter splits beneath it.
pub(super) fn between_neighbours(scene: &Scene) -> Shown {
    let lying = Limits {
        bytes: 1 << 20,
        pages: 257,
        alignment_mask: 0,
    };
    let mut seen = Seen::verified(0);
    for (name, advertise) in [
        ("SRBs of the class driver, told the truth", 1),
        ("told the adapter's word", 0),
    ] {
        let world = scene
            .world(adapter().advertised(lying))
            .stack(StackKind::Disk)
            .setting("MaximumTransferLength", BYTES as u32)
            .setting("MaximumPhysicalPages", PAGES)
            .setting("Advertise", advertise);
        let one = play(world, |stack| {
            let both = both(stack, 1 << 20, 0)?;
            Ok(Seen::verified(both.verified).fact("sent", stack.class_counts().packets))
        })?;
        let sent = one.facts()[0].1;
        holds(name, if advertise == 1 { sent > 30 } else { sent <= 4 })?;
        seen = seen
            .fact(name, sent)
            .and(&Seen::verified(one.bytes_verified()));
    }
    Ok(seen)
}
