//! A piece: one child IRP with its partial MDL and request block, and the attempts it makes.

use core::cell::Cell;

use wdk_sys::{PKDPC, PVOID};
use xfersplit_core::{ladder::Ladder, plan};

use super::{
    Engine, Pooled,
    chain::{Link, Linked},
    completion, pump,
    transfer::Transfer,
};
use crate::{
    shape::{self, Attempt},
    srb::RequestBlock,
    wdm::{
        dpc::{Dpc, Timer},
        irp::{ChildIrp, ChildRequest},
        mdl::PartialMdl,
    },
};

/// A child request. A member of the engine's pool.
///
/// # Ownership
/// A piece is in one hand at a time, and that hand alone touches its cells: a chain (under the
/// chain's lock), the pump, the lower driver until it calls the completion routine, the completion
/// routine, or the timer that will make it ready again.
pub(super) struct Piece {
    pub(super) link: Link<Self>,
    transfer: Cell<Option<Pooled<Transfer>>>,
    /// The part of the parent that this piece stands for.
    pub(super) part: Cell<Part>,
    pub(super) irp: ChildIrp,
    pub(super) mdl: PartialMdl,
    pub(super) block: RequestBlock,
    pub(super) timer: Timer,
    pub(super) dpc: Dpc,
}

// SAFETY: see "Ownership" above.
unsafe impl Sync for Piece {}

/// The part of a parent that a piece moves, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Bytes from the parent's start.
    offset: u64,
    /// What has moved of it, and how much the next attempt asks for.
    pub(super) ladder: Ladder,
    /// Attempts left, after the one under way.
    pub(super) attempts: u32,
}

impl Part {
    const NONE: Self = Self {
        offset: 0,
        ladder: Ladder::new(0, 1),
        attempts: 0,
    };

    /// Bytes that the attempt under way asks for.
    pub(super) fn asked(&self) -> u32 {
        self.ladder.next_length()
    }

    /// Where the attempt under way begins, in bytes from the parent's start.
    pub(super) fn position(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.ladder.offset()))
    }
}

impl Linked for Piece {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Piece {
    /// A free piece.
    pub(super) fn new(irp: ChildIrp, mdl: PartialMdl, block: RequestBlock) -> Self {
        Self {
            link: Link::default(),
            transfer: Cell::new(None),
            part: Cell::new(Part::NONE),
            irp,
            mdl,
            block,
            timer: Timer::default(),
            dpc: Dpc::default(),
        }
    }

    /// The transfer that this piece works for.
    pub(super) fn transfer(&self) -> Option<Pooled<Transfer>> {
        self.transfer.get()
    }

    /// Makes the piece stand for a part of `transfer`.
    pub(super) fn begin(
        &self,
        transfer: Pooled<Transfer>,
        part: &plan::Piece,
        unit: u32,
        attempts: u32,
    ) {
        self.transfer.set(Some(transfer));
        self.part.set(Part {
            offset: part.offset,
            ladder: Ladder::new(part.length, unit),
            attempts,
        });
    }

    /// The transfer is over for this piece.
    pub(super) fn end(&self) {
        self.transfer.set(None);
    }
}

impl Pooled<Piece> {
    /// Makes one attempt. The lower driver owns the piece from here until [`completion::piece_done`]
    /// runs, which may be before this function returns: nothing of the piece or of the transfer is
    /// touched after the call.
    pub(super) fn send(self, engine: Pooled<Engine>, transfer: Pooled<Transfer>) {
        let Some(facts) = transfer.facts() else {
            return;
        };
        let part = self.part.get();
        let asked = part.asked();
        let index = facts
            .wanted
            .index
            .wrapping_byte_add(part.position() as usize);
        // A request that goes as it came carries its own MDL: a partial one would only repeat it.
        let whole = asked == facts.wanted.length;
        let mdl = if whole {
            Some(facts.wanted.mdl)
        } else {
            self.mdl.show(facts.wanted.mdl, index, asked)
        };
        let attempt = Attempt {
            position: part.position(),
            length: asked,
            index,
            irp: self.irp.as_ptr(),
        };
        let (config, wanted) = (engine.config(), &facts.wanted);
        // SAFETY: the pump owns the piece, so no lower driver holds the block; the parent is
        // completed only when all pieces have ended.
        let order = unsafe { shape::order(config, wanted, facts.parent, &attempt, &self.block) };
        let (Some(mdl), Some(order)) = (mdl, order) else {
            completion::unsendable(engine, transfer, self);
            return;
        };
        let child = ChildRequest {
            order,
            mdl: Some(mdl),
            inherited: Some(facts.wanted.inherited),
            completion: (Some(completion::piece_done), self.as_context()),
        };
        // SAFETY: it fits (`Engine::can_send`, when the parent came); the pump owns the piece; its
        // memory and the parent's MDL live until the completion routine has given its count back.
        let _status_comes_with_the_completion = unsafe { self.irp.send(engine.lower, &child) };
    }

    /// Lets the piece make another attempt after `ms` milliseconds, or as soon as a DPC can run.
    ///
    /// The piece keeps its own count. This call holds one more while it is inside: the timer may
    /// fire, and the piece be sent and finished, before it returns.
    pub(super) fn again_after(self, engine: Pooled<Engine>, transfer: Pooled<Transfer>, ms: u32) {
        transfer.pump.hold();
        if ms == 0 {
            self.dpc.queue();
        } else if !engine.start_timer(&self.timer, &self.dpc, ms) {
            make_ready(engine, transfer, self);
        }
        completion::give_back(engine, transfer);
    }
}

/// The piece's DPC: it is ready for its next attempt.
///
/// # Safety
/// Queued with the piece as context, by [`Pooled::<Piece>::again_after`] or at surprise removal.
pub(super) unsafe extern "C" fn ready(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the pool initialised this DPC with its own piece.
    let piece = unsafe { Pooled::<Piece>::from_context(context) };
    let Some(transfer) = piece.transfer() else {
        return;
    };
    let Some(engine) = transfer.engine() else {
        return;
    };
    make_ready(engine, transfer, piece);
}

/// Hands the piece to the pump. The piece keeps its own count; this call holds one more while it is
/// inside, for the piece may be sent, completed and finished before the pump returns.
pub(super) fn make_ready(engine: Pooled<Engine>, transfer: Pooled<Transfer>, piece: Pooled<Piece>) {
    transfer.pump.hold();
    transfer.progress.lock().ready.push(piece);
    pump::pump(engine, transfer);
    completion::give_back(engine, transfer);
}
