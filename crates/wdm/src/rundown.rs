//! The engine's own rundown: how long a device's memory is in use.
//!
//! The framework's remove lock is not enough. It is waited for *after* `EvtCleanupCallback`, where
//! the engine frees its pools, and it is released inside our `IofCompleteRequest` of the parent,
//! while lines of ours still follow (KMDF fxpkgfdo.cpp, fxdevice.cpp).
//!
//! Why not `IO_REMOVE_LOCK` or `EX_RUNDOWN_REF`: neither lets a holder take a second reference once
//! the wait has begun, and the engine must be able to send RELEASE_QUEUE for a frozen queue just
//! then, or the pieces in that queue, and with them the wait, would never end.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::event::Event;

/// Set once the wait has begun: nobody new comes in.
const CLOSED: u32 = 1;
/// One reference.
const ONE: u32 = 2;

/// Counts the users of a device. Starts open.
#[derive(Default)]
pub struct Rundown {
    state: AtomicU32,
    drained: Event,
}

impl Rundown {
    /// # Safety
    /// `self` stays where it is.
    pub unsafe fn initialise(&self) {
        // SAFETY: the caller's contract; the memory is nonpaged.
        unsafe { self.drained.initialise() };
    }

    /// A reference, unless the rundown is closed. Any IRQL.
    pub fn acquire(&self) -> bool {
        let taken = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                (state & CLOSED == 0).then(|| state.wrapping_add(ONE))
            });
        taken.is_ok()
    }

    /// One more reference for somebody who holds one already. Any IRQL.
    pub fn acquire_again(&self) {
        self.state.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Gives a reference back. Nothing of the device may be touched afterwards. IRQL <= DISPATCH_LEVEL.
    pub fn release(&self) {
        if self.state.fetch_sub(ONE, Ordering::AcqRel) == CLOSED | ONE {
            self.drained.set();
        }
    }

    /// Lets nobody in any more and waits until everybody has left. PASSIVE_LEVEL.
    pub fn close_and_wait(&self) {
        if self.state.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED == 0 {
            return;
        }
        self.drained.wait();
    }
}
