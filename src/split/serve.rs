//! Who is next: parents get pieces in order of arrival, and wait when there are none.

use core::{ffi::c_void, sync::atomic::Ordering};

use wdk_sys::{
    NTSTATUS, PKDPC, PVOID, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE,
};
use xfersplit_core::{plan::Plan, pump::Turn};

use super::{Engine, Pooled, completion, piece::Piece, pump, transfer::Transfer};
use crate::{
    counters::Counter,
    shape::{self, Asked, Terms, Transfer as Wanted},
    wdm::irp::Irp,
};

/// Parents that one call starts before it leaves the rest to a DPC; each may send
/// [`pump::SENDS_PER_CALL`](super::pump) pieces of its own.
const STARTS_PER_CALL: u32 = 8;

/// The documents' SplitTransferRequest. The parent was marked pending and carries a rundown
/// reference; both are the engine's from here on, and the parent may be complete before this
/// function returns.
pub(crate) fn split_transfer_request(
    engine: Pooled<Engine>,
    parent: Irp,
    wanted: Wanted,
    plan: Plan,
) {
    if engine.waiting.length() == 0
        && let Some((transfer, first)) = engine.stock.take_both()
    {
        start(engine, transfer, first, parent, wanted, plan);
        return;
    }
    engine.counters().add(Counter::Waited);
    // The parent may be cancelled, and its rundown reference given back, before `push` returns.
    let rundown = engine.rundown();
    rundown.acquire_again();
    engine.waiting.push(parent);
    serve(engine);
    rundown.release();
}

/// Gives free pieces to waiting parents. Whoever frees a piece or adds a parent calls this, holding a
/// rundown reference; one of them serves, and the others leave a kick.
pub(super) fn serve(engine: Pooled<Engine>) {
    if let Some(turn) = engine.server.enter() {
        serve_waiting(engine, turn);
    }
}

/// The DPC in which a long call goes on. It has the turn.
///
/// # Safety
/// Queued with the engine as context, holding the turn.
pub(super) unsafe extern "C" fn resume(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the pool initialised this DPC with its own engine, which is not dismantled before
    // queued DPCs have run.
    let engine = unsafe { Pooled::<Engine>::from_context(context) };
    serve_waiting(engine, Turn::resume(engine.server_turn.get()));
}

fn serve_waiting(engine: Pooled<Engine>, turn: Turn) {
    let mut turn = turn;
    let mut started = 0;
    loop {
        if started == STARTS_PER_CALL {
            engine.counters().add(Counter::Deferred);
            engine.server_turn.set(turn.kicks());
            engine.server_dpc.queue();
            return;
        }
        let Some((transfer, first, parent)) = next_served(engine) else {
            match engine.server.leave(turn) {
                None => return,
                Some(kicked) => turn = kicked,
            }
            continue;
        };
        started += 1;
        let terms = Terms {
            told: engine.told(),
            waited: true,
        };
        match shape::read(engine.config(), terms, &parent) {
            Asked::Transfer(wanted, plan) => start(engine, transfer, first, parent, wanted, plan),
            // It was a transfer when it came, and nobody may have changed it: this is a sender's
            // mistake, and a parent that is marked pending can't go down any more.
            Asked::PassDown | Asked::Overstretched => {
                decline(engine, transfer, first);
                end(
                    engine,
                    Counter::Refused,
                    parent,
                    STATUS_INVALID_DEVICE_REQUEST,
                );
            }
            Asked::Answer(status) => {
                decline(engine, transfer, first);
                end(engine, Counter::of_answer(status), parent, status);
            }
        }
    }
}

/// Gives back what a parent would have needed to begin.
fn decline(engine: Pooled<Engine>, transfer: Pooled<Transfer>, first: Pooled<Piece>) {
    engine.stock.give_piece(first);
    engine.stock.give_transfer(transfer);
}

/// Ends a parent that has never begun, and its rundown reference.
fn end(engine: Pooled<Engine>, counter: Counter, parent: Irp, status: NTSTATUS) {
    engine.counters().add(counter);
    shape::turn_down(parent, status);
    engine.rundown().release();
}

/// A waiting parent and what it needs to begin; nothing is taken unless there is all of it.
fn next_served(engine: Pooled<Engine>) -> Option<(Pooled<Transfer>, Pooled<Piece>, Irp)> {
    let (transfer, first) = engine.stock.take_both()?;
    if let Some(parent) = engine.waiting.pop() {
        return Some((transfer, first, parent));
    }
    decline(engine, transfer, first);
    None
}

fn start(
    engine: Pooled<Engine>,
    transfer: Pooled<Transfer>,
    first: Pooled<Piece>,
    parent: Irp,
    wanted: Wanted,
    plan: Plan,
) {
    let counter = if plan.is_whole() {
        Counter::Whole
    } else {
        Counter::Split
    };
    engine.counters().add(counter);
    if plan.is_misaligned() {
        engine.counters().add(Counter::Misaligned);
    }
    if wanted.overstretched {
        engine.counters().note_overstretched();
    }
    transfer.begin(parent, wanted, plan, engine.config(), first);
    pump::pump(engine, transfer);
    completion::give_back(engine, transfer);
}

/// A parent was cancelled while it waited: the queue has let it go.
pub(super) fn cancelled(context: *const c_void, parent: Irp) {
    // SAFETY: the pool made the queue with its own engine as context; the parent's rundown
    // reference keeps the engine.
    let engine = unsafe { Pooled::<Engine>::from_context(context.cast_mut()) };
    end(engine, Counter::Cancelled, parent, STATUS_CANCELLED);
}

/// The device is gone: nothing more is sent, and waiting parents fail at once. Waits for nothing,
/// for the port driver hears of the removal only after us (KMDF pnpstatemachine.cpp), and until then
/// the pieces in its queue do not come back. PASSIVE_LEVEL.
pub(crate) fn surprise_removal(engine: Pooled<Engine>) {
    engine.gone.store(true, Ordering::Release);
    wake_timers(engine);
    while let Some(parent) = engine.waiting.pop() {
        end(engine, Counter::Removed, parent, STATUS_NO_SUCH_DEVICE);
    }
}

/// Pieces that wait for their next attempt learn now that there will be none.
fn wake_timers(engine: Pooled<Engine>) {
    // A timer is started under this lock, after a look at `gone`: none is started behind our back.
    let _no_new_timers = engine.timers.lock();
    for piece in engine.parts.pieces() {
        if piece.timer.cancel() {
            piece.dpc.queue();
        }
    }
}
