//! What a device has done, for the line it writes when it goes.

use wdk_sys::NTSTATUS;
use xfersplit_wdm::counters;

use crate::wdm::succeeded;

counters! {
    /// Requests handed down untouched.
    PassedThrough = "passed through",
    /// Transfers that fitted the adapter and went as one piece.
    Whole = "whole",
    /// Transfers that were split.
    Split = "split",
    /// Pieces taken from plans.
    Pieces = "pieces",
    /// Attempts beyond a piece's first.
    Retries = "retries",
    /// Pieces halved because something below had no resources.
    Shrunk = "shrunk",
    /// Parents that waited for a piece.
    Waited = "waited",
    /// Requests answered with success without any transfer.
    Empty = "empty",
    /// Requests that have no legal form or no legal split; nothing was sent.
    Refused = "refused",
    /// Parents that failed with a piece's error.
    Failed = "failed",
    /// Parents that were cancelled.
    Cancelled = "cancelled",
    /// Parents that failed because the device went away.
    Removed = "removed",
    /// Parents whose own buffer breaks the adapter's alignment and were cut at sectors instead.
    Misaligned = "misaligned",
    /// Parents that no split makes legal for the adapter, sent as Windows would send them.
    Overstretched = "overstretched",
    /// Queues that the port froze and the driver released.
    Released = "queues released",
    /// Passes of a pump that went on in a DPC.
    Deferred = "deferred",
}

impl Counter {
    /// What an immediate answer counts as.
    pub(crate) const fn of_answer(status: NTSTATUS) -> Self {
        if succeeded(status) {
            Self::Empty
        } else {
            Self::Refused
        }
    }
}

impl Counters {
    /// Counts a request that goes beyond the adapter's limits, and says so the first time.
    pub(crate) fn note_overstretched(&self) {
        if self.add(Counter::Overstretched) == 0 {
            wdk::println!(
                "xfersplit: the adapter's limits leave no legal split; sending what Windows would"
            );
        }
    }
}
