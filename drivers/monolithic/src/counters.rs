//! What a device has done, for the line it writes when it goes.

use xfersplit_wdm::counters;

counters! {
    /// Requests that came to an end with success.
    Done = "requests done",
    /// Of these, requests that took more than one operation.
    Split = "of them split",
    /// DMA operations that the controller was given.
    Operations = "operations",
    /// Mappings that came back shorter than asked for.
    Shorter = "mappings shorter than asked for",
    /// Requests that ended with an error of the device.
    Failed = "failed",
    /// Requests that were answered at once: of no length, or not such as a disk can serve.
    Answered = "answered at once",
    /// Requests that can't be cut so that each part is legal.
    Refused = "refused",
    /// Requests that were cancelled, while they waited or between two operations.
    Cancelled = "cancelled",
    /// Requests that ended because the device went away.
    Removed = "removed",
    /// Operations that the controller was made to stop.
    Resets = "resets",
}
