//! What a device has done, for the line it writes when it goes.

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Counter {
            $($(#[$doc])* $name),*
        }

        const NAMES: &[&str] = &[$($text),*];
    };
}

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

/// One device's counters. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; NAMES.len()]);

impl Counters {
    /// Counts one.
    pub(crate) fn add(&self, counter: Counter) {
        if let Some(value) = self.0.get(counter as usize) {
            value.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (name, value) in NAMES.iter().zip(&self.0) {
            let value = value.load(Ordering::Relaxed);
            if value != 0 {
                write!(out, "{between}{value} {name}")?;
                between = ", ";
            }
        }
        if between.is_empty() {
            out.write_str("nothing")
        } else {
            Ok(())
        }
    }
}
