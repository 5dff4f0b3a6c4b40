//! The class driver's device: what it has learned, how healthy it is, and who still uses it.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::packet::Packets;
use super::pnp::PnpState;
use super::power::Power;
use super::release::Release;
use super::sense::Device;
use super::{Class, ClassFacts, Options};
use crate::abi::{
    _EVENT_TYPE, DO_VERIFY_VOLUME, KEVENT, PDEVICE_OBJECT, SRB_FLAGS_DISABLE_DISCONNECT,
    SRB_FLAGS_DISABLE_SYNCH_TRANSFER, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE,
};
use crate::{ke, ntddk};

/// Errors after which requests go without tags and may freeze the queue (`CLASS_ERROR_LEVEL_1`).
const FIRST_LEVEL: u32 = 4;
/// Errors after which the unit may not disconnect any more (`CLASS_ERROR_LEVEL_2`).
const SECOND_LEVEL: u32 = 8;
/// Requests that succeed for each error that is forgiven (`CLASS_PERF_RESTORE_MINIMUM`).
const FORGIVEN_AFTER: u32 = 16;

/// Locks state of the class driver. Never held while the kernel or a driver is called.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The functional device.
pub(super) struct Fdo {
    pub(super) class: Arc<Class>,
    pub(super) options: Options,
    pub(super) device: PDEVICE_OBJECT,
    /// The device below, where everything is sent.
    pub(super) lower: PDEVICE_OBJECT,
    pub(super) rundown: Rundown,
    /// Set by the first start.
    pub(super) learned: OnceLock<Learned>,
    pub(super) packets: Packets,
    pub(super) release: Release,
    pub(super) power: Power,
    pub(super) pnp: Mutex<PnpState>,
    /// `SURPRISE_REMOVAL` or `REMOVE` has come: no new requests.
    leaving: AtomicBool,
    /// `REMOVE` has been sent down.
    removed: AtomicBool,
    /// The adapter wants extended SRBs; known before everything else is.
    extended: AtomicBool,
    /// The medium can be taken out; likewise.
    removable: AtomicBool,
    health: Mutex<Health>,
}

// SAFETY: the device objects are only named; all that changes is atomic, behind a lock, or used by
// one side of a request's protocol at a time.
unsafe impl Send for Fdo {}
// SAFETY: as above.
unsafe impl Sync for Fdo {}

/// What the first start found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    pub(super) facts: ClassFacts,
    pub(super) sector_shift: u32,
    pub(super) removable: bool,
}

/// `SrbFlags` for READ and WRITE, and the errors that they depend on.
#[derive(Default)]
struct Health {
    original: u32,
    flags: u32,
    errors: u32,
    successes: u32,
}

impl Fdo {
    pub(super) fn new(class: Arc<Class>, device: PDEVICE_OBJECT, lower: PDEVICE_OBJECT) -> Self {
        Self {
            options: class.options(),
            class,
            device,
            lower,
            rundown: Rundown::new(),
            learned: OnceLock::new(),
            packets: Packets::default(),
            release: Release::default(),
            power: Power::default(),
            pnp: Mutex::default(),
            leaving: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            extended: AtomicBool::new(false),
            removable: AtomicBool::new(false),
            health: Mutex::default(),
        }
    }

