//! SplitTransferRequest: one transfer, as many pieces as it takes.
//!
//! A *parent* is the IRP that came from above. While the engine has it, a *transfer* stands for it:
//! the rest of its plan, what has moved, what went wrong. Each *piece* is a child IRP with a partial
//! MDL and a request block. All three kinds of memory were allocated at start ([`pool`]); the I/O
//! path allocates nothing, waits for nothing and runs at any IRQL up to DISPATCH_LEVEL.
//!
//! | Module | Question it answers |
//! |---|---|
//! | [`serve`] | who is next, when pieces are scarce? waiting, cancelling, removal |
//! | [`transfer`] | how far is this parent? |
//! | [`pump`] | what may be sent now? the only place that sends |
//! | [`piece`] | what does one attempt look like? |
//! | [`completion`] | what did the lower driver say, and what follows from it? |
//! | [`release`] | who thaws a queue that an error froze? |
//! | [`pool`] | where does the memory come from, and when does it go? |
//!
//! # Who owns a transfer
//!
//! Its [`Pump`](xfersplit_core::pump::Pump) counts: one per piece that was taken from the plan and is
//! not finished, one while the plan is not exhausted, one for each caller that is inside. Whoever
//! gives back the last count completes the parent, and nothing touches a transfer after giving its
//! count back.

mod chain;
mod completion;
mod piece;
mod pool;
mod pump;
mod release;
mod serve;
mod transfer;

use core::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

use wdk_sys::PDEVICE_OBJECT;
use xfersplit_core::{paired::PairedLimits, pump::Kicks};

pub(crate) use pool::{build, dismantle};
pub(crate) use serve::{split_transfer_request, surprise_removal};

use crate::{
    counters::Counters,
    paired::Paired,
    pooled::Pooled,
    shape::Config,
    wdm::{
        dpc::{Dpc, Timer},
        irp,
        lock::SpinLock,
        queue::WaitingQueue,
        rundown::Rundown,
    },
};

/// The engine of one device. Lives in nonpaged pool from the first successful start until the
/// device's cleanup, after the rundown.
pub(crate) struct Engine {
    /// The device below, which all pieces are sent to.
    lower: PDEVICE_OBJECT,
    /// Limits, options and the rest of what start found out. Never changes.
    config: Config,
    /// Free pieces and transfers.
    stock: pool::Stock,
    /// Parents that wait for a piece, in order of arrival.
    waiting: WaitingQueue,
    /// Whoever holds its turn gives free pieces to waiting parents.
    server: Kicks,
    /// The turn that waits for `server_dpc`. Whoever has the turn has this.
    server_turn: Cell<u32>,
    /// Goes on serving when one call has served enough.
    server_dpc: Dpc,
    /// Sends RELEASE_QUEUE.
    release: release::ReleaseQueue,
    /// The device has been surprise-removed: nothing more is sent.
    gone: AtomicBool,
    /// Taken to start a timer, and to stop all of them when the device is gone.
    timers: SpinLock<()>,
    /// What the pools are made of, for their dismantling.
    parts: pool::Parts,
    /// The device's rundown and counters, and what its port driver tells; all outlive the engine.
    rundown: *const Rundown,
    counters: *const Counters,
    paired: *const Paired,
}

// SAFETY: all that changes is atomic, behind a spin lock or its turn's; the pointers are stable
// addresses.
unsafe impl Sync for Engine {}

impl Engine {
    /// What start found out.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the stack below is still one that our IRPs fit: one that has grown after all would
    /// run out of their locations (NO_MORE_IRP_STACK_LOCATIONS).
    pub(crate) fn can_send(&self) -> bool {
        // SAFETY: we are attached to the lower device, which keeps it.
        let needed = unsafe { irp::stack_size(self.lower) };
        needed <= self.config.stack_size()
    }

    /// What a paired port driver has told by now.
    fn told(&self) -> Option<PairedLimits> {
        // SAFETY: the contract of `build`.
        unsafe { &*self.paired }.told()
    }

    fn counters(&self) -> &Counters {
        // SAFETY: the contract of `build`.
        unsafe { &*self.counters }
    }

    fn rundown(&self) -> &Rundown {
        // SAFETY: the contract of `build`.
        unsafe { &*self.rundown }
    }

    /// Starts a piece's timer; false if the device is gone and nothing is worth waiting for.
    fn start_timer(&self, timer: &Timer, dpc: &Dpc, ms: u32) -> bool {
        let _timers = self.timers.lock();
        if self.is_gone() {
            return false;
        }
        timer.start(ms, dpc);
        true
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}
