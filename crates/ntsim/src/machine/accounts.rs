//! Who has allocated what.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// On whose behalf memory is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A driver under test, through the exports.
    Driver,
    /// The simulated port driver.
    Port,
    /// The simulated framework, for its own purposes.
    Framework,
    /// The I/O manager, and the harness that stands for the layers above.
    Harness,
}

/// What a driver under test asks for; the argument of a fault-injection predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocationRequest {
    /// The kind of object.
    pub kind: AllocationKind,
    /// Bytes.
    pub bytes: usize,
    /// The pool tag, 0 for other kinds.
    pub tag: u32,
    /// How many requests the machine has seen before this one.
    pub ordinal: u64,
}

/// What can be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationKind {
    /// `IoAllocateIrp` and its relatives.
    Irp,
    /// `IoAllocateMdl`.
    Mdl,
    /// `ExAllocatePool2`, lookaside lists, work items.
    Pool,
    /// A framework object or its context.
    Framework,
    /// A mapping of locked pages: without one `MmMapLockedPagesSpecifyCache` gives null. Mappings
    /// are not counted.
    Mapping,
    /// Pages of user memory to be locked: without them `MmProbeAndLockPages` raises
    /// `STATUS_INSUFFICIENT_RESOURCES`. [`crate::memory::LockCounts`] counts them.
    LockedPages,
}

/// Decides which allocations fail: Driver Verifier's low resources simulation.
pub type FailPredicate = Box<dyn Fn(&AllocationRequest) -> bool + Send + Sync>;

/// Allocations of the drivers under test since the machine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocationCounts {
    /// IRPs ever allocated.
    pub irp: u64,
    /// MDLs ever allocated.
    pub mdl: u64,
    /// Pool blocks ever allocated.
    pub pool: u64,
    /// Framework objects ever created for the driver.
    pub framework: u64,
    /// Bytes held now.
    pub bytes_now: i64,
    /// The most bytes ever held at one time.
    pub bytes_peak: i64,
}

impl AllocationCounts {
    /// IRPs, MDLs, pool blocks and framework objects together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.irp + self.mdl + self.pool + self.framework
    }
}

#[derive(Default)]
pub(crate) struct Accounts {
    irp: AtomicU64,
    mdl: AtomicU64,
    pool: AtomicU64,
    framework: AtomicU64,
    bytes_now: AtomicI64,
    bytes_peak: AtomicI64,
    requests: AtomicU64,
}

impl Accounts {
    pub(crate) fn allocated(&self, kind: AllocationKind, bytes: usize) {
        let counter = match kind {
            AllocationKind::Irp => &self.irp,
            AllocationKind::Mdl => &self.mdl,
            AllocationKind::Pool => &self.pool,
            AllocationKind::Framework => &self.framework,
            AllocationKind::Mapping | AllocationKind::LockedPages => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.add_bytes(bytes as i64);
    }

    pub(crate) fn freed(&self, bytes: usize) {
        self.add_bytes(-(bytes as i64));
    }

    pub(crate) fn framework(&self, objects: i64, bytes: i64) {
        if objects > 0 {
            self.framework
                .fetch_add(objects.unsigned_abs(), Ordering::Relaxed);
        }
        self.add_bytes(bytes);
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> AllocationCounts {
        AllocationCounts {
            irp: self.irp.load(Ordering::Relaxed),
            mdl: self.mdl.load(Ordering::Relaxed),
            pool: self.pool.load(Ordering::Relaxed),
            framework: self.framework.load(Ordering::Relaxed),
            bytes_now: self.bytes_now.load(Ordering::Relaxed),
            bytes_peak: self.bytes_peak.load(Ordering::Relaxed),
        }
    }

    fn add_bytes(&self, bytes: i64) {
        let now = self.bytes_now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes_peak.fetch_max(now, Ordering::Relaxed);
    }
}
