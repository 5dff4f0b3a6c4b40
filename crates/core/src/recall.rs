//! Calling back a request of the driver's own that is sent again and again.
//!
//! A driver that goes away cancels what it has below. But the request may just be being prepared for
//! its next journey, on another processor: preparing wipes the mark that cancelling leaves, and
//! cancelling reads what preparing writes. So whoever sends says so before and after, and the one who
//! calls back leaves the cancelling to whoever is between the two. `tests/loom_recall.rs` tries every
//! interleaving.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

/// Nothing is sent any more.
const CLOSED: u32 = 1;
/// Somebody who is between preparing the request and having sent it. There may be two: an answer that
/// came inside the call can be followed by the next question before that call has returned.
const SENDER: u32 = 2;

/// Whether a request may be sent, and who cancels it. Any IRQL.
#[derive(Debug)]
pub struct Recall(AtomicU32);

impl Recall {
    /// Open.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Open.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Before the request is prepared; false if it must not be sent. After true, [`Recall::sent`]
    /// follows.
    #[must_use = "what is closed must not be sent"]
    pub fn begin(&self) -> bool {
        // Whoever is turned away never counts: another one's `sent` would leave the cancelling to it.
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state & CLOSED == 0).then(|| state + SENDER)
            });
        entered.is_ok()
    }

    /// After the request was sent, whether or not it is back by now; true if it was called back
    /// meanwhile, and the caller has to cancel it.
    #[must_use = "a request that nobody cancels stays below"]
    pub fn sent(&self) -> bool {
        self.0.fetch_sub(SENDER, Ordering::AcqRel) == CLOSED | SENDER
    }

    /// Ends the sending; true if nobody is at it, and the caller has to cancel what may be below.
    #[must_use = "a request that nobody cancels stays below"]
    pub fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED == 0
    }

    /// Whether [`Recall::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }
}

impl Default for Recall {
    fn default() -> Self {
        Self::new()
    }
}