    /// What the first start found out.
    ///
    /// # Panics
    /// Before that.
    pub(super) fn learned(&self) -> &Learned {
        let learned = self.learned.get();
        learned.expect("requests are served after the first start alone")
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(super) fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(super) fn set_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    pub(super) fn is_extended(&self) -> bool {
        self.extended.load(Ordering::Acquire)
    }

    pub(super) fn set_kind(&self, extended: bool, removable: bool) {
        self.extended.store(extended, Ordering::Release);
        self.removable.store(removable, Ordering::Release);
    }

    /// What the tables of errors want to know.
    pub(super) fn about(&self) -> Device {
        Device {
            removable: self.removable.load(Ordering::Acquire),
            verify_pending: self.verify_pending(),
        }
    }

    /// `DO_VERIFY_VOLUME`: until a file system has looked at the medium, only it may read and write.
    pub(super) fn verify_pending(&self) -> bool {
        self.device_flags().load(Ordering::Acquire) & DO_VERIFY_VOLUME != 0
    }

    pub(super) fn set_verify(&self) {
        self.device_flags()
            .fetch_or(DO_VERIFY_VOLUME, Ordering::AcqRel);
    }

    pub(super) fn clear_verify(&self) {
        self.device_flags()
            .fetch_and(!DO_VERIFY_VOLUME, Ordering::AcqRel);
    }

    /// `Flags` of the device object.
    pub(super) fn device_flags(&self) -> &AtomicU32 {
        // SAFETY: the device object lives as long as the class driver has this; its flags are
        // changed here alone once it is initialised.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.device).Flags) }
    }

    // ---- flags and errors [classpnp, utils.c] ----

    pub(super) fn srb_flags(&self) -> u32 {
        lock(&self.health).flags
    }

    pub(super) fn set_srb_flags(&self, flags: u32) {
        let mut health = lock(&self.health);
        health.original = flags;
        health.flags = flags;
    }

    /// An error that is the device's. After a few the port may not send several requests at a time.
    pub(super) fn note_error(&self) {
        let mut health = lock(&self.health);
        health.successes = 0;
        health.errors += 1;
        if health.errors >= FIRST_LEVEL {
            health.flags &= !(SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE);
            health.flags |= SRB_FLAGS_DISABLE_SYNCH_TRANSFER;
        }
        if health.errors >= SECOND_LEVEL {
            health.flags |= SRB_FLAGS_DISABLE_DISCONNECT;
        }
    }

    /// An overrun, which disk.sys counts without looking at what it has counted so far.
    pub(super) fn note_overrun(&self) {
        lock(&self.health).errors += 1;
    }

    /// A request that succeeded. Enough of them make up for an error.
    pub(super) fn note_success(&self) {
        let mut health = lock(&self.health);
        if health.errors == 0 {
            return;
        }
        health.successes += 1;
        if health.successes < FORGIVEN_AFTER {
            return;
        }
        health.successes = 0;
        health.errors -= 1;
        let original = health.original;
        if health.errors < SECOND_LEVEL {
            health.flags &= !SRB_FLAGS_DISABLE_DISCONNECT | original;
        }
        if health.errors < FIRST_LEVEL {
            health.flags &= !SRB_FLAGS_DISABLE_SYNCH_TRANSFER | original;
            health.flags |= original & (SRB_FLAGS_QUEUE_ACTION_ENABLE | SRB_FLAGS_NO_QUEUE_FREEZE);
        }
    }
}

/// The remove lock: a count of uses, which removal waits for. Unlike a rundown reference it is given
/// to whoever asks; whether the device is leaving is asked apart [classpnp, lock.c].
pub(super) struct Rundown {
    uses: AtomicU64,
    event: UnsafeCell<KEVENT>,
}

impl Rundown {
    fn new() -> Self {
        Self {
            // The device's own.
            uses: AtomicU64::new(1),
            event: UnsafeCell::new(KEVENT::default()),
        }
    }

    /// Makes the event ready, once the lock is where it will stay.
    pub(super) fn initialise(&self) {
        // SAFETY: nobody waits yet.
        unsafe { ntddk::KeInitializeEvent(self.event.get(), _EVENT_TYPE::NotificationEvent, 0) };
    }

    pub(super) fn acquire(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn release(&self) {
        if self.uses.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: initialised; whoever waits keeps the lock until the wait is over.
            unsafe { ke::set_event(self.event.get()) };
        }
    }

    /// Gives the device's own use back and waits for the last one. `PASSIVE_LEVEL`.
    pub(super) fn wait(&self) {
        self.release();
        // SAFETY: as in `release`.
        unsafe { ke::wait(self.event.get(), None) };
    }
}

/// Gives a use back at the end of a scope.
pub(super) struct Use<'f>(&'f Rundown);

impl<'f> Use<'f> {
    pub(super) fn of(rundown: &'f Rundown) -> Self {
        rundown.acquire();
        Self(rundown)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}
