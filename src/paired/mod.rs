//! A paired port driver: who says himself how much he can take.
//!
//! "Splitting DMA Transfer Requests" asks that the class driver of a pair can find out how many map
//! registers its port driver has, from the registry or through "a private interface, using internal
//! device I/O control requests". Both forms end in [`PairedLimits`], one more voice among those that
//! limit a transfer:
//!
//! | Form | Where | When |
//! |---|---|---|
//! | [`registry`] | the key `Xfersplit\Port` that the port driver fills in | at start |
//! | [`listener`] | questions that the port driver answers, and answers again when it has something new to say | from the first start on |
//!
//! Only a driver that is known to speak the interface is asked (setting `PairedPort`): on a storage
//! stack `IRP_MJ_INTERNAL_DEVICE_CONTROL` is `IRP_MJ_SCSI`, and a port driver takes what it finds in one
//! for a request block. So the question is a request block as well, one that every port driver may
//! refuse; but not even that is sent to drivers that nobody has paired with this one.

mod listener;
mod registry;

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use xfersplit_core::paired::PairedLimits;

use crate::pooled::Pooled;
use listener::Listener;

pub(crate) use registry::read as read_registry;

/// What a device knows of its port driver. It stays where it is, outlives the engine and whatever
/// is asked.
#[derive(Default)]
pub(crate) struct Paired {
    /// The last answer that made sense, as [`PairedLimits::to_bits`]; 0 before there was one.
    told: AtomicU64,
    /// Null as long as nobody is asked.
    listener: AtomicPtr<Listener>,
}

impl Paired {
    /// What the port driver has told by now. Any IRQL.
    pub(crate) fn told(&self) -> Option<PairedLimits> {
        PairedLimits::from_bits(self.told.load(Ordering::Acquire))
    }

    /// Replaces what was told before. Requests that are being split already go on under the limits
    /// that they began with.
    fn tell(&self, limits: PairedLimits) {
        self.told.store(limits.to_bits(), Ordering::Release);
    }

    fn listener(&self) -> Option<Pooled<Listener>> {
        let listener = core::ptr::NonNull::new(self.listener.load(Ordering::Acquire))?;
        // SAFETY: stored by `ask`, taken out by `dismantle`, after the rundown.
        Some(unsafe { Pooled::from_non_null(listener) })
    }
}

pub(crate) use listener::{ask, close, dismantle};
