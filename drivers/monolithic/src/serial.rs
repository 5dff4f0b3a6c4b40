//! A value that one caller at a time works on, without a lock.

use core::cell::UnsafeCell;

use xfersplit_core::pump::Kicks;

/// Whoever enters first works; everybody else leaves a kick and goes, and the one inside goes round
/// once more.
///
/// A DPC may run on several processors at once: it is queued again while it runs. A spin lock would
/// make them wait for each other, and could not be held over the calls that the work consists of
/// (`GetScatterGatherList`, `IofCompleteRequest`); this keeps them out without either.
pub(crate) struct Serial<T> {
    kicks: Kicks,
    value: UnsafeCell<T>,
}

// SAFETY: `Kicks` lets one caller at a time reach the value, and orders them.
unsafe impl<T: Send> Sync for Serial<T> {}

impl<T> Serial<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            kicks: Kicks::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Has `work` look at the value after everything that the caller has signalled before.
    pub(crate) fn kick(&self, mut work: impl FnMut(&mut T)) {
        let mut turn = self.kicks.enter();
        while let Some(mine) = turn {
            // SAFETY: whoever has the turn is alone, and `work` ends before the turn does.
            work(unsafe { &mut *self.value.get() });
            turn = self.kicks.leave(mine);
        }
    }
}
