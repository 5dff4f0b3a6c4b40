//! A transfer: what the engine knows of one parent.

use core::cell::Cell;

use wdk_sys::PIRP;
use xfersplit_core::{
    outcome::{Flow, Outcome},
    plan::Plan,
    pump::Pump,
};

use super::{
    Engine, Pooled,
    chain::{Chain, Link, Linked},
    piece::Piece,
};
use crate::{
    shape::{Config, Transfer as Wanted},
    wdm::{dpc::Dpc, irp::Irp, lock::SpinLock},
};

/// One parent on its way. A member of the engine's pool.
///
/// # Ownership
/// `facts` are written by the one who starts the transfer, before the pump can run, and read by
/// everybody who holds a count of `pump`. `progress` is behind its lock.
pub(super) struct Transfer {
    pub(super) link: Link<Self>,
    engine: Cell<Option<Pooled<Engine>>>,
    facts: Cell<Option<Facts>>,
    /// Who may issue, and who completes the parent.
    pub(super) pump: Pump,
    /// The turn that waits for `pump_dpc`. Whoever has the turn has this.
    pub(super) turn: Cell<u32>,
    /// Goes on issuing when one call has issued enough.
    pub(super) pump_dpc: Dpc,
    /// What changes while pieces come and go.
    pub(super) progress: SpinLock<Progress>,
}

// SAFETY: see "Ownership" above; the rest is atomic or behind the lock.
unsafe impl Sync for Transfer {}

/// What does not change from start to end.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// The original IRP.
    pub(super) parent: PIRP,
    /// What was asked.
    pub(super) wanted: Wanted,
    /// Pieces in flight at most.
    pub(super) window: u32,
    /// Attempts of a piece beyond the first.
    pub(super) attempts: u32,
    /// What the ladder halves pieces in, bytes: pieces of pieces keep the buffer's alignment, as
    /// pieces do.
    pub(super) ladder_unit: u32,
}

/// What changes.
pub(super) struct Progress {
    /// The rest of the plan; `None` between transfers.
    pub(super) plan: Option<Plan>,
    /// Nothing more will be taken from the plan.
    pub(super) closed: bool,
    /// Pieces taken from the plan and not finished: in flight, waiting for a retry, or ready.
    pub(super) unfinished: u32,
    /// Pieces with another attempt to make.
    pub(super) ready: Chain<Piece>,
    /// Pieces that the transfer holds and has no use for at this moment.
    pub(super) spare: Chain<Piece>,
    /// Bytes that successful attempts have moved.
    pub(super) moved: u64,
    /// What the parent will be told.
    pub(super) outcome: Outcome,
}

// SAFETY: the chains' members are pool members, which any processor may use.
unsafe impl Send for Progress {}

impl Progress {
    fn new() -> Self {
        Self {
            plan: None,
            closed: true,
            unfinished: 0,
            ready: Chain::default(),
            spare: Chain::default(),
            moved: 0,
            outcome: Outcome::new(0),
        }
    }

    /// A failure, a cancellation or a removal: nothing more is sent.
    pub(super) fn is_stopped(&self) -> bool {
        self.outcome.flow() == Flow::Stop
    }
}

impl Linked for Transfer {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Transfer {
    /// A free transfer of `engine`'s pool.
    pub(super) fn new(engine: Pooled<Engine>) -> Self {
        Self {
            link: Link::default(),
            engine: Cell::new(Some(engine)),
            facts: Cell::new(None),
            pump: Pump::new(),
            turn: Cell::new(0),
            pump_dpc: Dpc::default(),
            progress: SpinLock::new(Progress::new()),
        }
    }

    pub(super) fn engine(&self) -> Option<Pooled<Engine>> {
        self.engine.get()
    }

    /// What was asked; `None` for a free transfer.
    pub(super) fn facts(&self) -> Option<Facts> {
        self.facts.get()
    }

    /// Makes the transfer stand for `parent`. The caller holds the dispatch count from here on.
    pub(super) fn begin(
        &self,
        parent: Irp,
        wanted: Wanted,
        plan: Plan,
        config: &Config,
        first: Pooled<Piece>,
    ) {
        self.facts.set(Some(Facts {
            parent: parent.into_raw(),
            wanted,
            window: config.window(wanted.serial),
            attempts: config.attempts(wanted.serial),
            ladder_unit: if plan.is_misaligned() {
                wanted.sector
            } else {
                wanted.granularity
            },
        }));
        self.pump.begin();
        let mut progress = self.progress.lock();
        progress.outcome = Outcome::new(u64::from(wanted.length));
        progress.moved = 0;
        progress.plan = Some(plan);
        progress.closed = false;
        progress.unfinished = 0;
        progress.spare.push(first);
    }

    /// Ends the transfer: the parent comes back, and the memory is free for the next one.
    pub(super) fn end(&self) -> Option<Irp> {
        let facts = self.facts.take()?;
        // SAFETY: the transfer owned the parent since `begin`, and gives it away here, once.
        Some(unsafe { Irp::from_raw(facts.parent) })
    }

    /// Whether the sender has cancelled the parent.
    pub(super) fn is_cancelled(&self) -> bool {
        self.facts.get().is_some_and(|facts| {
            // SAFETY: the transfer owns the parent; the value is dropped without being completed.
            let parent = unsafe { Irp::from_raw(facts.parent) };
            parent.cancelled()
        })
    }
}
