//! The cancel-safe queue in which parents wait for a piece.
//!
//! The `IoCsq` functions own the races between `IoCancelIrp` and the queue; the driver supplies the
//! list and the lock. While an IRP waits, its `Tail.Overlay.ListEntry` and `DriverContext[3]` belong
//! to this queue: they are the current owner's to use (wdm.h, `IRP`).

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use wdk_sys::{
    IO_CSQ, IRP, KIRQL, KSPIN_LOCK, LIST_ENTRY, NTSTATUS, PIO_CSQ, PIRP, PKIRQL, PLIST_ENTRY,
    PVOID, ntddk,
};

use crate::irp::Irp;

/// Called for an IRP that was cancelled while it waited. IRQL <= DISPATCH_LEVEL, no lock held.
pub type Cancelled = fn(context: *const c_void, irp: Irp);

/// Parents in order of arrival. `repr(C)`: the kernel gives back the address of the first field.
#[repr(C)]
pub struct WaitingQueue {
    csq: UnsafeCell<IO_CSQ>,
    lock: UnsafeCell<KSPIN_LOCK>,
    head: UnsafeCell<LIST_ENTRY>,
    length: AtomicU32,
    cancelled: Cancelled,
    context: *const c_void,
}

// SAFETY: `head` is only reached under `lock`; the kernel reads `csq`, which never changes.
unsafe impl Sync for WaitingQueue {}

impl WaitingQueue {
    /// An empty queue that must be [initialised](Self::initialise) where it will stay.
    pub fn new(cancelled: Cancelled, context: *const c_void) -> Self {
        Self {
            csq: UnsafeCell::default(),
            lock: UnsafeCell::new(0),
            head: UnsafeCell::default(),
            length: AtomicU32::new(0),
            cancelled,
            context,
        }
    }

    /// # Safety
    /// `self` stays where it is, and `context` stays valid, for as long as IRPs wait.
    pub unsafe fn initialise(&self) -> NTSTATUS {
        let head = self.head.get();
        // SAFETY: not shared yet.
        unsafe {
            head.write(LIST_ENTRY {
                Flink: head,
                Blink: head,
            });
        };
        // SAFETY: IoCsqInitialize stores the six routines; all of them are given.
        unsafe {
            ntddk::IoCsqInitialize(
                self.csq(),
                Some(insert),
                Some(remove),
                Some(peek_next),
                Some(acquire_lock),
                Some(release_lock),
                Some(complete_cancelled),
            )
        }
    }

    /// Adds a parent; it is marked pending by the call. It may be cancelled, and completed, before
    /// the call returns.
    pub fn push(&self, irp: Irp) {
        // SAFETY: IoCsqInsertIrp takes an IRP that its caller owns.
        unsafe { ntddk::IoCsqInsertIrp(self.csq(), irp.into_raw(), ptr::null_mut()) };
    }

    /// The parent that has waited longest.
    pub fn pop(&self) -> Option<Irp> {
        // SAFETY: initialised.
        let irp = unsafe { ntddk::IoCsqRemoveNextIrp(self.csq(), ptr::null_mut()) };
        // SAFETY: an IRP that IoCsqRemoveNextIrp returns is the caller's and can't be cancelled.
        (!irp.is_null()).then(|| unsafe { Irp::from_raw(irp) })
    }

    /// How many wait; a hint, for it may have changed by now.
    pub fn length(&self) -> u32 {
        self.length.load(Ordering::Acquire)
    }

    /// The pointer that the kernel hands back: its reach is the whole queue, not the first field.
    const fn csq(&self) -> PIO_CSQ {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// `CONTAINING_RECORD` of a queue.
///
/// # Safety
/// `csq` came from [`WaitingQueue::csq`] of a live queue.
unsafe fn queue_of<'a>(csq: PIO_CSQ) -> &'a WaitingQueue {
    // SAFETY: the caller's contract; `csq` is the first field of a `repr(C)` structure.
    unsafe { &*csq.cast::<WaitingQueue>() }
}

/// `&Irp->Tail.Overlay.ListEntry`.
const fn entry_of(irp: PIRP) -> PLIST_ENTRY {
    irp.wrapping_byte_add(offset_of!(IRP, Tail.Overlay.__bindgen_anon_2.ListEntry))
        .cast()
}

/// `CONTAINING_RECORD` of an IRP.
const fn irp_of(entry: PLIST_ENTRY) -> PIRP {
    entry
        .wrapping_byte_sub(offset_of!(IRP, Tail.Overlay.__bindgen_anon_2.ListEntry))
        .cast()
}

/// CsqInsertIrp: at the tail. The lock is held.
unsafe extern "C" fn insert(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    let (head, entry) = (queue.head.get(), entry_of(irp));
    // SAFETY: the list is only reached under the lock, which is held.
    let last = unsafe { (*head).Blink };
    // SAFETY: the IRP's list entry is the queue's while the IRP waits.
    unsafe {
        entry.write(LIST_ENTRY {
            Flink: head,
            Blink: last,
        });
    };
    // SAFETY: `last` is the head or a waiting IRP's entry.
    unsafe { (*last).Flink = entry };
    // SAFETY: as above.
    unsafe { (*head).Blink = entry };
    queue.length.fetch_add(1, Ordering::AcqRel);
}

/// CsqRemoveIrp. The lock is held.
unsafe extern "C" fn remove(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    let entry = entry_of(irp);
    // SAFETY: the IRP waits in this list, and the lock is held.
    let LIST_ENTRY {
        Flink: next,
        Blink: previous,
    } = unsafe { entry.read() };
    // SAFETY: neighbours are the head or waiting IRPs' entries.
    unsafe { (*previous).Flink = next };
    // SAFETY: as above.
    unsafe { (*next).Blink = previous };
    queue.length.fetch_sub(1, Ordering::AcqRel);
}

/// CsqPeekNextIrp: the one behind `irp`, or the first. The lock is held.
unsafe extern "C" fn peek_next(csq: PIO_CSQ, irp: PIRP, _context: PVOID) -> PIRP {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    let head = queue.head.get();
    let from = if irp.is_null() { head } else { entry_of(irp) };
    // SAFETY: the head or a waiting IRP's entry, under the lock.
    let next = unsafe { (*from).Flink };
    if ptr::eq(next, head) {
        ptr::null_mut()
    } else {
        irp_of(next)
    }
}

/// CsqAcquireLock.
unsafe extern "C" fn acquire_lock(csq: PIO_CSQ, irql: PKIRQL) {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    // SAFETY: initialised lock in nonpaged memory, not held by this processor.
    let old: KIRQL = unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(queue.lock.get()) };
    // SAFETY: the kernel passes room for the old IRQL.
    unsafe { irql.write(old) };
}

/// CsqReleaseLock.
unsafe extern "C" fn release_lock(csq: PIO_CSQ, irql: KIRQL) {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    // SAFETY: taken by `acquire_lock`, which saved this IRQL.
    unsafe { ntddk::KeReleaseSpinLock(queue.lock.get(), irql) };
}

/// CsqCompleteCanceledIrp: the IRP has left the queue and is ours.
unsafe extern "C" fn complete_cancelled(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the kernel passes what IoCsqInitialize was given.
    let queue = unsafe { queue_of(csq) };
    // SAFETY: the kernel has removed the IRP from the queue and hands it over.
    let irp = unsafe { Irp::from_raw(irp) };
    (queue.cancelled)(queue.context, irp);
}
