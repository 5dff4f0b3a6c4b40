//! The IoCompletion routine of a piece: judge, then retry, shrink, go on, or finish.

use wdk_sys::{NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED};
use xfersplit_core::{
    ladder::Ladder,
    outcome::{Ending, Evidence, Own},
    srb,
    verdict::{Completion, Verdict},
};

use super::{
    Engine, Pooled,
    piece::{self, Part, Piece},
    pump, serve,
    transfer::Transfer,
};
use crate::{
    counters::Counter,
    shape::{self, Transfer as Wanted},
    wdm::irp::Irp,
};

/// A piece has come back. IRQL <= DISPATCH_LEVEL.
///
/// The child IRP is ours, so the walk up its stack stops here, and nothing is marked pending: the
/// routine has no stack location of its own (its device object is NULL).
///
/// # Safety
/// Set by [`Pooled::<Piece>::send`] with the piece as context.
pub(super) unsafe extern "C" fn piece_done(
    _device: PDEVICE_OBJECT,
    _irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    // SAFETY: `send` gave the piece as context, and the lower driver has just given it back.
    let piece = unsafe { Pooled::<Piece>::from_context(context) };
    if let Some(transfer) = piece.transfer()
        && let Some(engine) = transfer.engine()
    {
        attempt_done(engine, transfer, piece);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

fn attempt_done(engine: Pooled<Engine>, transfer: Pooled<Transfer>, piece: Pooled<Piece>) {
    // Before anything else: the parent's pages may be unlocked as soon as the parent completes.
    piece.mdl.retire();
    let Some(facts) = transfer.facts() else {
        return;
    };
    let mut part = piece.part.get();
    let asked = part.asked();
    // SAFETY: the piece is ours since the completion routine was called.
    let child = unsafe { Irp::from_raw(piece.irp.as_ptr()) };
    // SAFETY: the request has been completed and nobody has sent it again.
    let answer = unsafe { shape::answer(&facts.wanted, &child, &piece.block, asked) };
    let frozen = srb::is_frozen(answer.srb_status);
    if frozen && engine.config().thaws_queues() {
        engine.release.release(engine);
    }
    let verdict = answer.verdict(engine.config().context(facts.wanted.write));
    match verdict {
        // Behind a queue that only the class driver may release, when the parent is back, another
        // attempt would wait for ever.
        _ if frozen && !engine.config().thaws_queues() => {}
        Verdict::Retry { backoff, .. } if part.attempts > 0 => {
            part.attempts -= 1;
            piece.part.set(part);
            engine.counters().add(Counter::Retries);
            let wait = engine.config().retry_delay_ms(backoff);
            return piece.again_after(engine, transfer, wait);
        }
        Verdict::Shrink { .. } if shrink(&mut part.ladder, engine.config().largest_piece()) => {
            piece.part.set(part);
            engine.counters().add(Counter::Shrunk);
            // The first rung goes at once through a DPC; the later ones give the port time.
            let first = part.ladder.steps() == 1;
            let wait = if first {
                0
            } else {
                engine.config().ladder_delay_ms()
            };
            return piece.again_after(engine, transfer, wait);
        }
        _ => {}
    }
    note(transfer, &part, verdict, frozen, &answer);
    if verdict.moved() == asked && !part.ladder.advance() {
        // The ladder cut this piece: the rest of it goes in further attempts.
        part.attempts = facts.attempts;
        piece.part.set(part);
        return piece::make_ready(engine, transfer, piece);
    }
    finish(engine, transfer, piece);
}

/// Enters a settled attempt into the transfer's account. Plain success is a sum; only what is not
/// costs a copy of the evidence.
fn note(
    transfer: Pooled<Transfer>,
    part: &Part,
    verdict: Verdict,
    frozen: bool,
    answer: &Completion<'_>,
) {
    let mut progress = transfer.progress.lock();
    progress.moved += u64::from(verdict.moved());
    if frozen || !verdict.is_plain_success() {
        let evidence = Evidence::of(answer);
        progress
            .outcome
            .record(part.position(), part.asked(), &verdict, &evidence);
    }
}

/// Halves the attempt; false when a single sector was refused already. A request that went as it came
/// may be larger than any partial MDL: it is halved until one can show it.
fn shrink(ladder: &mut Ladder, largest: u32) -> bool {
    let mut shrunk = ladder.shrink().is_some();
    while shrunk && ladder.next_length() > largest {
        shrunk = ladder.shrink().is_some();
    }
    shrunk
}

/// The piece had another attempt to make, but the transfer has stopped: it is as if the rest of it
/// had never been sent. The error that stopped the transfer is worth more than one that would have
/// been retried.
pub(super) fn abandon(engine: Pooled<Engine>, transfer: Pooled<Transfer>, piece: Pooled<Piece>) {
    transfer
        .progress
        .lock()
        .outcome
        .unsent(piece.part.get().position());
    finish(engine, transfer, piece);
}

/// The piece can't be put into a request. The plan was checked before anything was sent, so this is
/// a parent that changed under our hands: it fails as one that should never have come.
pub(super) fn unsendable(engine: Pooled<Engine>, transfer: Pooled<Transfer>, piece: Pooled<Piece>) {
    {
        let mut progress = transfer.progress.lock();
        progress.outcome.unsent(piece.part.get().position());
        progress.outcome.record_own(Own::Refused);
    }
    finish(engine, transfer, piece);
}

/// The piece has no attempt left to make: it serves this transfer again, or another one.
fn finish(engine: Pooled<Engine>, transfer: Pooled<Transfer>, piece: Pooled<Piece>) {
    piece.end();
    let others_wait = engine.waiting.length() > 0;
    let leaves = {
        let mut progress = transfer.progress.lock();
        progress.unfinished -= 1;
        // The last piece of an unfinished transfer stays: every transfer that has begun has at
        // least one piece, so every transfer comes to its end however scarce pieces are.
        let leaves = progress.closed || (others_wait && progress.unfinished > 0);
        if !leaves {
            progress.spare.push(piece);
        }
        leaves
    };
    if leaves {
        engine.stock.give_piece(piece);
        serve::serve(engine);
    }
    pump::pump(engine, transfer);
    give_back(engine, transfer);
}

/// Gives one count of the transfer back; the last one completes the parent. The caller touches the
/// transfer no more.
pub(super) fn give_back(engine: Pooled<Engine>, transfer: Pooled<Transfer>) {
    if transfer.pump.release() {
        complete(engine, transfer);
    }
}

/// How a parent is told.
struct Told {
    status: NTSTATUS,
    information: u64,
}

fn complete(engine: Pooled<Engine>, transfer: Pooled<Transfer>) {
    let Some(facts) = transfer.facts() else {
        return;
    };
    let told = settle(engine, transfer, &facts.wanted);
    let Some(parent) = transfer.end() else { return };
    let rundown = engine.rundown();
    engine.stock.give_transfer(transfer);
    parent.complete(told.status, told.information);
    serve::serve(engine);
    // Last: from here on the device's cleanup may free the engine.
    rundown.release();
}

fn settle(engine: Pooled<Engine>, transfer: Pooled<Transfer>, wanted: &Wanted) -> Told {
    let mut progress = transfer.progress.lock();
    let sent = progress.plan.take().map_or(0, |plan| plan.taken());
    let finished = progress.outcome.finish(progress.moved, sent);
    let counter = match finished.ending {
        Ending::Success | Ending::Recovered => None,
        Ending::Failed(_) | Ending::Hole => Some(Counter::Failed),
        Ending::Refused => Some(Counter::Refused),
        Ending::Cancelled => Some(Counter::Cancelled),
        Ending::Removed => Some(Counter::Removed),
    };
    if let Some(counter) = counter {
        // The first, the second, the fourth: a failing disk must not drown the log.
        if (engine.counters().add(counter) + 1).is_power_of_two() {
            let (status, good) = (finished.status, finished.good_prefix);
            wdk::println!(
                "xfersplit: {:?}, {status:#010X}, {good} bytes good",
                finished.ending
            );
        }
    }
    let (status, information) = shape::tell(wanted, &finished);
    Told {
        status,
        information,
    }
}
