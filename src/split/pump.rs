//! The pump: the only place that sends.
//!
//! Many hands want a transfer to go on: the dispatch routine, every completion, retry timers. Each
//! leaves a kick; the one whose kick is the first issues for all of them until none is left. A lower
//! driver that completes inside `IofCallDriver` therefore meets a loop and never a nested call: the
//! stack is as deep for 100 000 pieces as for one.

use wdk_sys::{PKDPC, PVOID};
use xfersplit_core::{outcome::Own, pump::Turn};

use super::{
    Engine, Pooled, completion,
    piece::Piece,
    transfer::{Progress, Transfer},
};
use crate::{counters::Counter, wdm::lock::Guard};

/// Pieces that one call sends before it leaves the rest to a DPC: at DISPATCH_LEVEL a longer loop
/// would keep this processor from everything else (DPC_WATCHDOG_VIOLATION).
const SENDS_PER_CALL: u32 = 256;

/// What there is to do for a transfer at this moment.
enum Step {
    /// A piece has an attempt to make.
    Send(Pooled<Piece>),
    /// A piece had another attempt to make, but the transfer has stopped.
    Abandon(Pooled<Piece>),
    /// The plan ends here: its count goes back.
    Close,
    /// Nothing until somebody kicks.
    Wait,
}

/// Issues what may be issued. The caller holds a count of the transfer.
pub(super) fn pump(engine: Pooled<Engine>, transfer: Pooled<Transfer>) {
    if let Some(turn) = transfer.pump.enter() {
        issue(engine, transfer, turn);
    }
}

/// The DPC in which a long call goes on. It holds a count and the turn.
///
/// # Safety
/// Queued with the transfer as context, holding a count and the turn.
pub(super) unsafe extern "C" fn resume(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the pool initialised this DPC with its own transfer.
    let transfer = unsafe { Pooled::<Transfer>::from_context(context) };
    let Some(engine) = transfer.engine() else {
        return;
    };
    issue(engine, transfer, Turn::resume(transfer.turn.get()));
    completion::give_back(engine, transfer);
}

/// Issues until nobody has left a kick.
fn issue(engine: Pooled<Engine>, transfer: Pooled<Transfer>, turn: Turn) {
    let mut turn = turn;
    let mut sent = 0;
    loop {
        if sent == SENDS_PER_CALL {
            // The turn stays taken: kicks that come meanwhile are the DPC's to see.
            engine.counters().add(Counter::Deferred);
            transfer.turn.set(transfer.pump.hand_over(turn));
            transfer.pump_dpc.queue();
            return;
        }
        match next_step(engine, transfer) {
            Step::Send(piece) => {
                sent += 1;
                piece.send(engine, transfer);
            }
            Step::Abandon(piece) => completion::abandon(engine, transfer, piece),
            Step::Close => close(engine, transfer),
            Step::Wait => match transfer.pump.leave(turn) {
                None => return,
                Some(kicked) => turn = kicked,
            },
        }
    }
}

fn next_step(engine: Pooled<Engine>, transfer: Pooled<Transfer>) -> Step {
    let Some(facts) = transfer.facts() else {
        return Step::Wait;
    };
    let mut progress = transfer.progress.lock();
    let more = progress
        .plan
        .as_ref()
        .is_some_and(|plan| !plan.is_exhausted());
    if (more && !progress.closed) || !progress.ready.is_empty() {
        // Only here: a parent that has nothing left to send is not stopped, it finishes.
        look_for_stop(engine, transfer, &mut progress);
    }
    let stopped = progress.is_stopped();
    if let Some(piece) = progress.ready.pop() {
        return if stopped {
            Step::Abandon(piece)
        } else {
            Step::Send(piece)
        };
    }
    if progress.closed {
        return Step::Wait;
    }
    if stopped || !more {
        progress.closed = true;
        return Step::Close;
    }
    if progress.unfinished >= facts.window {
        return Step::Wait;
    }
    let Some(piece) = progress.spare.pop().or_else(|| another_piece(engine)) else {
        // The transfer has pieces in flight; the next one that comes back is the next to go.
        return Step::Wait;
    };
    let Some(part) = progress
        .plan
        .as_mut()
        .and_then(|plan| plan.next_piece(&facts.wanted.mdl))
    else {
        progress.spare.push(piece);
        progress.closed = true;
        return Step::Close;
    };
    progress.unfinished += 1;
    transfer.pump.hold();
    engine.counters().add(Counter::Pieces);
    piece.begin(transfer, &part, facts.ladder_unit, facts.attempts);
    Step::Send(piece)
}

/// A free piece, unless a parent waits for its first one.
fn another_piece(engine: Pooled<Engine>) -> Option<Pooled<Piece>> {
    if engine.waiting.length() > 0 {
        return None;
    }
    engine.stock.take_piece()
}

/// Cancellation, removal and a queue that others must thaw stop issue; what is in flight finishes.
fn look_for_stop(
    engine: Pooled<Engine>,
    transfer: Pooled<Transfer>,
    progress: &mut Guard<'_, Progress>,
) {
    if engine.is_gone() {
        progress.outcome.record_own(Own::Removed);
    } else if progress.outcome.queue_frozen() && !engine.config().thaws_queues() {
        // The class driver releases the queue when the parent is back.
        progress.outcome.record_own(Own::Frozen);
    } else if transfer.is_cancelled() {
        progress.outcome.record_own(Own::Cancelled);
    }
}

/// The plan has nothing more to give: its count goes back, and spare pieces go to whoever waits.
fn close(engine: Pooled<Engine>, transfer: Pooled<Transfer>) {
    loop {
        let Some(piece) = transfer.progress.lock().spare.pop() else {
            break;
        };
        engine.stock.give_piece(piece);
    }
    transfer.pump.plan_ended();
    super::serve::serve(engine);
}
